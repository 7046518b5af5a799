"""Compared methods whole: their checkpoints, and what they are shown: never an annotation."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pdnet.base.files import write_text
from pdnet.config import EvaluateConfig
from pdnet.data.flow import clip_flow, dis, flow_colours, write_flow
from pdnet.data.images import read_frame, read_labels
from pdnet.data.layout import Clip, read_tree
from pdnet.errors import InputError
from pdnet.inference import native
from pdnet.inference.native import MethodSegmenter, native_references, native_size, predict_tree
from pdnet.inference.predict import predict_clips
from pdnet.inference.segment import walk
from pdnet.model.methods import METHODS, cosnet, method_class
from pdnet.model.methods.base import Method, NativeProtocol, Shown, export_state
from pdnet.model.methods.hfan import slid
from tests import baselines
from tests.helpers import make_tree, small

SIZE = (48, 64)  # of the trees' frames
KINDS = {
    "alone": {},
    "sizes": {"sizes": (SIZE, (32, 40)), "colours": "caffe"},
    "first": {"references": "first", "count": 1},
    "random": {"references": "random", "count": 7},  # more than the tree's clips have
    "around": {"references": "around", "count": 2},
    "flow": {"flow": True, "flips": ("horizontal", "vertical")},
    "window": {"sizes": ((64, 64),), "flow": True, "window_stride": 40},
}


class Tiny(Method):
    """Bright pixels, the likelier the farther to the right and down; notes what it is shown."""

    protocol = NativeProtocol(sizes=(SIZE,))
    dead = (r"^unused\.",)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)
        self.seen: list[Shown] = []

    def probability(self, shown: Shown) -> Tensor:
        self.seen.append(shown)
        window, stride = self.protocol.sizes[0], self.protocol.window_stride
        return slid(self.likely, shown.frame, window=window, stride=stride)

    def likely(self, frame: Tensor) -> Tensor:
        down, right = (torch.linspace(0, 1, side) for side in frame.shape[-2:])
        return (self.weight * frame[:, :1] * (down[:, None] + 2 * right)).sigmoid()

    def video_losses(self, shown, mask, reference_masks): ...


def tiny(weight: float = 1.0, **protocol) -> Tiny:
    network = Tiny().eval()
    network.protocol = replace(Tiny.protocol, **protocol)
    torch.nn.init.constant_(network.weight, weight)
    return network


@pytest.fixture
def known(monkeypatch) -> None:
    monkeypatch.setitem(METHODS, "Tiny", ("cosnet", "Tiny"))
    monkeypatch.setattr(cosnet, "Tiny", Tiny, raising=False)


@pytest.fixture
def blind(tree) -> Path:
    """The tree with annotations that nobody can read, and flow at half the frames' size."""
    for clip in read_tree(tree).every_clip():
        frames = [read_frame(clip.frame(stem))[::2, ::2] for stem in clip.frames]
        for stem, flow in zip(clip.frames, clip_flow(frames, dis()), strict=True):
            write_flow(clip.flow(stem), flow)
            clip.mask(stem).write_bytes(b"nobody may look here")
    return tree


def val_clip(root: Path) -> Clip:
    return read_tree(root).clips("val")[0]


def assert_masks(out: Path) -> None:
    """Of the evaluation clip of `tree`."""
    for i in range(5):
        mask = read_labels(out / f"b/three/{5 * i:05d}.png")
        assert mask.shape == SIZE and set(np.unique(mask)) <= {0, 255}


def released(method: str) -> dict[str, Tensor]:
    """The authors' entries, each its own piece of one wave, which a file then holds once."""
    state, wave = {}, 1 + torch.arange(2e7).sin() / 2
    for name, shape in baselines.entries(method).items():
        start, counts = zlib.crc32(name.encode()) % 10007, name.endswith("num_batches_tracked")
        state[name] = torch.tensor(start) if counts else wave[start:][: prod(shape)].view(shape)
    return state


def write_released(path: Path, state: dict[str, Tensor], below: str = "") -> None:
    """The entries below a name, as a training on two GPUs writes them."""
    inside = {name: value for name, value in state.items() if name.startswith(below)}
    named = {f"module.{name.removeprefix(below)}": value for name, value in inside.items()}
    path.parent.mkdir(exist_ok=True)
    torch.save({"epoch": 3, "model": named}, path)


@pytest.mark.parametrize("method", METHODS)
def test_an_authors_checkpoint_is_bit_equal_in_our_file(method, tmp_path, monkeypatch):
    for slow in ("torch.nn.init.kaiming_normal_", "torch.nn.init.kaiming_uniform_", "os.fsync"):
        monkeypatch.setattr(slow, lambda *_, **__: None)  # up to 157 million weights, drawn twice
    theirs, ours, given = tmp_path / "theirs", tmp_path / "ours.safetensors", released(method)
    for half in ("encoder", "decoder") if method in native.TWO_FILES else ():
        write_released(theirs / f"{half}_best.pth", given, f"{half}.")
    if not theirs.exists():
        write_released(theirs, given)
    network, dropped = native.import_baseline(method, theirs)
    unused = [name for name in dropped if "running_" not in name and "num_batches" not in name]
    assert sorted(unused) == sorted(baselines.summary(method)["unused_entries"])
    native.save_method(network, ours, {"dropped": dropped})
    again = native.load_method(ours)
    ours.unlink()
    assert type(again) is method_class(method) and not (network.training or again.training)
    found = export_state(again)
    assert set(found) == set(given) - set(dropped)
    assert all(torch.equal(value, given[name]) for name, value in found.items())


def test_what_is_no_checkpoint_of_the_method_is_one_line(known, tmp_path, cli):
    write_released(tmp_path / "hfan", released("HFAN-M"))
    write_released(tmp_path / "nan", {"weight": torch.tensor([float("nan")])})
    for method, name, text in (
        ("COSNet", "hfan", "hfan: no sound checkpoint of COSNet (missing entry"),
        ("Tiny", "nan", "values that are not finite"),
        ("Tiny", "nowhere", "no file of weights is there"),
        ("Tiny", ".", "a folder; the release of Tiny is one file"),
        ("MATNet", ".", "0 weight files '*encoder*', expected one"),
        ("UNet", "nan", "method 'UNet': expected AGNN, AMC-Net"),
    ):
        status, output = cli("import-baseline", method, tmp_path / name, "-o", tmp_path / "ours")
        assert status == 2 and output.count("\n") == 1 and text in output, output
    assert not (tmp_path / "ours").exists()


def test_the_commands_import_and_predict_and_tell_of_a_damaged_file(known, tmp_path, cli, blind):
    write_released(tmp_path / "theirs", {"weight": torch.ones(1), "unused.bias": torch.ones(2)})
    ours, out = tmp_path / "ours.safetensors", tmp_path / "out"
    status, output = cli("import-baseline", "Tiny", tmp_path / "theirs", "--out", ours)
    assert status == 0 and "1 dropped" in output and "unused.bias" in output
    status, output = cli("predict-baseline", ours, blind, "--out", out, "--device", "cpu")
    assert status == 0 and f"5 masks in {out}\n" in output
    assert_masks(out)
    (tmp_path / "cut").write_bytes(ours.read_bytes()[:-2])
    (tmp_path / "head").write_bytes(ours.read_bytes().replace(b"Tiny", b"Tony"))
    (tmp_path / "later").write_bytes(ours.read_bytes().replace(b"method-1", b"method-2"))
    native.save_method(tiny(float("inf")), tmp_path / "infinite")
    for name in ("cut", "head", "later", "infinite", "nowhere", "theirs"):
        status, output = cli("predict-baseline", tmp_path / name, blind, "--out", out)
        assert status == 2 and output.count("\n") == 1, output
        assert f"{name}: no compared method's checkpoint, or damaged (" in output


def test_maps_of_all_sizes_are_averaged_at_the_frames_size(tree):
    network = tiny(sizes=((24, 32), (96, 40)))
    found = MethodSegmenter(network, val_clip(tree)).segment(0).probability
    images = [shown.frame for shown in network.seen]
    assert [tuple(image.shape) for image in images] == [(1, 3, 24, 32), (1, 3, 96, 40)]
    enlarge = nn.Upsample(SIZE, mode="bilinear")
    maps = [enlarge(network.likely(image))[0, 0] for image in images]
    np.testing.assert_allclose(found, sum(maps) / 2, atol=1e-6)


def test_frames_are_in_the_methods_colours(tree):
    for colours, values in (  # the first in COSNet's facts.md, the second torchvision's
        ("caffe", (30 - 104.00699, 20 - 116.66877, 10 - 122.67892)),
        ("imagenet", ((10 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224, -0.28835 / 0.225)),
    ):
        network, frame = tiny(colours=colours), np.full((*SIZE, 3), (10, 20, 30), np.uint8)
        MethodSegmenter(network, val_clip(tree)).segment(0, frame)
        pixels = network.seen[0].frame[0].flatten(1)
        assert (pixels - torch.tensor(values)[:, None]).abs().max() < 1e-3


def test_each_frame_is_shown_its_references(tmp_path, monkeypatch):
    clip = val_clip(make_tree(tmp_path / "tree", train=(), frames=11))
    around = [(max(i - 4, 0), min(i + 4, 10)) for i in range(11)]
    drawn = native_references(tiny(**KINDS["random"]).protocol, 3, 11, seed=5)
    expected = {"first": 11 * [(0,)], "around": around, "random": 11 * [drawn]}
    for kind, references in expected.items():
        network, read = tiny(**KINDS[kind]), Mock(side_effect=read_frame)
        monkeypatch.setattr(native, "read_frame", read)
        list(walk(MethodSegmenter(network, clip, seed=5), clip))  # which reads the targets
        for shown, chosen in zip(network.seen, references, strict=True):
            wanted = torch.stack([network.seen[i].frame for i in chosen], 1)
            assert torch.equal(shown.references, wanted)
        assert read.call_count == len(set(sum(references, ())))  # each reference once


def test_random_references_hang_on_seed_and_length_and_short_clips_repeat_them():
    draw = partial(native_references, tiny(**KINDS["random"]).protocol)
    chosen = draw(0, 20, seed=1)
    assert len(set(chosen)) == 7 and draw(9, 20, seed=1) == chosen
    assert chosen not in (draw(0, 20, seed=2), draw(0, 21, seed=1))
    assert set(draw(0, 3)) == {0, 1, 2}


@pytest.mark.parametrize(("flip", "axis"), [("horizontal", 1), ("vertical", 0)])
def test_with_flips_a_mirrored_frame_has_the_mirrored_mask(flip, axis, blind):
    frame = read_frame(val_clip(blind).frame("00000"))
    for flips in ((flip,), ()):
        network = tiny(flips=flips, flow=True)
        segmenter = MethodSegmenter(network, val_clip(blind))
        plain = segmenter.segment(0).probability
        mirrored = segmenter.segment(0, np.flip(frame, axis)).probability
        assert np.allclose(np.flip(mirrored, axis), plain, atol=1e-6) is bool(flips)
        first, second, *_ = (shown.flow for shown in network.seen)
        assert torch.equal(second, first.flip(axis - 2) if flips else first)


def test_flow_has_the_colours_of_the_frames_pixels(tree):
    clip, network = val_clip(tree), tiny(flow=True)
    moves = np.zeros((24, 16, 2), np.float32)
    moves[:, 8:] = (1, -1.5)  # (4, -3) in a frame twice as high and four times as wide
    write_flow(clip.flow(clip.frames[0]), moves)
    MethodSegmenter(network, clip).segment(0)
    colours = torch.from_numpy(flow_colours(np.float32([[(0, 0), (4, -3)]]))).permute(2, 0, 1)
    wanted = native.in_colours_of(network.protocol, colours / 255)[:, 0]  # at rest, moving
    assert torch.allclose(network.seen[0].flow[0, :, 20, [10, 50]], wanted, atol=1e-5)


def test_where_a_window_slides_the_frame_keeps_its_aspect():
    # the first is in facts.md of HFAN-M; 2048 pixels at most
    sizes = {(480, 854): (512, 928), (854, 480): (928, 512), (100, 1000): (224, 2048)}
    protocol = method_class("HFAN-M").protocol
    assert {frame: native_size(protocol, (512, 512), frame) for frame in sizes} == sizes


@pytest.mark.parametrize("kind", KINDS)
def test_no_protocol_looks_at_an_annotation(kind, blind, tmp_path):
    assert predict_tree(tiny(**KINDS[kind]), blind, "val", tmp_path / "out") == 5
    assert_masks(tmp_path / "out")


@pytest.mark.parametrize(
    ("method", "protocol", "module"),
    [  # two references; 64x96 pixels and so two windows
        ("COSNet", {"sizes": ((32, 40),), "count": 2}, "affinity"),
        ("HFAN-M", {"sizes": ((64, 64),), "window_stride": 34}, "head"),
    ],
)
def test_no_method_looks_at_an_annotation(method, protocol, module, blind, tmp_path, monkeypatch):
    kind, network = method_class(method), baselines.filled(method, "b")
    monkeypatch.setattr(kind, "protocol", replace(kind.protocol, **protocol))
    with baselines.outputs({"passes": getattr(network, module)}) as calls:
        assert predict_tree(network, blind, "val", tmp_path / "out") == 5
    assert len(calls["passes"]) == 5 * 2
    assert_masks(tmp_path / "out")


def test_pdnet_looks_at_no_annotation(blind, tmp_path):
    network = small(input_size=(64, 64))
    predict_clips(network, [val_clip(blind)], tmp_path, options=EvaluateConfig())
    assert_masks(tmp_path)


def test_nothing_of_others_is_overwritten_and_an_earlier_run_is(tree, tmp_path):
    network, out = tiny(), tmp_path / "out"
    for folder in (tree, tree / "masks", tmp_path / "flow"):
        with pytest.raises(InputError, match="masks would lie among the data"):
            predict_tree(network, tree, "val", folder)
    beside, theirs = out / "b/three/notes.txt", out / "a/one/00005.png"
    write_text(beside, "mine")
    write_text(theirs, "mine")
    assert predict_tree(network, tree, "val", out) == predict_tree(network, tree, "val", out) == 5
    with pytest.raises(InputError, match="00005.png: no earlier run wrote this"):
        predict_tree(network, tree, "train", out)
    assert beside.read_text() == theirs.read_text() == "mine"
    assert not (out / "a/one/00000.png").exists()


def test_what_cannot_be_predicted_is_told(tree, tmp_path):
    with pytest.raises(
        InputError, match=r"00000.png: missing \(5 in all\); .*computes the optical flow"
    ):
        predict_tree(tiny(flow=True), tree, "val", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="00000: the network's output is not finite"):
        predict_tree(tiny(float("nan")), tree, "val", tmp_path / "out")
