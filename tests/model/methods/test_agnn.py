"""AGNN against the authors' numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from pdnet.inference.cost import giga_macs
from pdnet.model.methods.agnn import AGNN
from pdnet.model.methods.base import Shown, export_state
from pdnet.model.methods.deeplab import alone_loss, attend, frame_loss
from tests import baselines

NAME = "AGNN"


def three(references: int = 2) -> Shown:
    """Two items of a target and its references."""
    torch.manual_seed(0)
    return Shown(torch.randn(2, 3, 32, 40), references=torch.randn(2, references, 3, 32, 40))


@pytest.mark.parametrize("which", ["b", "a"])
def test_the_forward_is_the_authors(which):
    numbers, network = baselines.Numbers(NAME, which), baselines.filled(NAME, which)
    encoder = network.encoder
    modules = {"network": network, "backbone": encoder.backbone, "encoder": encoder}
    modules |= {"aspp_1": encoder.pyramid, "pam_1": encoder.refine[0], "gate": network.gate}
    modules |= {"message": network.merge, "state": network.gru, "logits": network.readout}
    gathered = []
    hook = network.gate.register_forward_pre_hook(lambda _, given: gathered.append(given[0]))
    with torch.no_grad(), baselines.outputs(modules) as calls:
        network(list(baselines.inputs(NAME, which).values()))
    hook.remove()

    outcome, gates = calls["network"][0], calls["gate"]
    found = {name: calls[name][0] for name in ("aspp_1", "pam_1")}
    found["layer4_1"] = calls["backbone"][0][-1]
    for i in range(3):
        found[f"F_{i + 1}"], found[f"single_logits_{i + 1}"] = calls["encoder"][i]
        found[f"out_prob_{i + 1}"] = outcome.together[i]
        found[f"logits_{i + 1}"] = calls["logits"][i]
        found[f"msg_{i + 1}_round1"] = calls["message"][i]
        found[f"h{i + 1}_r1"], found[f"h{i + 1}_r5"] = calls["state"][i], calls["state"][12 + i]
    found["h1_r2"] = calls["state"][3]
    found |= {f"out_single_prob_{i + 1}": outcome.alone[i] for i in (1, 2)}
    # a round's messages in order: 12, 13, 21, ...: the first gathers from the second
    found |= {f"Z_{pair}": gathered[i] for i, pair in enumerate((12, 13, 21))}
    if which == "b":
        found |= {f"gate_{pair}": gates[i] for i, pair in enumerate((12, 13))}
    else:  # constant to 1e-4 under rule A, so nothing to compare
        numbers.unseen -= {"gate_12", "gate_13"}
    numbers.agree(found)
    assert not numbers.unseen


def test_what_is_gathered_is_a_weighted_mean():
    """Against one query at a time in double precision, on grids of two sizes."""
    torch.manual_seed(0)
    queries, keys, values = (
        torch.randn(2, channels, height, 3, dtype=torch.float64)
        for channels, height in ((4, 2), (4, 5), (7, 5))
    )
    found = attend(queries, keys, values)
    assert found.shape == (2, 7, 2, 3)
    for item in range(2):
        for row in range(2):
            for column in range(3):
                query = queries[item, :, row, column]
                weights = (query[:, None, None] * keys[item]).sum(0).exp()
                mean = (weights * values[item]).sum((1, 2)) / weights.sum()
                assert torch.allclose(found[item, :, row, column], mean, atol=1e-12)


def test_the_losses_are_the_authors():
    rng = np.random.default_rng(7)
    logits = baselines.drawn(rng, 2, 1, 24, 20)
    mask = (baselines.drawn(rng, 2, 1, 24, 20) > 0.3).float()
    wanted = json.loads((baselines.GOLDEN_BASELINES / NAME / "losses.json").read_text())["values"]
    one = frame_loss(logits.sigmoid(), mask).item()
    assert one == pytest.approx(wanted["one_frame"], rel=1e-5)
    assert alone_loss(logits, mask).item() == pytest.approx(wanted["image_step"], rel=1e-5)


def test_import_then_export_is_bit_equal():
    state, back = baselines.state_by_rule(NAME, "b"), export_state(baselines.filled(NAME, "b"))
    assert set(state) == set(back)  # nothing of theirs is dead
    assert all(torch.equal(value, state[name]) for name, value in back.items())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("linear_e.weight", None, "missing entry 'linear_e.weight'"),
        ("conv2.weight", torch.zeros(64), "unknown entry 'conv2.weight'"),
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
        network = AGNN().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == about["params"]
    image = torch.empty(1, 3, *about["native_size"], device="meta")
    with torch.no_grad():
        gmacs = giga_macs(lambda: network([image] * 3))
    assert gmacs == pytest.approx(about["gmacs_native_one_pass"], rel=0.005)


def test_the_losses_reach_every_parameter():
    """Of three frames all but the single-image head, of an image all but what looks at several."""
    network, shown = AGNN(), three()
    within = network.encoder.refine[0]
    nn.init.constant_(within.gamma, 0.5)  # at its start, 0, nothing passes through the attention
    mask = torch.rand(2, 1, 32, 40).round()
    losses = network.video_losses(shown, mask, torch.stack([mask, 1 - mask], 1))
    assert losses["total"].item() == pytest.approx(
        losses["frame"].item() + losses["references"].item()
    )
    losses["total"].backward()
    still = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == {"encoder.classifier.weight", "encoder.classifier.bias"}
    network.zero_grad()
    network.image_losses(shown.frame, mask)["total"].backward()
    still = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}
    assert still == {"affinity", "gate", "merge", "gru", "readout"}


def test_items_do_not_see_each_other_and_references_are_seen():
    network, shown = baselines.filled(NAME, "b"), three()
    with torch.no_grad():
        both = network.probability(shown)
        second = network.probability(Shown(shown.frame[1:], references=shown.references[1:]))
        other = network.probability(Shown(shown.frame[1:], references=shown.references[:1]))
    assert both.shape == (2, 1, 32, 40)
    assert (both[1:] - second).abs().max() < 1e-5
    assert (second - other).abs().max() > 1e-4
