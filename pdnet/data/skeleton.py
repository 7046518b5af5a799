"""The names of a rendered body: its parts, their kinds, its joints."""

from __future__ import annotations

import numpy as np

PARTS = (
    "head",
    "torso",
    "left upper arm",
    "left lower arm",
    "right upper arm",
    "right lower arm",
    "left upper leg",
    "left lower leg",
    "right upper leg",
    "right lower leg",
)
PARTS_PER_PERSON = len(PARTS)
# parts whose side nobody asks for: a mirrored picture keeps them
KINDS = ("head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
JOINTS = (
    "head", "neck", "pelvis",
    "left shoulder", "left elbow", "left wrist",
    "right shoulder", "right elbow", "right wrist",
    "left hip", "left knee", "left ankle",
    "right hip", "right knee", "right ankle",
)  # fmt: skip


def body_parts(labels: np.ndarray) -> np.ndarray:
    """Rendered labels (0 background, 10 * person + 1 + part) -> body part 0..9, -1 on the
    background.
    """
    return np.where(labels > 0, (labels.astype(int) - 1) % PARTS_PER_PERSON, -1)
