"""The true motion of rendered people and figures against their scene, from their joints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdnet.data.layout import Clip
from pdnet.data.skeleton import JOINTS, KINDS, PARTS, body_parts

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

    def step_map(self, stem: str, parts: np.ndarray) -> np.ndarray:
        """How far what each pixel of an annotated frame shows has moved against the scene since the
        first frame: (h, w, 2) float32, in pixels (x, y) of this map; 0 outside of people. Along a
        limb the step of one end goes over into that of the other.

        Args:
            stem: of the frame.
            parts: (h, w) labels of its people's parts, 10 * member + 1 + part.
        """
        h, w = parts.shape
        scale = np.array([w / self.size[1], h / self.size[0]])
        joints, steps = self._at(stem)[1] * scale, self.steps(stem) * scale
        moved = np.zeros((h, w, 2), np.float32)
        for label in np.unique(parts[parts > 0]):
            member, part = divmod(int(label) - 1, len(PARTS))
            ends = [JOINTS.index(joint) for joint in ENDS[PARTS[part]]]
            first, last = ends[0], ends[-1]
            rows, columns = np.nonzero(parts == label)
            along = joints[member, last] - joints[member, first]
            from_first = np.stack([columns, rows], 1) + 0.5 - joints[member, first]
            share = np.clip(from_first @ along / max(along @ along, 1e-6), 0, 1)[:, None]
            both = (1 - share) * steps[member, first] + share * steps[member, last]
            moved[rows, columns] = both
        return moved

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


def body_part_maps(labels: np.ndarray) -> np.ndarray:
    """Rendered labels (h, w) of people or figures -> (h, w, kinds) float32, 1 where a body part of
    `data.skeleton.KINDS` is.
    """
    of_part = [[part.endswith(kind) for kind in KINDS] for part in PARTS]
    nothing = [[False] * len(KINDS)]  # the last row is that of -1, the background
    return np.array(of_part + nothing, np.float32)[body_parts(labels)]


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
