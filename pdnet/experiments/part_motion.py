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
# limbs, and sums over them, x and y together, of steps in pixels: the true ones, the network's
SUMS = ("limbs", "true_steps", "true_squares", "found_steps", "found_squares", "products")
OF_TRUTH, OF_NETWORK = SUMS[:3], SUMS[3:]


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
        """`end_point_error` and `still_error` (that of saying that nothing moved), means in pixels,
        and the `SUMS` that `correlation` takes; empty without any limb.
        """
        if not self.found:
            return {}
        found, truth = np.array(self.found), np.array(self.truth)
        added = (truth, truth**2, found, found**2, found * truth)
        sums = (len(found), *(values.sum() for values in added))
        return {
            "end_point_error": float(np.linalg.norm(found - truth, axis=1).mean()),
            "still_error": float(np.linalg.norm(truth, axis=1).mean()),
            **{name: float(value) for name, value in zip(SUMS, sums, strict=True)},
        }


def correlation(sums: np.ndarray) -> np.ndarray:
    """Correlation of found and true steps, x and y together.

    Args:
        sums: (..., 6) `SUMS`; those of clips add up.

    Returns:
        (...) in -1..1; nan where either does not vary.
    """
    limbs, *added = np.moveaxis(sums, -1, 0)
    true, true_square, found, found_square, product = (values / (2 * limbs) for values in added)
    spread = (true_square - true**2) * (found_square - found**2)
    return (product - true * found) / np.sqrt(np.where(spread > 0, spread, np.nan))
