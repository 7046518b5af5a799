"""Pairs made from single photographs."""

from __future__ import annotations

import numpy as np

from pdnet.config import checked
from pdnet.data.augment import Augmenter, Picture
from pdnet.data.pairs import pasted_pair, warped_pair
from tests.helpers import disc

SIZE = (64, 64)
AUGMENTER = Augmenter(checked("train", zoom=0.3), checked("model", input_size=SIZE, fit="aspect"))
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def person(colour: tuple[int, int, int], behind: tuple[int, int, int], at=(40, 40)) -> Picture:
    mask = disc((80, 80), at, 18)
    image = np.where(mask[..., None], colour, behind).astype(np.uint8)
    return Picture(image, mask.astype(np.float32))


def test_two_warps_show_the_same_person_at_two_places():
    target, reference = warped_pair(np.random.default_rng(0), AUGMENTER, person(RED, BLUE))
    for picture in (target, reference):
        assert np.abs(picture.image[..., 0] / 255 - picture.mask).max() < 0.02
    assert np.abs(target.mask - reference.mask).max() == 1


def test_a_moved_person_stands_before_another_photograph_whose_people_stay_people():
    target, reference = pasted_pair(
        np.random.default_rng(2), AUGMENTER, person(RED, BLUE), person(GREEN, (0, 0, 0))
    )
    for picture in (target, reference):
        # nothing of the person's own background comes along
        assert picture.image[..., 2].max() < 130
        people = np.clip(picture.image[..., 0] / 255.0 + picture.image[..., 1] / 255.0, 0, 1)
        assert np.abs(people - picture.mask).mean() < 0.02
        assert (picture.image[..., 0] > 200).any() and (picture.image[..., 1] > 200).any()
    # the person moves, the camera hardly does
    moved = (target.image[..., 0] > 200) != (reference.image[..., 0] > 200)
    assert moved.mean() > 0.02
