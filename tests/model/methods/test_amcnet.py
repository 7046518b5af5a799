"""AMC-Net against the authors' numbers."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from pdnet.inference.cost import giga_macs
from pdnet.model.methods.amcnet import AMCNet, map_bce
from pdnet.model.methods.base import Shown, export_state
from tests import baselines

NAME = "AMC-Net"


@pytest.fixture(scope="module")
def fresh() -> AMCNet:
    """Drawn weights, in training."""
    torch.manual_seed(0)
    return AMCNet()


def two() -> Shown:
    """Two items of an uneven size."""
    torch.manual_seed(1)
    return Shown(torch.randn(2, 3, 70, 97), flow=torch.randn(2, 3, 70, 97))


@pytest.mark.parametrize("which", ["b", "a"])
def test_the_forward_is_the_authors(which):
    numbers, network = baselines.Numbers(NAME, which), baselines.filled(NAME, which)
    levels, decoder = network.levels, network.decoder
    coarsest = decoder[4]
    modules = {"network": network, "squeezed": coarsest.attention.channel}
    modules |= {"gate_RGB4": coarsest.enter_frame, "gate_Flow4": coarsest.enter_flow}
    modules |= {"E4_flow": coarsest.fuse_flow, "dec_1": coarsest.out}
    modules |= {"dec_4": decoder[1].out, "logits_half": decoder[0].out}
    for i in range(5):
        modules |= {f"level_{i}": levels[i], f"gate_logits_{i}": levels[i].gates}
    known = []
    hook = coarsest.fuse_frame.register_forward_pre_hook(lambda _, given: known.append(given[0]))
    with torch.no_grad(), baselines.outputs(modules) as calls:
        probability = network.probability(Shown(**baselines.inputs(NAME, which)))
    hook.remove()

    found = {name: calls[name][0] for name in modules if name in numbers.unseen}
    for i in range(5):
        found[f"rgb_fused_{i}"], found[f"flow_gated_{i}"] = calls[f"level_{i}"][0]
        found[f"out_att_{i}"] = calls["network"][0].places[4 - i]
    found["fuse4_in"] = known[0]
    found["channel_4"] = sum(calls["squeezed"]).sigmoid()
    found["out_prob"] = probability
    numbers.agree(found)
    assert not numbers.unseen


def test_the_losses_are_the_authors():
    rng = np.random.default_rng(7)
    sizes = {"att_4": (1, 2), "att_3": (2, 3), "att_2": (4, 6), "att_1": (8, 12), "att_0": (16, 24)}
    sizes = {"output": (32, 48), **sizes}
    maps = {name: baselines.drawn(rng, 2, 1, *size).sigmoid() for name, size in sizes.items()}
    mask = (baselines.drawn(rng, 2, 1, 32, 48) > 0.3).float()
    file = baselines.GOLDEN_BASELINES / NAME / "losses.json"
    wanted = json.loads(file.read_text())["values"]
    losses = {name: map_bce(one, mask).item() for name, one in maps.items()}
    losses["total"] = sum(losses.values())
    assert losses == pytest.approx(wanted, rel=1e-5)


def test_import_then_export_is_bit_equal():
    state, back = baselines.state_by_rule(NAME, "b"), export_state(baselines.filled(NAME, "b"))
    assert set(state) == set(back)  # nothing of theirs is dead
    assert all(torch.equal(value, state[name]) for name, value in back.items())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("spatial4.conv1.weight", None, "missing entry 'spatial4.conv1.weight'"),
        ("output6.0.weight", torch.zeros(1), "unknown entry 'output6.0.weight'"),
        ("conv0_RGB.2.weight", torch.zeros(64), "entry 'conv0_RGB.2.weight' is (64,)"),
    ],
)
def test_a_wrong_entry_is_one_line(fresh, name, value, says):
    said = baselines.refusal(fresh, export_state(fresh), name, value)
    assert says in said and "\n" not in said


def test_size_and_work_are_the_authors():
    about = baselines.summary(NAME)
    with torch.device("meta"):
        network = AMCNet().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == about["params"]
    image = torch.empty(1, 3, *about["native_size"], device="meta")
    with torch.no_grad():
        gmacs = giga_macs(lambda: network(image, image))
    assert gmacs == pytest.approx(about["gmacs_native_one_pass"], rel=0.005)


def test_the_losses_reach_every_parameter(fresh):
    mask = torch.rand(2, 1, 70, 97).round()
    with baselines.outputs({"network": fresh}) as calls:
        losses = fresh.video_losses(two(), mask, None)
    places = sum(map_bce(place, mask).item() for place in calls["network"][0].places)
    assert losses["places"].item() == pytest.approx(places)
    assert losses["total"].item() == pytest.approx(losses["mask"].item() + places)
    losses["total"].backward()
    still = [name for name, p in fresh.named_parameters() if p.grad is None or not p.grad.any()]
    wild = [name for name, p in fresh.named_parameters() if not p.grad.isfinite().all()]
    fresh.zero_grad()
    assert not still and not wild
    assert fresh.image_losses(two().frame, mask) is None  # none without a flow


def test_the_losses_stand_in_mixed_precision(fresh):
    with torch.autocast("cpu", torch.bfloat16):
        losses = fresh.video_losses(two(), torch.rand(2, 1, 70, 97).round(), None)
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
    assert together.shape == (2, 1, 70, 97)
    assert together.min() >= 0 and together.max() <= 1
    assert (together - torch.cat(alone)).abs().max() < 1e-10
