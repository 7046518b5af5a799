"""COSNet against the authors' numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pdnet.inference.cost import giga_macs
from pdnet.model.methods.base import Shown, export_state
from pdnet.model.methods.cosnet import COSNet
from pdnet.model.methods.deeplab import frame_loss
from tests import baselines

NAME = "COSNet"


@pytest.mark.parametrize("which", ["b", "a"])
def test_the_forward_is_the_authors(which):
    numbers = baselines.Numbers(NAME, which)
    network, images = baselines.in_double(NAME, which)
    modules = {"network": network, "backbone": network.encoder.backbone}
    modules |= {"encoder": network.encoder, "affinity": network.affinity, "gate": network.gate}
    modules |= {"logits_a": network.readouts[0], "logits_b": network.readouts[1]}
    modules |= {"head_bn_a": network.readouts[0][1]}
    attended = []
    hook = network.gate.register_forward_pre_hook(lambda _, given: attended.append(given[0]))
    with torch.no_grad(), baselines.outputs(modules) as calls:
        network(images["target"], images["reference"])
    hook.remove()

    pair = calls["network"][0]
    found = {"out_prob_a": pair.frame, "out_prob_b": pair.reference}
    found |= {"out_single_prob_b": pair.reference_alone, "Wt_F_a": calls["affinity"][0]}
    found |= {name: calls[name][0] for name in ("logits_a", "logits_b")}
    found["head_bn_a"] = calls["head_bn_a"][0]
    for i, side in enumerate("ab"):
        found[f"F_{side}"], found[f"single_logits_{side}"] = calls["encoder"][i]
        found[f"Z_{side}"], found[f"gate_logits_{side}"] = attended[i], calls["gate"][i]
    for stage in (1, 2, 4):
        found[f"layer{stage}_a"] = calls["backbone"][0][stage - 1]
    numbers.agree(found)
    assert not numbers.unseen


def test_the_losses_are_the_authors():
    rng = np.random.default_rng(7)
    probability = baselines.drawn(rng, 2, 1, 24, 20).sigmoid()
    mask = (baselines.drawn(rng, 2, 1, 24, 20) > 0.3).float()
    wanted = json.loads((baselines.GOLDEN_BASELINES / NAME / "losses.json").read_text())["values"]
    assert frame_loss(probability, mask).item() == pytest.approx(wanted["one_frame"], rel=1e-5)
    assert frame_loss(probability, 0 * mask).isfinite()


def test_import_then_export_is_bit_equal():
    state, back = baselines.state_by_rule(NAME, "b"), export_state(baselines.filled(NAME, "b"))
    assert set(state) == set(back)  # nothing of theirs is dead
    assert all(torch.equal(value, state[name]) for name, value in back.items())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("linear_e.weight", None, "missing entry 'linear_e.weight'"),
        ("conv3.weight", torch.zeros(64), "unknown entry 'conv3.weight'"),
        ("gate.weight", torch.zeros(1, 64, 1, 1), "entry 'gate.weight' is (1, 64, 1, 1)"),
    ],
)
def test_a_wrong_entry_is_one_line(name, value, says):
    network = baselines.filled(NAME, "b")
    said = baselines.refusal(network, export_state(network), name, value)
    assert says in said and "\n" not in said


def test_size_and_work_are_the_authors():
    about = baselines.summary(NAME)
    with torch.device("meta"):
        network = COSNet().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == about["params"]
    image = torch.empty(1, 3, *about["native_size"], device="meta")
    with torch.no_grad():
        gmacs = giga_macs(lambda: network(image, image))
    assert gmacs == pytest.approx(about["gmacs_native_one_pass"], rel=0.005)


def test_the_losses_reach_every_parameter():
    """Of a pair all but the single-image head, of an image all but what looks at two."""
    torch.manual_seed(0)
    network = COSNet()
    shown = Shown(torch.randn(2, 3, 32, 40), references=torch.randn(2, 1, 3, 32, 40))
    mask = torch.rand(2, 1, 32, 40).round()
    losses = network.video_losses(shown, mask, mask[:, None])
    assert losses["total"].item() == pytest.approx(
        losses["frame"].item() + losses["reference"].item()
    )
    losses["total"].backward()
    still = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == {"encoder.classifier.weight", "encoder.classifier.bias"}
    network.zero_grad()
    network.image_losses(shown.frame, mask)["total"].backward()
    still = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}
    assert still == {"affinity", "gate", "readouts"}


def test_several_references_are_averaged_and_items_do_not_see_each_other():
    network = baselines.filled(NAME, "b")
    torch.manual_seed(1)
    frames, references = torch.randn(2, 3, 40, 48), torch.randn(2, 2, 3, 40, 48)
    with torch.no_grad():
        both = network.probability(Shown(frames, references=references))
        one = [
            network.probability(Shown(frames[1:], references=references[1:, i : i + 1]))
            for i in range(2)
        ]
    assert both.shape == (2, 1, 40, 48)
    assert (both[1:] - (one[0] + one[1]) / 2).abs().max() < 1e-4
    assert (one[0] - one[1]).abs().max() > 1e-4
