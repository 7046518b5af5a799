"""True steps and body parts as maps, from a rendered cast and its joints."""

from __future__ import annotations

import numpy as np

from pdnet.data.images import read_labels, read_mask
from pdnet.data.skeleton import JOINTS, KINDS, PARTS
from pdnet.data.true_motion import body_part_maps, read_truth


def test_a_pixel_moved_as_the_joints_that_it_lies_between(cast):
    truth, stem = read_truth(cast), cast.frames[4]
    labels = read_labels(cast.parts(stem))
    moved, joints, steps = truth.step_map(stem, labels), truth.joints[4], truth.steps(stem)
    assert moved.shape == (*labels.shape, 2) and not moved[labels == 0].any()
    seen = 0
    for member in np.flatnonzero(truth.alive):
        for side in ("left", "right"):
            elbow, wrist = (JOINTS.index(f"{side} {joint}") for joint in ("elbow", "wrist"))
            middle = (joints[member, elbow] + joints[member, wrist]) / 2
            column, row = np.floor(middle).astype(int)
            inside = 0 <= column < labels.shape[1] and 0 <= row < labels.shape[0]
            label = 10 * member + 1 + PARTS.index(f"{side} lower arm")
            if not inside or labels[row, column] != label:
                continue
            expected = (steps[member, elbow] + steps[member, wrist]) / 2
            between = np.linalg.norm(steps[member, elbow] - steps[member, wrist])
            # the centre of a pixel lies up to 0.7 pixels from the middle of the arm
            arm = np.linalg.norm(joints[member, elbow] - joints[member, wrist])
            off = np.abs(moved[row, column] - expected).max()
            assert off <= between * 0.75 / arm + 1e-3
            seen += 1
    assert seen >= 2


def test_steps_are_in_pixels_of_the_map(cast):
    truth, stem = read_truth(cast), cast.frames[4]
    labels = read_labels(cast.parts(stem))
    whole, half = truth.step_map(stem, labels), truth.step_map(stem, labels[::2, ::2])
    near = np.linalg.norm(whole[::2, ::2] / 2 - half, axis=2)[labels[::2, ::2] > 0]
    assert np.median(near) < 0.1 < np.abs(whole).max()


def test_in_the_first_frame_nothing_has_moved(cast):
    stem = cast.frames[0]
    moved = read_truth(cast).step_map(stem, read_labels(cast.parts(stem)))
    assert np.abs(moved).max() < 1e-4


def test_each_body_pixel_is_of_one_kind_and_sides_are_alike(cast):
    stem = cast.frames[2]
    labels = read_labels(cast.parts(stem))
    maps = body_part_maps(labels)
    np.testing.assert_array_equal(maps.sum(2), read_mask(cast.mask(stem)) > 0)
    one_of_each = np.arange(len(PARTS) + 1, dtype=np.uint8)[None]
    kinds = body_part_maps(one_of_each)[0]
    assert not kinds[0].any()
    named = [KINDS[kind] for kind in kinds[1:].argmax(1)]
    assert named == [part.removeprefix("left ").removeprefix("right ") for part in PARTS]
