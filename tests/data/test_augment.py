"""Augmentation: truth moves with its picture, nothing is drawn that was not asked for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdnet.config import checked
from pdnet.data.augment import Augmenter, Crop, Geometry, Picture, Tone, Warp
from pdnet.data.fit import image_tensor
from pdnet.data.flow import dis, flow_colours
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


def swirl(size: tuple[int, int]) -> np.ndarray:
    """A smooth flow (h, w, 2) with every direction in it."""
    v, u = np.mgrid[: size[0], : size[1]] / np.array(size).reshape(2, 1, 1) - 0.5
    return np.dstack([3 * v + u + 0.3, 2 * u - v]).astype(np.float32)


def turned(flow: np.ndarray, matrix: list[list[int]]) -> np.ndarray:
    """Each vector (right, down) times a matrix."""
    return flow @ np.array(matrix, np.float32).T


@pytest.mark.parametrize(
    "geometry", [Crop(0.0, 0.0, 1.0, 1.0, True), Warp(True, 1.0, 1.0, 0.5, 0.5, 0.0, True)]
)
def test_a_mirrored_frame_moves_in_the_mirrored_direction(geometry):
    flow = swirl(SIZE)
    expected = turned(flow[:, ::-1], [[-1, 0], [0, 1]])
    assert torch.equal(
        augmenter().placed_flow(flow, geometry), image_tensor(flow_colours(expected))
    )


def test_a_mirrored_crop_has_the_colours_of_its_own_mirrored_part():
    flow = swirl((80, 200))
    part = flow[20:60, 50:110]
    grown = cv2.resize(np.ascontiguousarray(part[:, ::-1]), SIZE[::-1])
    # a part of 40x60 that fills 64x96
    expected = turned(grown, [[-1, 0], [0, 1]]) * 1.6
    placed = augmenter().placed_flow(flow, Crop(0.25, 0.25, 0.5, 0.3, True))
    assert (placed - image_tensor(flow_colours(expected))).abs().max() <= 1.01 / 255


def test_a_quarter_turn_of_a_square_turns_its_directions():
    square = Augmenter(checked("train"), checked("model", input_size=(64, 64), fit="aspect"))
    flow = swirl((64, 64))
    # clockwise, y points down: what went right goes down, what went down goes left
    expected = turned(np.rot90(flow, -1), [[0, -1], [1, 0]])
    placed = square.placed_flow(flow, Warp(True, 1.0, 1.0, 0.5, 0.5, 90.0, False))
    # a cosine of 6e-17 may tip a rounding
    assert (placed - image_tensor(flow_colours(expected))).abs().max() <= 1.01 / 255


@given(st.integers(0, 10**6), st.sampled_from(["stretch", "aspect"]))
@settings(max_examples=20, deadline=None)
def test_what_rests_is_white_wherever_it_is_placed(seed, fit):
    drawer = augmenter(fit, zoom=1.0, rotation=180.0)
    geometry = drawer.geometry(np.random.default_rng(seed))
    placed = drawer.placed_flow(np.zeros((60, 90, 2), np.float32), geometry)
    assert torch.equal(placed, torch.ones(3, *SIZE))


def test_flow_that_is_kept_small_is_placed_as_if_it_were_not():
    """Vectors are in pixels of the file's size."""
    flow = swirl((160, 300))
    half = cv2.resize(flow, (150, 80), interpolation=cv2.INTER_AREA) / 2
    for geometry in (Crop(0.1, 0.2, 0.7, 0.6, True), Warp(False, 1.2, 1.3, 0.3, 0.6, 20.0, False)):
        one, other = (augmenter().placed_flow(x, geometry) for x in (flow, half))
        assert (one - other).abs().mean() < 0.01


def moved_frames(step: tuple[int, int], size: tuple[int, int]) -> list[np.ndarray]:
    """Two windows of a smooth texture that moves by `step` (right, down) pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, None, 3), None, 0, 255, cv2.NORM_MINMAX)
    starts = [(50, 50), (50 - step[1], 50 - step[0])]
    return [texture[v : v + size[0], u : u + size[1]] for v, u in starts]


@pytest.mark.parametrize(
    "geometry",
    [
        Crop(0.1, 0.2, 0.8, 0.7, False),
        Crop(0.1, 0.2, 0.8, 0.7, True),
        Warp(True, 1.2, 1.2, 0.5, 0.5, 0.0, True),
        Warp(True, 1.3, 1.1, 0.2, 0.7, 30.0, False),
        Warp(True, 1.3, 1.3, 0.5, 0.5, 100.0, True),
        Warp(False, 1.0, 1.4, 0.5, 0.5, -45.0, True),
    ],
)
def test_placed_frames_move_as_their_placed_flow_says(geometry: Geometry):
    """DIS between the placed frames is the judge."""
    step, frame = (5, -3), (200, 280)
    large = Augmenter(checked("train"), checked("model", input_size=(160, 224), fit="aspect"))
    blank = np.zeros(frame, np.float32)
    first, second = (
        large.placed(Picture(image, blank), geometry).image for image in moved_frames(step, frame)
    )
    seen = np.median(dis()(first, second)[40:-40, 40:-40].reshape(-1, 2), 0)
    linear = geometry.linear(frame, (160, 224))
    assert np.abs(seen - linear @ step).max() < 0.15
    placed = large.placed_flow(np.full((*frame, 2), step, np.float32), geometry)
    expected = flow_colours(np.full((160, 224, 2), seen, np.float32))
    apart = (placed[:, 80, 112] * 255 - torch.from_numpy(expected[80, 112])).abs()
    # 0.15 of about 5 pixels, of a wheel whose colours change by 255 in a sixth of a turn
    assert apart.max() < 12


def test_a_flow_lies_where_its_frame_lies():
    """What moves is a disc; the rest is white."""
    mask = disc((80, 150), (40, 60), 24)
    flow = np.where(mask[..., None], np.float32([4, 2]), np.float32(0))
    drawer = augmenter(zoom=1.0, rotation=90.0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        geometry = drawer.geometry(rng)
        truth = drawer.placed(Picture(painted().image, mask.astype(np.float32)), geometry).mask
        moving = drawer.placed_flow(flow, geometry).min(0).values < 0.75
        # the border, where both are between
        sure = (truth < 0.2) | (truth > 0.8)
        assert ((moving.numpy() == (truth > 0.5)) | ~sure).mean() > 0.995
