"""F2Net against the authors' numbers, and its centres."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pdnet.inference.cost import giga_macs
from pdnet.model.methods.base import Shown, export_state
from pdnet.model.methods.deeplab import alone_loss, frame_loss
from pdnet.model.methods.f2net import (
    F2Net,
    centre_loss,
    centre_map,
    drawn_peaks,
    heat_size,
    peak_radius,
)
from tests import baselines

NAME = "F2Net"


def losses() -> dict[str, Any]:
    return json.loads((baselines.GOLDEN_BASELINES / NAME / "losses.json").read_text())


def gaussian(row: int, column: int, size: tuple[int, int]) -> Tensor:
    """The golden cases' own, of a deviation of three pixels: (1, 1, height, width)."""
    rows, columns = (torch.arange(side) for side in size)
    squared = (rows[:, None] - row) ** 2 + (columns - column) ** 2
    return (-squared / 18).exp()[None, None]


def two() -> Shown:
    """Two items of a target and a reference."""
    torch.manual_seed(0)
    return Shown(torch.randn(2, 3, 32, 40), references=torch.randn(2, 1, 3, 32, 40))


@pytest.mark.parametrize("which", ["b", "a"])
def test_the_forward_is_the_authors(which):
    numbers, network = baselines.Numbers(NAME, which), baselines.filled(NAME, which)
    images, shares = baselines.inputs(NAME, which), network.fusion.shares
    modules = {"features": network.encoder.pyramid, "single_logits": network.encoder.classifier}
    modules |= {"squeeze": shares[0], "channel_logits": shares[3], "f_fused": network.fusion}
    modules |= {"logits": network.readout, "up64": network.centre, "heat_fc": network.heat.seen}
    modules |= {"motion_w_logits": network.heat.trust, "motion_b_logits": network.heat.offset}
    sources = []
    hook = network.fusion.register_forward_pre_hook(lambda _, given: sources.append(given[0]))
    with torch.no_grad(), baselines.outputs(modules) as calls:
        seen = network(images["target"], images["reference"], gaussian(10, 17, (19, 43)))
    hook.remove()

    features, single_logits = calls.pop("features"), calls.pop("single_logits")
    found = {name: values[0] for name, values in calls.items()}
    for i, side in enumerate("rc"):  # the reference is encoded first
        found[f"F_{side}"], found[f"single_logits_{side}"] = features[i], single_logits[i]
    found["f_sum"] = sources[0].sum(1)
    found |= {"out_prob": seen.mask, "out_single_prob_c": seen.alone, "out_heat": seen.heat}
    numbers.agree(found)
    assert not numbers.unseen


def test_the_losses_are_the_authors():
    rng, wanted = np.random.default_rng(7), losses()["values"]
    logits = baselines.drawn(rng, 2, 1, 24, 20)
    mask = (baselines.drawn(rng, 2, 1, 24, 20) > 0.3).float()
    heat = 3 * baselines.drawn(rng, 2, 1, 19, 17)
    centres = torch.cat([gaussian(7, 5, (19, 17)), gaussian(4, 11, (19, 17))])
    centre, frame = centre_loss(heat, centres), frame_loss(logits.sigmoid(), mask)
    found = {
        "focal": centre,
        "focal_no_positive_target_halved": centre_loss(heat, centres / 2),
        "video_step": frame + centre,
        "image_step": alone_loss(logits, mask) + centre,
    }
    for name, value in found.items():
        assert value.item() == pytest.approx(wanted[name], rel=1e-5), name


def test_the_gaussians_are_the_authors():
    about = losses()
    for box, radius in about["gaussian_radius"].items():
        height, width = (torch.tensor(float(side)) for side in box.split("x"))
        assert peak_radius(height, width).item() == pytest.approx(radius, rel=1e-5)
    row, column, radius = (torch.tensor(pair) for pair in ((7, 1), (5, 15), (6, 4)))
    first, second = drawn_peaks(row=row, column=column, radius=radius, size=(19, 17))
    sums = [first.sum().item(), torch.maximum(first, second).sum().item()]
    assert sums == pytest.approx(about["drawn_map_sum"]["sums"], rel=1e-5)


def test_a_centre_is_the_middle_of_its_box():
    mask = torch.zeros(3, 1, 40, 60)
    mask[0, 0, 8:29, 20:31] = 1  # rows 8..28, columns 20..30
    mask[1, 0, 39, 59] = 1
    found = centre_map(mask, (40, 60))
    assert found.shape == (3, 1, 40, 60)
    assert found.flatten(1).max(1).values.tolist() == [1, 1, 1]
    # an empty mask has its peak in the corner
    assert found.flatten(1).argmax(1).tolist() == [18 * 60 + 25, 39 * 60 + 59, 0]


@pytest.mark.parametrize("side", [32, 33, 34, 35, 72, 169, 473])
def test_the_heat_map_has_the_first_stages_size(side):
    with torch.device("meta"):
        network = F2Net().eval()
        first = network.encoder.backbone(torch.empty(1, 3, side, side + 1))[0]
    assert heat_size((side, side + 1)) == tuple(first.shape[-2:])


def test_import_then_export_is_bit_equal():
    state, back = baselines.state_by_rule(NAME, "b"), export_state(baselines.filled(NAME, "b"))
    assert set(state) - set(back) == set(baselines.summary(NAME)["unused_entries"])
    assert set(back) <= set(state)
    assert all(torch.equal(value, state[name]) for name, value in back.items())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("cls.3.bias", None, "missing entry 'cls.3.bias'"),
        ("linear_e.weight", torch.zeros(64), "unknown entry 'linear_e.weight'"),
        ("fc.2.bias", torch.zeros(2), "entry 'fc.2.bias' is (2,)"),
    ],
)
def test_a_wrong_entry_is_one_line(name, value, says):
    network = baselines.filled(NAME, "b")
    said = baselines.refusal(network, export_state(network), name, value)
    assert says in said and "\n" not in said


def test_size_and_work_are_the_authors():
    about = baselines.summary(NAME)
    with torch.device("meta"):
        network = F2Net().eval()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == about["params"] - about["params_unused_in_forward"]
    image = torch.empty(1, 3, *about["native_size"], device="meta")
    with torch.no_grad():
        gmacs = giga_macs(lambda: network(image, image))
    assert gmacs == pytest.approx(about["gmacs_native_one_pass"], rel=0.005)


def test_the_losses_reach_every_parameter():
    """Of a clip all but the single-image head, of an image all but the mask's own head."""
    network, shown = F2Net(), two()
    mask = torch.zeros(2, 1, 32, 40)
    mask[..., 8:24, 12:30] = 1
    video = network.video_losses(shown, mask, mask[:, None])
    assert video["total"].item() == pytest.approx(video["frame"].item() + video["centre"].item())
    video["total"].backward()
    still = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == {"encoder.classifier.weight", "encoder.classifier.bias"}
    network.zero_grad()
    image = network.image_losses(shown.frame, mask)
    assert image["total"].item() == pytest.approx(image["alone"].item() + image["centre"].item())
    image["total"].backward()
    still = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}
    assert still == {"fusion", "readout"}


def test_items_do_not_see_each_other_and_the_centre_does_not_reach_the_mask():
    network, shown = baselines.filled(NAME, "b"), two()
    with torch.no_grad():
        both = network.probability(shown)
        second = network.probability(Shown(shown.frame[1:], references=shown.references[1:]))
        without = network(shown.frame, shown.references[:, 0])
        centred = network(shown.frame, shown.references[:, 0], torch.ones(2, 1, 9, 11))
        other = network.probability(Shown(shown.frame[1:], references=shown.references[:1]))
    assert both.shape == (2, 1, 32, 40)
    assert (both[1:] - second).abs().max() < 1e-5
    assert torch.equal(both, without.mask) and torch.equal(both, centred.mask)
    assert (without.heat - centred.heat).abs().max() > 1e-2
    assert (second - other).abs().max() > 1e-5
