"""Is a part's displacement the true one? What a network says of how parts moved, against the joints
of rendered clips.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pdnet.data.skeleton import JOINTS
from pdnet.data.true_motion import Truth
from pdnet.inference.segment import Segmentation

MOVING = 3.0  # pixels of a 240-line frame: limbs that moved at least as far are counted
LIMB_ENDS = ("elbow", "wrist", "knee", "ankle")


@dataclass
class PartMotion:
    """Found and true steps of moving limbs, in pixels of the rendered frame."""

    found: list[np.ndarray] = field(default_factory=list)
    truth: list[np.ndarray] = field(default_factory=list)

    def add(self, seen: Segmentation, stem: str, truth: Truth) -> None:
        """Takes a frame's moving limbs, if the network says how its parts moved."""
        if seen.part_steps is None:
            return
        height, width = truth.size
        joints = truth.joints[truth.stems.index(stem)]  # (members, joints, 2)
        steps = truth.steps(stem)
        limbs = [i for i, name in enumerate(JOINTS) if name.split()[-1] in LIMB_ENDS]
        h, w = seen.part_masks.shape[-2:]
        for member in np.flatnonzero(truth.alive):
            for limb in limbs:
                x, y = joints[member, limb] / (width, height)
                inside = 0 <= x < 1 and 0 <= y < 1
                if not inside or np.linalg.norm(steps[member, limb]) < MOVING:
                    continue
                row, column = int(y * h), int(x * w)
                # the part that holds the limb speaks for it
                part = int(seen.part_masks[:, row, column].argmax())
                self.found.append(seen.part_steps[part, row, column] * (width, height))
                self.truth.append(steps[member, limb])

    def measures(self) -> dict[str, float]:
        """`correlation` of found and true steps (x and y together), `end_point_error` and
        `still_error` (that of saying that nothing moved) in pixels, `limbs`: how many; empty
        without any.
        """
        if not self.found:
            return {}
        found, truth = np.array(self.found), np.array(self.truth)
        return {
            "correlation": float(np.corrcoef(found.ravel(), truth.ravel())[0, 1]),
            "end_point_error": float(np.linalg.norm(found - truth, axis=1).mean()),
            "still_error": float(np.linalg.norm(truth, axis=1).mean()),
            "limbs": float(len(found)),
        }
