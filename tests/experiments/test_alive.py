"""What is counted of people and figures, from a rendered cast."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pdnet.config import checked
from pdnet.data.images import read_labels, read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.data.skeleton import JOINTS
from pdnet.data.true_motion import SEEN_MOTION, read_truth
from pdnet.experiments.alive import frame_counts, oracle, oracle_row
from pdnet.experiments.measure import measure_clip
from pdnet.experiments.part_motion import LIMB_ENDS, SUMS, PartMotion, correlation
from pdnet.inference.segment import Seen, Segmentation


def test_the_truth_finds_all_people_and_takes_no_figure(cast):
    truth, stem = read_truth(cast), cast.frames[4]
    people = read_mask(cast.mask(stem))
    counts = frame_counts(people, cast, stem, truth)
    assert counts["people_found"] == counts["people"] > 0
    assert counts["figures_taken"] == 0 < counts["figures"]
    bins = [counts[f"motion_{i}"] for i in range(4)]
    assert sum(bins) == counts["people"] and sum(b > 0 for b in bins) >= 2
    everything = frame_counts(np.ones_like(people), cast, stem, truth)
    assert everything["figures_taken"] == everything["figures"]


def test_the_oracle_sees_those_whose_joints_moved(cast):
    truth, stem = read_truth(cast), cast.frames[-2]
    far = [np.linalg.norm(steps, axis=1).max() >= SEEN_MOTION for steps in truth.steps(stem)]
    labels = read_labels(cast.parts(stem))
    expected = np.zeros(labels.shape, bool)
    for member in np.flatnonzero(np.array(far) & truth.alive):
        expected |= (labels > 10 * member) & (labels <= 10 * member + 10)
    np.testing.assert_array_equal(oracle(cast, stem, truth), expected)
    # figures are rigid with the scene: up to the rounding of the files nothing of them moves
    assert np.abs(truth.steps(stem)[~truth.alive]).max() < 0.05
    row = oracle_row(cast)
    assert row["J&F"] > 0.5 and 0 <= row["decided"] <= 1


class TellsTheTruth:
    """A segmenter that knows the masks and how every joint moved."""

    in_order = False

    def __init__(self, clip: Clip, wrong: float = 0.0) -> None:
        self.clip, self.truth, self.wrong = clip, read_truth(clip), wrong

    def segment(self, index: int, frame: np.ndarray) -> Segmentation:
        stem = self.clip.frames[index]
        probability = (read_mask(self.clip.mask(stem)) > 0).astype(np.float32)
        h, w = probability.shape
        steps = np.zeros((2, h, w, 2), np.float32)
        now, moved = self.truth.joints[index], self.truth.steps(stem)
        for member, joint in np.ndindex(moved.shape[:2]):
            if JOINTS[joint].split()[-1] in LIMB_ENDS:
                x, y = now[member, joint]
                here = (
                    slice(max(int(y) - 1, 0), int(y) + 2),
                    slice(max(int(x) - 1, 0), int(x) + 2),
                )
                steps[(slice(None), *here)] = (moved[member, joint] + self.wrong) / (w, h)
        return Segmentation(probability, np.stack([probability] * 2), steps)


def test_true_steps_correlate_and_have_no_error(cast):
    truth, motion, offset = read_truth(cast), PartMotion(), PartMotion()
    for index, stem in enumerate(cast.frames[1:], 1):
        frame = cv2.imread(str(cast.frame(stem)))
        motion.add(TellsTheTruth(cast).segment(index, frame), stem, truth)
        offset.add(TellsTheTruth(cast, wrong=3.0).segment(index, frame), stem, truth)
    right = motion.measures()
    # two limbs that meet in a cell share its step
    assert correlated(right) > 0.9 and right["end_point_error"] < 0.2 * right["still_error"]
    assert offset.measures()["end_point_error"] > right["end_point_error"] + 3
    by_hand = np.corrcoef(np.ravel(motion.found), np.ravel(motion.truth))[0, 1]
    assert correlated(right) == pytest.approx(by_hand)
    # an offset is none of correlation's business, and clips add up
    assert correlated(offset.measures()) == pytest.approx(by_hand)
    both = {name: right[name] + offset.measures()[name] for name in right}
    found = np.ravel([*motion.found, *offset.found])
    together = found, np.ravel([*motion.truth, *offset.truth])
    assert correlated(both) == pytest.approx(np.corrcoef(*together)[0, 1])


def correlated(measures: dict[str, float]) -> float:
    return float(correlation(np.array([measures[name] for name in SUMS])))


def test_what_does_not_vary_correlates_with_nothing():
    true, still = np.array([3.0, -4.0]), np.zeros(2)
    sums = [1, true.sum(), (true**2).sum(), still.sum(), still.sum(), still.sum()]
    assert np.isnan(correlation(np.array(sums)))


def test_a_network_without_places_has_no_steps_to_judge(cast):
    motion = PartMotion()
    seen = Segmentation(np.zeros((240, 320), np.float32), np.zeros((3, 4, 5), np.float32))
    motion.add(seen, cast.frames[2], read_truth(cast))
    assert motion.measures() == {}


def test_a_measured_clip_says_what_was_found_of_whom(cast):
    flows = [np.zeros((240, 320, 2), np.float32)] * (len(cast.frames) - 1)
    options = checked("evaluate")
    measured = measure_clip(TellsTheTruth(cast), cast, flows, options)
    assert measured.alive["people_found"] == measured.alive["people"] > 0
    assert measured.alive["figures_taken"] == 0
    assert correlated(measured.alive) > 0.9


def test_clips_without_figures_are_counted_nothing_of(tree):
    assert read_truth(read_tree(tree).clips("val")[0]) is None


def test_seen_frames_that_are_not_scored_do_not_count(cast):
    from pdnet.experiments.alive import Found

    found = Found(cast)
    first = Seen(0, cast.frames[0], np.zeros((240, 320, 3), np.uint8), None)
    found.add(first, np.ones((240, 320), np.uint8))
    assert found.measures() == {}
