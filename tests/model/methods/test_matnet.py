"""MATNet against the authors' numbers."""

from __future__ import annotations

import copy
import json
from math import ceil

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from pdnet.model.methods.base import Shown, export_state
from pdnet.model.methods.matnet import (
    BOUNDARY_WEIGHT,
    BRANCH,
    CASCADES,
    LEVELS,
    WIDTHS,
    MATNet,
    boundary_of,
    hard_negative_bce,
)
from tests import baselines

NAME = "MATNet"
GOLDEN_OUTPUT = (473, 473)  # the size that theirs gives, whatever it sees


@pytest.fixture(scope="module")
def fresh() -> MATNet:
    """Drawn weights, in training."""
    torch.manual_seed(0)
    return MATNet()


def two() -> Shown:
    """Two items of an uneven size."""
    torch.manual_seed(1)
    return Shown(torch.randn(2, 3, 70, 97), flow=torch.randn(2, 3, 70, 97))


@pytest.mark.parametrize("which", ["b", "a"])
def test_the_forward_is_the_authors(which):
    """In double precision, and the mask in single too."""
    numbers, single = baselines.Numbers(NAME, which), baselines.filled(NAME, which)
    images = baselines.inputs(NAME, which)
    with torch.no_grad():
        mask = single(images["frame"], images["flow"], GOLDEN_OUTPUT).mask
    numbers.agree({"out_prob": mask})

    network, images = baselines.in_double(NAME, which)
    encoder, decoder = network.encoder, network.decoder
    coarsest = encoder.bridges[3]
    modules = {"sp_att_5": coarsest.by_position, "global_5": coarsest.whole}
    modules |= {"gc": decoder.enter, "rf4": decoder.refinements[2], "rf2": decoder.refinements[0]}
    modules |= {"logits_stride4": decoder.mask, "bdry_logits": network.merge}
    for i in LEVELS:
        modules[f"r{i + 2}_gated"] = encoder.bridges[i]
        modules[f"bdry{i + 2}_logits"] = decoder.boundaries[i]
    for i in LEVELS[1:]:
        modules[f"cascades_{i + 2}"] = encoder.cascades[i - 1]
    given = []
    hooks = [
        bridge.register_forward_pre_hook(lambda _, args: given.append(args[0]))
        for bridge in encoder.bridges
    ]
    with torch.no_grad(), baselines.outputs(modules) as calls:
        output = network(images["frame"], images["flow"], GOLDEN_OUTPUT)
    for hook in hooks:
        hook.remove()

    found = {name: calls[name][0] for name in modules if name in numbers.unseen}
    # a single number, so it has no deviation to count in; it is a sigmoid's
    numbers.unseen.discard("global_5")
    expected = numbers.arrays["global_5"].item()
    assert found.pop("global_5").item() == pytest.approx(expected, rel=baselines.WANTED[which])
    for i in LEVELS[1:]:
        found[f"Zb_{i + 2}"], found[f"Qb_{i + 2}"] = calls[f"cascades_{i + 2}"][0]
    for i in LEVELS:
        found[f"r{i + 2}"] = given[i]
        found[f"out_bdry_{i + 2}"] = output.boundaries[i]
    found["out_prob"], found["out_bdry"] = output.mask, output.boundary
    numbers.agree(found)
    assert not numbers.unseen


def test_the_loss_is_the_authors():
    rng = np.random.default_rng(7)
    probability = baselines.drawn(rng, 2, 1, 24, 20).sigmoid()
    mask = (baselines.drawn(rng, 2, 1, 24, 20) > 0.3).float()
    draw = baselines.drawn(rng, 2, 1, 24, 20).clamp(0, 1)
    overlapping = baselines.drawn(rng, 2, 1, 24, 20).clamp(0, 1)
    file = baselines.GOLDEN_BASELINES / NAME / "losses.json"
    wanted = json.loads(file.read_text())["values"]
    found = {
        "weighted_bce": hard_negative_bce(probability, mask, draw * (1 - mask)).item(),
        "weighted_bce_overlap": hard_negative_bce(probability, mask, overlapping).item(),
    }
    assert found == pytest.approx(wanted, rel=1e-5)
    plain = hard_negative_bce(probability, mask)
    assert torch.equal(plain, hard_negative_bce(probability, mask, torch.zeros_like(mask)))


def test_a_boundary_is_a_line_of_two_pixels_and_the_image_ends_without_one():
    mask = torch.zeros(1, 1, 6, 7)
    mask[..., 3:] = 1
    expected = torch.zeros(1, 1, 6, 7)
    expected[..., 2:4] = 1
    assert torch.equal(boundary_of(mask), expected)
    assert not boundary_of(torch.ones(1, 1, 6, 7)).any()


def test_import_then_export_is_bit_equal():
    state, back = baselines.state_by_rule(NAME, "b"), export_state(baselines.filled(NAME, "b"))
    assert set(back) <= set(state)
    assert set(state) - set(back) == baselines.unused(NAME)
    assert all(torch.equal(value, state[name]) for name, value in back.items())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("decoder.pred2.bias", None, "missing entry 'decoder.pred2.bias'"),
        ("decoder.pred6.bias", torch.zeros(1), "unknown entry 'decoder.pred6.bias'"),
        ("encoder.bn1_2.bias", torch.zeros(63), "entry 'encoder.bn1_2.bias' is (63,)"),
    ],
)
def test_a_wrong_entry_is_one_line(fresh, name, value, says):
    said = baselines.refusal(fresh, export_state(fresh), name, value)
    assert says in said and "\n" not in said


def test_size_and_work_are_the_authors():
    """With the work that theirs does in vain: what no mask sees, and what is there already."""
    about = baselines.summary(NAME)
    # not on `meta`, which has no mixed precision to switch off
    with FakeTensorMode(), torch.no_grad():
        network = MATNet().eval()
        image = torch.empty(1, 3, *about["native_size"])
        with FlopCounterMode(display=False) as counter:
            network(image, image)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == about["params"] - about["params_unused_in_forward"]

    side = about["native_size"][0]
    positions = [ceil(side / stride) ** 2 for stride in (4, 8, 16, 32)]
    gathered_for_the_frame = sum(
        CASCADES * n**2 * width for n, width in zip(positions[1:], WIDTHS[1:], strict=True)
    )
    dilated_again = sum(
        2 * n * 9 * BRANCH * (2 * width + 1)
        for n, width in zip(positions[:3], WIDTHS[:3], strict=True)
    )
    work = counter.get_total_flops() / 2 + gathered_for_the_frame + dilated_again
    assert work / 1e9 == pytest.approx(about["gmacs_native_one_pass"], rel=1e-6)


def test_the_losses_reach_every_parameter(fresh):
    """But for the biases that softmax does not see."""
    mask, negatives = torch.rand(2, 1, 70, 97).round(), torch.rand(2, 1, 70, 97)
    with baselines.outputs({"network": fresh}) as calls:
        losses = fresh.video_losses(two(), mask, None, negatives)
    output, outline = calls["network"][0], boundary_of(mask)
    lines = [output.boundary, *output.boundaries]
    boundaries = sum(hard_negative_bce(line, outline, negatives).item() for line in lines)
    assert len(lines) == 5 and losses["boundaries"].item() == pytest.approx(boundaries)
    assert losses["mask"].item() == pytest.approx(
        hard_negative_bce(output.mask, mask, negatives).item()
    )
    assert losses["total"].item() == pytest.approx(
        losses["mask"].item() + BOUNDARY_WEIGHT * boundaries
    )
    losses["total"].backward()
    wild = [n for n, p in fresh.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    still = [name for name, p in fresh.named_parameters() if not p.grad.any()]
    fresh.zero_grad()
    assert not wild
    assert not [name for name in still if not name.endswith("_score.bias")]
    assert fresh.image_losses(two().frame, mask) is None  # none without a flow


def test_the_losses_stand_in_mixed_precision(fresh):
    mask = torch.rand(2, 1, 70, 97).round()
    with torch.autocast("cpu", torch.bfloat16):
        losses = fresh.video_losses(two(), mask, None)
    assert losses["total"].dtype == torch.float32 and losses["total"].isfinite()


def test_items_of_a_batch_do_not_see_each_other():
    """At a size that no stride divides; in double precision, so that rounding cannot hide it."""
    network, both = copy.deepcopy(baselines.filled(NAME, "b")).double(), two()
    both = Shown(both.frame.double(), flow=both.flow.double())
    with torch.no_grad():
        together = network.probability(both)
        alone = [
            network.probability(Shown(frame[None], flow=flow[None]))
            for frame, flow in zip(both.frame, both.flow, strict=True)
        ]
        whole = network(both.frame, both.flow)
    assert together.shape == (2, 1, 70, 97)
    assert together.min() >= 0 and together.max() <= 1
    assert (together - torch.cat(alone)).abs().max() < 1e-10
    assert torch.equal(together, whole.mask) and whole.boundary.shape == together.shape


def test_the_flow_counts():
    """The mask of a frame changes with the flow beside it."""
    network, shown = baselines.filled(NAME, "b"), two()
    with torch.no_grad():
        found = network.probability(shown)
        other = network.probability(Shown(shown.frame, flow=shown.flow.flip(3)))
    assert (found - other).abs().max() > 1e-2
