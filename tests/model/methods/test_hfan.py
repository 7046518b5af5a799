"""HFAN-M against the authors' numbers, and its windows."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pdnet.inference.cost import giga_macs
from pdnet.model.methods.base import Shown, export_state
from pdnet.model.methods.hfan import HFAN, pixel_cross_entropy, slid, window_starts
from tests import baselines

NAME = "HFAN-M"


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def two() -> Shown:
    """Two items of an uneven size."""
    torch.manual_seed(0)
    return Shown(torch.randn(2, 3, 70, 97), flow=torch.randn(2, 3, 70, 97))


@pytest.mark.parametrize("which", ["b", "a"])
def test_the_forward_is_the_authors(which):
    """Rule A in double precision: in single the golden numbers themselves are off by 1.4e-3."""
    numbers, network = baselines.Numbers(NAME, which), baselines.filled(NAME, which)
    images = baselines.inputs(NAME, which)
    if which == "a":
        network = copy.deepcopy(network).double()
        images = {name: image.double() for name, image in images.items()}
    levels, stages = network.levels, network.encoder.stages
    modules = {
        "patch_embed1": network.encoder.patch_embed,
        "block1_0": stages[0].blocks[0],
        "linear_fuse": network.head.fuse,
        "logits_stride4": network.head,
    }
    for i in range(4):
        modules[f"mit_{i + 1}"] = stages[i].norm
        modules[f"ofa_{i + 1}"] = levels[i]
    for i in (1, 4):
        modules[f"object_pred_{i}"] = levels[i - 1].objects.regions
        modules[f"object_context_{i}"] = levels[i - 1].objects
        modules[f"aligned_{i}"] = levels[i - 1].align
        modules[f"ca_{i}"] = levels[i - 1].local
        modules[f"pa_{i}"] = levels[i - 1].overall
    with torch.no_grad(), baselines.outputs(modules) as calls:
        probability = network.probability(Shown(**images))
    for i in (1, 4):
        calls[f"im_ctx_{i}"], calls[f"fw_ctx_{i}"] = zip(calls.pop(f"aligned_{i}"), strict=True)
    found = {name: values[0] for name, values in calls.items()}
    found["patch_embed1"] = found["patch_embed1"].flatten(1, 2)
    found["out_logits"] = enlarged(found["logits_stride4"], (96, 128))
    found["out_prob"] = torch.cat([1 - probability, probability], 1)
    numbers.agree(found)
    assert not numbers.unseen

    # the two channels lie further apart than either varies over the frame
    expected = numbers.arrays["logits_stride4"]
    spread = (expected - expected.mean((2, 3), keepdims=True)).std()
    apart = np.abs(found["logits_stride4"].numpy() - expected).max()
    assert apart <= baselines.WANTED[which] * spread


def test_the_loss_is_the_authors():
    rng = np.random.default_rng(7)
    logits = baselines.drawn(rng, 2, 2, 6, 5)
    labels = (baselines.drawn(rng, 2, 24, 20) > 0.3).long()
    labels[:, :2] = 255
    file = baselines.GOLDEN_BASELINES / NAME / "losses.json"
    wanted = json.loads(file.read_text())["values"]["ce_mean_over_all_pixels_mmseg"]
    assert pixel_cross_entropy(logits, labels).item() == pytest.approx(wanted, rel=1e-5)


def test_import_then_export_is_bit_equal():
    state = baselines.state_by_rule(NAME, "b")
    back = export_state(baselines.filled(NAME, "b"))
    assert set(state) - set(back) == set(baselines.summary(NAME)["unused_entries"])
    assert all(torch.equal(value, state[name]) for name, value in back.items())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("decode_head.linear_pred.bias", None, "missing entry 'decode_head.linear_pred.bias'"),
        ("decode_head.extra", torch.zeros(1), "unknown entry 'decode_head.extra'"),
        ("backbone.backbone.norm1.bias", torch.zeros(63), "'backbone.backbone.norm1.bias' is (63,"),
    ],
)
def test_a_wrong_entry_is_one_line(name, value, says):
    network = baselines.filled(NAME, "b")
    said = baselines.refusal(network, baselines.state_by_rule(NAME, "b"), name, value)
    assert says in said and "\n" not in said


def test_size_and_work_are_the_authors():
    about = baselines.summary(NAME)
    with torch.device("meta"):
        network = HFAN().eval()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == about["params"] - about["params_unused_in_forward"]
    image = torch.empty(1, 3, *about["native_size"], device="meta")
    with torch.no_grad():
        gmacs = giga_macs(lambda: network(image, image))
    assert gmacs == pytest.approx(about["gmacs_native_one_pass"], rel=0.005)


def test_the_loss_reaches_every_parameter():
    """In training mode: batch statistics, so two items."""
    torch.manual_seed(0)
    network, mask = HFAN(), (torch.randn(2, 1, 70, 97) > 0).float()
    network.video_losses(two(), mask, None)["total"].backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_items_of_a_batch_do_not_see_each_other():
    network, shown = baselines.filled(NAME, "b"), two()
    with torch.no_grad():
        together = network.probability(shown)
        alone = [
            network.probability(Shown(frame[None], flow=flow[None]))
            for frame, flow in zip(shown.frame, shown.flow, strict=True)
        ]
    assert together.shape == (2, 1, 70, 97)
    assert (together - torch.cat(alone)).abs().max() < 1e-5


def test_windows_end_at_the_border():
    # 854x480 at a short side of 512 becomes 928x512: the authors' three windows
    assert window_starts(928, 512, 271) == [0, 271, 416]
    assert window_starts(512, 512, 271) == [0]
    assert window_starts(783, 512, 271) == [0, 271]
    assert window_starts(100, 512, 271) == [0]


def test_windows_are_averaged_where_they_overlap():
    """Against a sum that is written out: windows 0..4, 2..6 and 3..7 of seven columns."""
    image = torch.arange(7.0).view(1, 1, 1, 7)
    windows = []

    def segment(window):
        windows.append(window)
        return torch.full_like(window, len(windows))  # the first gives 1, the second 2, ...

    found = slid(segment, image, window=(4, 4), stride=2)
    assert [window.flatten().tolist() for window in windows] == [
        [0, 1, 2, 3],
        [2, 3, 4, 5],
        [3, 4, 5, 6],
    ]
    assert found.flatten().tolist() == [1, 1, 1.5, 2, 2.5, 2.5, 3]
    assert torch.equal(slid(lambda x: 2 * x, image, window=(4, 4), stride=0), 2 * image)


def test_a_wide_frame_is_the_mean_of_its_windows_logits(monkeypatch):
    network, shown = baselines.filled(NAME, "b"), two()
    protocol = dataclasses.replace(HFAN.protocol, sizes=((70, 64),), window_stride=33)
    monkeypatch.setattr(HFAN, "protocol", protocol)
    with torch.no_grad():
        found = network.probability(shown)
        left, right = (
            enlarged(network(shown.frame[..., columns], shown.flow[..., columns]), (70, 64))
            for columns in (slice(0, 64), slice(33, 97))
        )
    middle = (left[..., 33:] + right[..., :31]) / 2
    expected = torch.cat([left[..., :33], middle, right[..., 31:]], 3).softmax(1)[:, 1:]
    assert (found - expected).abs().max() < 1e-5
