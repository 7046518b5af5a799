"""The true motion of rendered people and figures against their scene, from their joints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdnet.data.layout import Clip
from pdnet.sample.body import JOINTS, PARTS

# pixels of a 240-line frame against the scene: less is lost when the frame shrinks to the input
SEEN_MOTION = 2.0

# the joints that a part runs between
ENDS = {
    "head": ("head",),
    "torso": ("neck", "pelvis"),
    **{f"{side} upper arm": (f"{side} shoulder", f"{side} elbow") for side in ("left", "right")},
    **{f"{side} lower arm": (f"{side} elbow", f"{side} wrist") for side in ("left", "right")},
    **{f"{side} upper leg": (f"{side} hip", f"{side} knee") for side in ("left", "right")},
    **{f"{side} lower leg": (f"{side} knee", f"{side} ankle") for side in ("left", "right")},
}


@dataclass(frozen=True)
class Truth:
    """The true motion of a clip's members.

    Attributes:
        stems: of the frames.
        joints: (frames, members, joints, 2) in pixels (x, y) of the frame.
        camera: (frames, 2, 3), see `sample.scene.Frame`.
        alive: (members,) bool.
        size: (height, width) of the frame in those pixels.
    """

    stems: tuple[str, ...]
    joints: np.ndarray
    camera: np.ndarray
    alive: np.ndarray
    size: tuple[int, int]

    def steps(self, stem: str) -> np.ndarray:
        """(members, joints, 2): from where a joint would be, had it stayed in the scene since the
        first frame, to where it is.
        """
        return self._at(stem)[1] - self.expected(stem)

    def expected(self, stem: str) -> np.ndarray:
        """(members, joints, 2): where the first frame's joints would be, had they stayed."""
        first, now = self._at(self.stems[0]), self._at(stem)
        rest = (first[1] - first[0][:, 2]) @ np.linalg.inv(first[0][:, :2]).T
        return rest @ now[0][:, :2].T + now[0][:, 2]

    def part_motion(self, stem: str) -> np.ndarray:
        """(members, parts): how far each part's joints moved against the scene, their mean."""
        length = np.linalg.norm(self.steps(stem), axis=-1)  # (members, joints)
        ends = [[JOINTS.index(joint) for joint in ENDS[part]] for part in PARTS]
        return np.stack([length[:, index].mean(1) for index in ends], 1)

    def moved(self, stem: str) -> np.ndarray:
        """(members,) bool: whether the pair of frames tells that somebody is alive."""
        return np.linalg.norm(self.steps(stem), axis=-1).max(1) >= SEEN_MOTION

    def _at(self, stem: str) -> tuple[np.ndarray, np.ndarray]:
        index = self.stems.index(stem)
        return self.camera[index], self.joints[index]


def read_truth(clip: Clip) -> Truth | None:
    """The true motion of a rendered clip in which figures stand; None of others."""
    about: dict[str, Any] = {"joints": {}, "camera": {}}
    for file in clip.joints():
        part = json.loads(file.read_text())
        if "alive" not in part:
            return None
        about |= {"alive": part["alive"], "size": part["size"]}
        for name in ("joints", "camera"):
            about[name] |= part[name]
    if "alive" not in about:
        return None
    stems = tuple(sorted(about["joints"]))
    joints = [[[m[name] for name in JOINTS] for m in about["joints"][stem]] for stem in stems]
    camera = [about["camera"][stem] for stem in stems]
    alive = np.array(about["alive"])
    return Truth(stems, np.array(joints), np.array(camera), alive, tuple(about["size"]))
