"""Who is alive? What a network finds of people and takes of figures, by how much moved, beside an
oracle that knows the true joints.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from pdnet.data.images import read_labels, read_mask
from pdnet.data.layout import Clip
from pdnet.data.skeleton import PARTS_PER_PERSON
from pdnet.data.true_motion import Truth, read_truth
from pdnet.experiments.part_motion import PartMotion
from pdnet.inference.segment import Seen
from pdnet.metrics.region_contour import frame_scores

# bounds of a part's motion in pixels of a 240-line frame: rests, moves a little, moves, moves far
MOTION_BINS = (0.0, 1.0, 3.0, 8.0, np.inf)
REST = 1.0  # below it a part rests


def frame_counts(mask: np.ndarray, clip: Clip, stem: str, truth: Truth) -> dict[str, float]:
    """Pixels of a frame: how many of whom, and how many of these are in the mask.

    Args:
        mask: (H, W), non-zero where the network sees people.
        clip, stem: which frame.
        truth: of the clip.

    Returns:
        `people`, `people_found`, `figures`, `figures_taken`; `resting` and `resting_found` of
        parts that rest while their person moves; `motion_I` and `motion_I_found` of people's parts
        in bin I of `MOTION_BINS`.
    """
    people, figures = read_labels(clip.parts(stem)), read_labels(clip.figures(stem))
    inside, motion = mask > 0, truth.part_motion(stem)
    of_pixel = np.concatenate([[0.0], motion.ravel()])[people]  # labels are 10 * member + 1 + part
    moved = np.concatenate([[False], np.repeat(truth.moved(stem), PARTS_PER_PERSON)])[people]
    areas = {
        "people": people > 0,
        "figures": figures > 0,
        "resting": (people > 0) & moved & (of_pixel < REST),
    }
    for index, (low, high) in enumerate(pairwise(MOTION_BINS)):
        areas[f"motion_{index}"] = (people > 0) & (of_pixel >= low) & (of_pixel < high)
    counts = {}
    for name, area in areas.items():
        took = "taken" if name == "figures" else "found"
        counts[name] = float(area.sum())
        counts[f"{name}_{took}"] = float((area & inside).sum())
    return counts


class Found:
    """What a network finds of a clip's people and takes of its figures, frame after frame.

    Args:
        clip: any; of one without figures nothing is counted.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip, self.truth = clip, read_truth(clip)
        self.counts: list[dict[str, float]] = []
        self.motion = PartMotion()

    def add(self, seen: Seen, mask: np.ndarray) -> None:
        """Takes a frame that is scored, and its mask (H, W)."""
        if self.truth is None or seen.stem not in self.clip.scored_frames():
            return
        self.counts.append(frame_counts(mask, self.clip, seen.stem, self.truth))
        self.motion.add(seen.found, seen.stem, self.truth)

    def measures(self) -> dict[str, float]:
        """Pixels of `frame_counts`, summed over the frames, and `PartMotion.measures`."""
        if not self.counts:
            return {}
        names = self.counts[0]
        sums = {name: sum(count[name] for count in self.counts) for name in names}
        return sums | self.motion.measures()


def oracle(clip: Clip, stem: str, truth: Truth) -> np.ndarray:
    """(H, W) bool: people whose true joints moved since the first frame, and nobody else."""
    moved = np.concatenate([[False], np.repeat(truth.moved(stem), PARTS_PER_PERSON)])
    return moved[read_labels(clip.parts(stem))]


def oracle_row(clip: Clip) -> dict[str, Any]:
    """What the oracle scores on a clip, and the share of its frames in which the pair alone tells
    of every person.
    """
    truth, scores, decided = read_truth(clip), [], []
    for stem in clip.scored_frames():
        scores.append(frame_scores(oracle(clip, stem, truth), read_mask(clip.mask(stem))))
        decided.append(bool(truth.moved(stem)[truth.alive].all()))
    j, f = np.array(scores).mean(0)
    both = {"J": float(j), "F": float(f), "J&F": float(j + f) / 2}
    return {"clip": clip.name, **both, "decided": float(np.mean(decided))}
