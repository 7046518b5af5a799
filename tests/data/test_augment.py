"""Augmentation: truth moves with its picture, nothing is drawn that was not asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdnet.config import checked
from pdnet.data.augment import Augmenter, Crop, Picture, Tone, Warp
from tests.helpers import disc

SIZE = (64, 96)


def augmenter(fit: str = "aspect", **train: float) -> Augmenter:
    return Augmenter(checked("train", **train), checked("model", input_size=SIZE, fit=fit))


def painted(size: tuple[int, int] = (80, 150)) -> Picture:
    """A white disc on black: picture and truth are the same."""
    mask = disc(size, (0.5 * size[0], 0.4 * size[1]), 0.3 * size[0])
    return Picture((255 * mask[..., None].repeat(3, 2)).astype(np.uint8), mask.astype(np.float32))


@given(st.integers(0, 10**6), st.sampled_from(["stretch", "aspect"]))
@settings(max_examples=40, deadline=None)
def test_the_truth_lies_where_its_picture_lies(seed, fit):
    rng = np.random.default_rng(seed)
    drawer = augmenter(fit, zoom=1.0, rotation=90.0)
    placed = drawer.placed(painted(), drawer.geometry(rng))
    assert placed.image.shape == (*SIZE, 3) and placed.mask.shape == SIZE
    assert np.abs(placed.image[..., 0] / 255 - placed.mask).max() < 0.02


def test_a_warp_that_does_nothing_is_the_identity():
    still = Warp(True, 1.0, 1.0, 0.5, 0.5, 0.0, False)
    picture = painted(SIZE)
    assert np.array_equal(still.place(picture.image, SIZE), picture.image)
    quarter = Warp(True, 1.0, 1.0, 0.5, 0.5, 90.0, False)
    square = painted((64, 64)).image
    # clockwise, as positive angles turn where y points down
    assert np.array_equal(quarter.place(square, (64, 64)), np.rot90(square, -1))


def test_aspect_keeps_a_disc_round_and_stretch_does_not():
    turned = {"height": 1.0, "width": 1.0, "down": 0.5, "right": 0.5, "rotation": 0.0}
    for keep, ratio in ((True, 1.0), (False, 80 / 150 * 96 / 64)):
        mask = Warp(keep, **turned, flip=False).place(painted().mask, SIZE) > 0.5
        height, width = mask.any(1).sum(), mask.any(0).sum()
        assert width / height == pytest.approx(ratio, rel=0.05)


def test_without_more_than_the_paper_has_only_its_crop_is_drawn():
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    drawer = augmenter("stretch", crop=0.2)
    geometry = drawer.geometry(first)
    placed = drawer.placed(painted(), geometry)
    ((image, mask),) = drawer.finished(first, [placed])
    assert isinstance(geometry, Crop)
    assert torch.equal(image, torch.from_numpy(placed.image).permute(2, 0, 1).float() / 255)
    assert torch.equal(mask[0], torch.from_numpy(placed.mask))
    # two sides, two offsets and a coin: whoever draws more changes the numbers of `sample`
    second.uniform(0, 1, 2), second.random(3)
    assert first.random() == second.random()


def test_one_look_for_both_frames_and_none_for_their_masks():
    drawer = augmenter(colour=0.5, jpeg=1.0)
    frames = [Picture(np.full((*SIZE, 3), 120, np.uint8), np.ones(SIZE, np.float32))] * 2
    (image, mask), (other, other_mask) = drawer.finished(np.random.default_rng(1), frames)
    assert torch.equal(image, other) and torch.equal(mask, other_mask)
    assert (image - 120 / 255).abs().max() > 0.02 and mask.min() == 1


def test_each_change_of_look_changes_what_it_names():
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 180, (*SIZE, 3), dtype=np.uint8)
    assert Tone(brightness=0.5).apply(picture).mean() == pytest.approx(picture.mean() / 2, rel=0.02)
    assert Tone(contrast=0.5).apply(picture).std() < 0.6 * picture.std()
    grey = Tone(saturation=0.0).apply(picture)
    assert np.ptp(grey, axis=2).max() <= 1
    assert Tone(quality=20).apply(picture).std() != picture.std()
    assert np.array_equal(Tone().apply(picture), picture)


def test_blur_smooths_and_hides_no_truth():
    rng = np.random.default_rng(0)
    noise = Picture(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), np.ones(SIZE, np.float32))
    drawer = augmenter(blur=1.0)
    for _ in range(10):  # both kinds of blur
        ((image, mask),) = drawer.finished(rng, [noise])
        assert image.std() < 0.95 * (noise.image / 255).std() and mask.min() == 1


def test_whoever_is_behind_a_thing_in_front_is_not_in_the_truth():
    whole = Picture(np.full((*SIZE, 3), 77, np.uint8), np.ones(SIZE, np.float32))
    ((image, mask),) = augmenter(cutout=1.0).finished(np.random.default_rng(3), [whole])
    hidden = mask[0] == 0
    assert 0.005 < hidden.float().mean() < 0.2
    assert torch.equal(hidden, (image != 77 / 255).any(0))
