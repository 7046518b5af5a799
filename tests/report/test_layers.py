"""What is drawn lies where it is, in the colour that stands for it."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pdnet.data.overlays import part_palette
from pdnet.report.layers import (
    ARROW,
    LAYERS,
    RED,
    Curve,
    draw_arrows,
    draw_pixel,
    gaze_sheet,
    heated,
    jpeg,
    layer_picture,
    part_motion,
    png,
)

SIZE = (40, 60)
FRAME = np.full((*SIZE, 3), 100, np.uint8)
PERSON = np.zeros(SIZE, bool)
PERSON[10:30, 20:40] = True


def clip(bodies: bool = True) -> SimpleNamespace:
    drawn = [np.where(PERSON, 2, -1).astype(np.int8)] if bodies else []
    return SimpleNamespace(frames=[FRAME], truths=[PERSON], bodies=drawn)


def outputs(parts: bool = True) -> SimpleNamespace:
    part_masks = np.zeros((2, 4, 6), np.float32)
    part_masks[0, :, :3], part_masks[1, :, 3:] = 1, 1
    return SimpleNamespace(
        probabilities=[PERSON.astype(np.float16)],
        masks=[PERSON],
        part_masks=[part_masks] if parts else [],
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_is_a_picture_and_leaves_the_frame_as_it_was(layer):
    picture = layer_picture(layer, clip(), outputs(), 0)
    assert picture.shape == FRAME.shape and picture.dtype == np.uint8
    assert (FRAME == 100).all() and picture is not FRAME
    if layer != "frame":
        assert not np.array_equal(picture[12:28, 22:38], FRAME[12:28, 22:38])


@pytest.mark.parametrize("layer", ["parts", "one part", "true parts"])
def test_a_layer_that_is_not_there_is_the_bare_frame(layer):
    picture = layer_picture(layer, clip(bodies=False), outputs(parts=False), 0)
    assert np.array_equal(picture, FRAME)


def test_one_part_is_bright_where_it_is():
    left, right = (layer_picture("one part", clip(), outputs(), 0, part=k) for k in (0, 1))
    assert np.array_equal(left, right[:, ::-1])
    assert not np.array_equal(left, right)
    # a number that this network has no part for is its last
    assert np.array_equal(layer_picture("one part", clip(), outputs(), 0, part=9), right)


def test_heat_hides_the_frame_only_where_it_is():
    picture = heated(FRAME, PERSON.astype(np.float32)).astype(int)
    cold, hot = picture[0, 0], picture[20, 30]
    assert cold.max() - cold.min() == 0, "grey"
    assert hot.max() - hot.min() > 100, "coloured"


def test_a_part_moves_as_its_pixels_do():
    flow = np.zeros((10, 15, 2), np.float16)
    flow[:, :7], flow[:, 8:] = (2, -1), (-3, 0)
    masks = np.zeros((2, 10, 15), np.float32)
    masks[0, 2:8, 0:6], masks[1, :, 9:] = 1, 0.5
    motion = part_motion(masks, flow)
    assert motion[0, :2] == pytest.approx([3 / 15, 5 / 10])
    assert motion[0, 2:] == pytest.approx([2, -1, 36 / 150])
    assert motion[1, 2:] == pytest.approx([-3, 0, 0.5 * 60 / 150])


def test_arrows_are_drawn_for_parts_that_are_large_enough():
    picture = FRAME.copy()
    draw_arrows(picture, np.array([[0.2, 0.5, 5.0, 0.0, 0.005]]))
    assert np.array_equal(picture, FRAME), "a part of half a per cent is noise"
    draw_arrows(picture, np.array([[0.2, 0.5, 5.0, 0.0, 0.5]]))
    changed = np.nonzero((picture != FRAME).any(-1))
    assert changed[1].max() >= 12 + 5 * ARROW - 2, "as long as it says"
    colour = (part_palette(1)[0] * 255).astype(int)
    assert (np.abs(picture[20, 20].astype(int) - colour) < 20).all()


def test_a_ring_marks_the_pixel():
    picture = np.full((100, 100, 3), 100, np.uint8)
    draw_pixel(picture, (0.5, 0.5))
    assert tuple(picture[50, 59]) == RED and (picture[50, 50] == 100).all()


def test_the_part_that_counts_most_is_first_with_its_share_on_it():
    weights = np.zeros((4, 4, 6), np.float32)
    weights[:, 1, 1] = 1
    own = np.array([0.1, 0.6, 0.2, 0.1])
    sheet = gaze_sheet(FRAME, weights, own, width=180)
    assert sheet.shape[1] == 180
    squares = (part_palette(4) * 255).astype(int)
    assert (np.abs(sheet[11, 8].astype(int) - squares[1]) <= 1).all()
    assert (np.abs(sheet[11, 68].astype(int) - squares[2]) <= 1).all()


def test_the_cursor_stands_at_its_frame_and_a_click_finds_it_again():
    stems = [f"{5 * i:05d}" for i in range(13)]
    curve = Curve({"A": (np.linspace(0, 1, 13), np.ones(13))}, stems)
    for index in (0, 6, 12):
        columns = np.nonzero((curve.at(index) == RED).all(-1).sum(0) > 50)[0]
        share = columns.mean() / curve.at(index).shape[1]
        assert curve.nearest(share) == index
    assert curve.nearest(0.0) == 0 and curve.nearest(1.0) == 12


def test_pictures_are_packed_in_true_colours():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = 250
    for packed in (jpeg(picture), png(picture)):
        read = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR)
        assert read[8, 8, 2] > 240 and read[8, 8, 0] < 15, "OpenCV reads blue first"
