"""Looking from near: a network that finds what is bright, and a bright square that moves."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pdnet.config import EvaluateConfig, ModelConfig, checked
from pdnet.data.images import read_mask
from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.inference.near import (
    AROUND,
    LEAST,
    MARGIN,
    NearSegmenter,
    clip_segmenter_of,
    film_masks,
    window_around,
)
from pdnet.inference.people import masks
from pdnet.inference.predict import predict_clips
from pdnet.inference.segment import ClipSegmenter
from pdnet.model.pdnet import Output
from tests.helpers import make_tree, small

SIZE = (120, 200)


class Bright(nn.Module):
    """Finds bright pixels, and remembers the shapes of what it was shown as target and
    reference.
    """

    looks_at = "reference"

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.config = ModelConfig(input_size=(96, 96), fit="aspect")
        self.encoder = SimpleNamespace(normalise=lambda image: image)
        self.targets: list[float] = []  # how bright each was on average
        self.references: list[float] = []

    def encode_reference(self, frame: Tensor) -> Tensor:
        self.references.append(float(frame.mean()))
        return frame

    def segment(self, frame: Tensor, memory: Tensor, flow: Tensor | None = None) -> Output:
        self.targets.append(float(frame.mean()))
        return Output(20 * (frame[:, :1] - 0.5), frame, None, None, [])


def square(top: int, left: int, side: int = 30, size: tuple[int, int] = SIZE) -> np.ndarray:
    frame = np.zeros((*size, 3), np.uint8)
    frame[top : top + side, left : left + side] = 255
    return frame


def looked(network: nn.Module, frames: list[np.ndarray]) -> list[np.ndarray]:
    segmenter = NearSegmenter(network, frames.__getitem__, len(frames), people="largest")
    return [found.probability > 0.5 for found in segmenter]


def agree(mask: np.ndarray, frame: np.ndarray) -> float:
    truth = frame[..., 0] > 0
    return (mask & truth).sum() / (mask | truth).sum()


def test_a_window_is_a_square_with_a_margin_that_the_frame_cuts_off():
    mask = np.zeros((100, 300), bool)
    mask[20:60, 100:120] = True
    side = 40 * (1 + 2 * MARGIN)
    top, bottom, left, right = window_around(mask)
    assert (bottom - top, right - left) == (side, side)
    assert (top + bottom, left + right) == pytest.approx((80, 220), abs=1)
    top, bottom, left, right = window_around(mask, square=False)
    assert (bottom - top, right - left) == (side, max(20 + 2 * MARGIN * 40, LEAST * 100))
    assert (top + bottom, left + right) == pytest.approx((80, 220), abs=1)
    mask[20:60, 100:240] = True
    assert window_around(mask) == (0, 100, 72, 268)  # 196 wide, and no higher than the frame
    mask[:] = False
    mask[0, 0] = True
    assert window_around(mask) == (0, LEAST * 100, 0, LEAST * 100)


def test_nothing_and_nearly_everything_have_no_window():
    assert window_around(np.zeros((100, 300), bool)) is None
    assert window_around(np.ones((100, 300), bool)) is None


def test_who_moves_is_found_in_windows_and_now_and_again_in_the_whole_frame():
    network, frames = Bright(), [square(40, 20 + 5 * i) for i in range(AROUND + 3)]
    found = looked(network, frames)
    assert all(agree(mask, frame) > 0.85 for mask, frame in zip(found, frames, strict=True))
    # the square is 900 of 24,000 pixels in a whole frame, and much more in a window
    near = np.array(network.targets) > 0.1
    assert near.sum() == len(frames) and (~near).sum() == 3  # twice around, once for the reference
    assert sorted(brightness > 0.1 for brightness in network.references) == [False, True]


def test_finer_than_the_whole_frame():
    frames = [square(40, 20 + 5 * i, side=24) for i in range(8)]
    network = Bright()
    network.config = ModelConfig(input_size=(32, 32), fit="aspect")
    whole = ClipSegmenter(network, frames.__getitem__, len(frames))
    coarse = np.mean(
        [agree(one.probability > 0.5, f) for one, f in zip(whole, frames, strict=True)]
    )
    fine = [agree(mask, frame) for mask, frame in zip(looked(network, frames), frames, strict=True)]
    assert np.mean(fine) > coarse + 0.05


def test_who_jumps_out_of_the_window_is_found_in_the_same_frame():
    frames = [square(5, 5), square(5, 7), square(80, 160), square(80, 158), square(0, 0, 0)]
    found = looked(Bright(), [*frames, square(50, 90)])
    assert all(agree(mask, f) > 0.85 for mask, f in zip(found[:4], frames[:4], strict=True))
    assert not found[4].any() and agree(found[5], square(50, 90)) > 0.85


def test_a_first_frame_without_anybody_is_a_reference_as_a_whole():
    network = Bright()
    frames = [square(0, 0, 0), square(30, 40), square(30, 45)]
    found = looked(network, frames)
    assert not found[0].any() and agree(found[2], frames[2]) > 0.85
    assert network.references == [0, 0]


def test_frames_may_change_their_size():
    frames = [square(40, 50), square(40, 50, size=(160, 160)), square(40, 55, size=(160, 160))]
    found = looked(Bright(), frames)
    assert [mask.shape for mask in found] == [frame.shape[:2] for frame in frames]
    assert all(agree(mask, frame) > 0.85 for mask, frame in zip(found, frames, strict=True))


def test_parts_lie_where_the_window_does(monkeypatch):
    network = small(input_size=(64, 64), fit="aspect")
    frames = np.random.default_rng(0).integers(0, 255, (3, *SIZE, 3), dtype=np.uint8)
    segmenter = NearSegmenter(network, frames.__getitem__, 3, people="largest")
    segmenter.segment(0)
    # drawn weights find nobody in particular: somebody is planted
    segmenter._move(np.where(square(0, 0)[..., 0] > 0, 0.9, 0.1))
    window, segmenter._near = segmenter._window, segmenter._around_the_first()
    monkeypatch.setattr("pdnet.inference.near.SURE", 0.0)
    found = segmenter.segment(1)
    assert found.probability.shape == SIZE
    outside = np.ones(SIZE, bool)
    window.of(outside)[:] = False
    assert not found.probability[outside].any() and found.probability[~outside].all()
    parts, h, w = found.part_masks.shape
    assert parts == 3 and w > h
    place = window.scaled(SIZE, (h, w))
    assert found.part_masks.sum() == pytest.approx(
        sum(place.of(part).sum() for part in found.part_masks)
    )
    assert found.part_masks.sum() > 0


@pytest.mark.parametrize("changes", [{"difference": "plain"}, {"position": "displacement"}])
def test_a_network_that_compares_places_is_refused(changes):
    with pytest.raises(InputError, match="look 'near': not for a network that compares places"):
        film_masks(small(**changes), threshold=0.5, people="all", look="near")(square(0, 0))


def test_another_look_is_refused():
    with pytest.raises(InputError, match="look 'far': expected whole, near"):
        film_masks(small(), threshold=0.5, people="all", look="far")
    with pytest.raises(InputError, match=r"only 'first' goes with evaluate\.look: near"):
        checked("evaluate", look="near", reference="every_n")


def test_files_and_a_single_frame_of_a_clip_show_what_the_walk_does(tmp_path):
    clip = read_tree(make_tree(tmp_path / "tree")).clips("val")[0]
    network, options = small(input_size=(64, 64)), EvaluateConfig(look="near", threshold=0.45)
    predict_clips(network, [clip], tmp_path / "out", options=options)
    how = {"threshold": 0.45}
    for stem in clip.frames:
        [(_, mask)] = masks(clip_segmenter_of(network, clip, options), clip, [stem], **how)
        assert (mask == (read_mask(tmp_path / f"out/{clip.name}/{stem}.png") > 0)).all()
