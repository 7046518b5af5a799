"""The imbalance experiment: what a network scores near the limbs as they move ever faster against
the torso.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pdnet.data.images import read_labels
from pdnet.data.layout import Clip, read_tree
from pdnet.data.skeleton import PARTS, body_parts
from pdnet.experiments.measure import COARSE
from pdnet.experiments.names import CONTROL, level_of, scene_of
from pdnet.inference.people import masks
from pdnet.inference.segment import ClipSegmenter, clip_segmenter
from pdnet.metrics.region_contour import region_similarity
from pdnet.model import PDNet

# forearms and shins: what moves most
LIMBS = tuple(i for i, name in enumerate(PARTS) if "lower" in name)
STILL = 0.5  # pixels of mean flow: below is noise
LIMB_REACH = 0.03  # of the frame's height: how far from a limb "near" goes


def clip_after(name: str, clips: dict[str, Clip]) -> Clip:
    """The clip that follows `name`, in a circle."""
    names = list(clips)
    return clips[names[(names.index(name) + 1) % len(names)]]


def flow_imbalance(flow: np.ndarray, people: np.ndarray) -> float:
    """Motion imbalance of a frame: the standard deviation of the flow vectors inside the people as
    a share of their mean length; 0 where the body moves as one.

    Args:
        flow: (H, W, 2) in pixels.
        people: (H, W) bool, not empty.
    """
    inside = flow[people]
    length = max(float(np.hypot(*inside.T).mean()), STILL)
    return float(np.sqrt(inside.var(0).sum())) / length


def near_limbs(body_part: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) bool: within `reach` pixels of a forearm or a shin; `body_part` as `body_parts` gives
    it.
    """
    limbs = np.isin(body_part, LIMBS).astype(np.uint8)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(limbs, disk) > 0


def imbalance_rows(
    network: PDNet, series: Path, *, threshold: float, control: bool, people: str = "all"
) -> list[dict[str, Any]]:
    """Scores of a network on the imbalance series.

    Args:
        network: in evaluation mode.
        series: the rendered series, or a folder that does not exist (then there are no rows).
        threshold: on the probability.
        control: also with a reference of another scene.
        people: whose masks, see `inference.people.Cutter`.

    Returns:
        rows clip, level, J_limbs, J (shares); those of the control name their variant.
    """
    if not series.is_dir():
        return []
    clips = read_tree(series).clips("val")
    scenes = {scene_of(clip.name): clip for clip in clips}
    how = {"threshold": threshold, "people": people}
    rows = []
    for clip in clips:
        row = {"clip": clip.name, "level": level_of(clip.name)}
        rows.append(row | limb_scores(clip_segmenter(network, clip), clip, **how))
        if control:
            other = clip_segmenter(network, clip_after(scene_of(clip.name), scenes))
            row |= {"variant": f"full-{CONTROL}"}
            rows.append(row | limb_scores(other, clip, **how))
    return rows


def limb_scores(
    segmenter: ClipSegmenter, clip: Clip, *, threshold: float, people: str = "all"
) -> dict[str, float]:
    """J of a clip of the series but its first frame: near its limbs (`J_limbs`) and everywhere
    (`J`).
    """
    near: list[float] = []
    whole: list[float] = []
    # the first frame is its own reference: nothing moved yet
    later: Sequence[str] = clip.frames[1:]
    for seen, mask in masks(segmenter, clip, later, threshold=threshold, people=people):
        body = body_parts(read_labels(clip.parts(seen.stem))[::COARSE, ::COARSE])
        found = mask[::COARSE, ::COARSE]
        truth = body >= 0
        # both masks are cut to the window: what happens elsewhere is in `J`
        window = near_limbs(body, round(LIMB_REACH * body.shape[0]))
        near.append(region_similarity(found & window, truth & window))
        whole.append(region_similarity(found, truth))
    return {"J_limbs": float(np.mean(near)), "J": float(np.mean(whole))}
