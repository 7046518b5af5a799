"""FSNet against the authors' numbers."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from pdnet.inference.cost import giga_macs
from pdnet.model.blocks import resize
from pdnet.model.methods.base import Shown, export_state
from pdnet.model.methods.fsnet import FSNet, enlarged_bce, stretched
from tests import baselines

NAME = "FSNet"


@pytest.fixture(scope="module")
def fresh() -> FSNet:
    """Drawn weights, in training."""
    torch.manual_seed(0)
    return FSNet()


def two(size: tuple[int, int] = (70, 97)) -> Shown:
    """Two items, of an uneven size if none is given."""
    torch.manual_seed(1)
    return Shown(torch.randn(2, 3, *size), flow=torch.randn(2, 3, *size))


@pytest.mark.parametrize("which", ["b", "a"])
def test_the_forward_is_the_authors(which):
    numbers, network = baselines.Numbers(NAME, which), baselines.filled(NAME, which)
    encoder, decoder = network.encoder, network.mixture_decoder
    modules = {"encoder": encoder, "m0": encoder.crossings[0], "x4": encoder.frame_stages[3]}
    modules |= {"ca_rgb_0": encoder.crossings[0].by_frame}
    modules |= {"ca_flow_0": encoder.crossings[0].by_flow}
    modules |= {"bpm1": network.purifications[0], "bpm4": network.purifications[3]}
    for level in (1, 4):
        modules[f"s{level}_0"] = network.reduce_mixture[level - 1]
        modules[f"e{level}_0"] = network.reduce_flow[level - 1]
    modules |= {"ppm4_s": decoder.pools[3], "network": network}
    with torch.no_grad(), baselines.outputs(modules) as calls:
        probability = network.probability(Shown(**baselines.inputs(NAME, which)))

    found = {name: calls[name][0] for name in modules if name in numbers.unseen}
    mixtures, flows = calls["encoder"][0]
    found |= {f"m{i}": x for i, x in enumerate(mixtures, 1)}
    found["y4"] = flows[3]
    for module in ("bpm1", "bpm4"):
        mixtures, flows = calls[module][0]
        found |= {f"s{i}_{module}": mixtures[i - 1] for i in (1, 3, 4)}
        found |= {f"e{i}_{module}": flows[i - 1] for i in (1, 3)}
    for side, logits in zip("se", calls["network"][0], strict=True):
        found[f"logits_{side}_stride4"] = logits
        found[f"out_logits_{side}"] = resize(logits, (96, 128))
    numbers.agree(found)
    assert not numbers.unseen
    assert torch.equal(probability, stretched(found["out_logits_s"].sigmoid()))


def test_the_losses_are_the_authors():
    rng = np.random.default_rng(7)
    logits = {name: baselines.drawn(rng, 2, 1, 24, 20) for name in ("bce_s", "bce_e")}
    label = (4 * baselines.drawn(rng, 2, 1, 24, 20)).sigmoid()
    file = baselines.GOLDEN_BASELINES / NAME / "losses.json"
    wanted = json.loads(file.read_text())["values"]
    losses = {name: enlarged_bce(one, label).item() for name, one in logits.items()}
    losses["total"] = sum(losses.values())
    assert losses == pytest.approx(wanted, rel=1e-5)


def test_import_then_export_is_bit_equal():
    state, back = baselines.state_by_rule(NAME, "b"), export_state(baselines.filled(NAME, "b"))
    dead = {name for name in state if name.startswith(("resnet.conv1.", "resnet.bn1.", "RGBF_"))}
    assert set(state) - set(back) == dead and set(back) < set(state)
    assert all(torch.equal(value, state[name]) for name, value in back.items())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("bpm3.conv12.conv.conv_bn.1.bias", None, "missing entry 'bpm3.conv12.conv.conv_bn.1.bi"),
        ("resnet.conv1_merge.weight", torch.zeros(1), "unknown entry 'resnet.conv1_merge.weight'"),
        ("output_e.output.1.bias", torch.zeros(2), "entry 'output_e.output.1.bias' is (2,)"),
    ],
)
def test_a_wrong_entry_is_one_line(fresh, name, value, says):
    said = baselines.refusal(fresh, export_state(fresh), name, value)
    assert says in said and "\n" not in said


def test_size_and_work_are_the_authors():
    """One real pass: there is no mixed precision to be switched off on torch's device `meta`."""
    about, network = baselines.summary(NAME), baselines.filled(NAME, "b")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == about["params"] - about["params_unused_in_forward"]
    image = torch.zeros(1, 3, *about["native_size"])
    with torch.no_grad():
        gmacs = giga_macs(lambda: network(image, image))
    assert gmacs == pytest.approx(about["gmacs_native_one_pass"], rel=0.005)


@pytest.mark.parametrize("step", ["video", "image"])
def test_the_losses_reach_every_parameter(fresh, step):
    shown, mask = two(), torch.rand(2, 1, 70, 97)
    with baselines.outputs({"network": fresh}) as calls:
        if step == "video":
            losses = fresh.video_losses(shown, mask, None)
        else:
            losses = fresh.image_losses(shown.frame, mask)
    for name, logits in calls["network"][0]._asdict().items():
        assert losses[name].item() == pytest.approx(enlarged_bce(logits, mask).item())
    total = losses["mixture"].item() + losses["flow"].item()
    assert losses["total"].item() == pytest.approx(total)
    losses["total"].backward()
    still = [name for name, p in fresh.named_parameters() if p.grad is None or not p.grad.any()]
    wild = [name for name, p in fresh.named_parameters() if not p.grad.isfinite().all()]
    fresh.zero_grad()
    assert not still and not wild


def test_the_losses_stand_in_mixed_precision(fresh):
    with torch.autocast("cpu", torch.bfloat16):
        losses = fresh.video_losses(two(), torch.rand(2, 1, 70, 97), None)
    assert losses["total"].dtype == torch.float32 and losses["total"].isfinite()


def test_products_stay_finite_in_half_precision():
    """Five maps of 20: 3.2 million, where half precision ends at 65504."""
    correction = baselines.filled(NAME, "b").purifications[0].flow[0]
    maps = [torch.full((1, 32, 4, 4), 20.0, dtype=torch.half) for _ in range(5)]
    with torch.no_grad(), torch.autocast("cpu", torch.half):
        assert correction(maps[0], maps[1:]).isfinite().all()


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


def test_each_frame_is_stretched_by_itself():
    maps = torch.tensor([0.2, 0.3, 0.4, 0.6, 0.7, 0.7, 0.7, 0.7]).view(2, 1, 2, 2)
    found = stretched(maps)
    assert found[0].flatten().tolist() == pytest.approx([0, 0.25, 0.5, 1])
    assert found[1].flatten().tolist() == [0, 0, 0, 0]  # flat, and not NaN


def test_levels_of_equal_size_pass_without_their_convolutions():
    """At 16 pixels strides 16 and 32 give one value each: the authors' rule, off their sizes."""
    network = baselines.filled(NAME, "b")
    raises = network.purifications[0].mixture[2].raises[0]
    with torch.no_grad(), baselines.outputs({"raises": raises}) as calls:
        for size in (16, 32):
            network(*torch.randn(2, 1, 3, size, size).unbind())
    assert len(calls["raises"]) == 1
