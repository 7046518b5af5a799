"""The one-pass path of a clip, and what the network costs."""

from __future__ import annotations

import pytest
import torch

from pdnet.config import ModelConfig
from pdnet.inference.cost import giga_macs
from pdnet.model import PDNet
from tests.helpers import small


@pytest.fixture(scope="module", autouse=True)
def two_threads():
    """As the golden file was made: these weights make the order of a sum matter."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fusion": "add"},
        {"residual": False},
        {"attention_scale": "sqrt_d"},
        {"part_activation": "softmax_background"},
        {"mask_keys": "saliency"},
        {"mask_keys": "part"},
        {"interaction": "none"},
        {"parts": 1},
        {"downsample": 2},
    ],
)
def test_segment_equals_the_pairwise_forward(changes):
    network = small(**changes)
    with torch.no_grad():
        target, reference = torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96)
        whole = network(target, reference)
        cached = network.segment(target, network.encode_reference(reference))
    assert (whole.logits - cached.logits).abs().max() <= 1e-5
    if changes != {"interaction": "none"}:
        assert (whole.part_logits - cached.part_logits).abs().max() <= 1e-5
        total = whole.parts.predictions.sum(1)
        assert (total <= 1 + 1e-5).all()
        if "part_activation" not in changes:
            torch.testing.assert_close(total, torch.ones_like(total))


def test_costs_are_those_of_the_paper():
    """25.6 M parameters; 56.1 and 30.5 GMACs a frame at 480x480, p = 5."""
    network = PDNet(ModelConfig(preset="official", weights="none")).eval()
    x, other = torch.rand(2, 1, 3, 480, 480)
    with torch.no_grad():
        memory = network.encode_reference(other)
        assert sum(p.numel() for p in network.parameters()) == pytest.approx(25.64e6, rel=0.002)
        assert giga_macs(lambda: network(x, other, auxiliary=False)) == pytest.approx(
            56.1, rel=0.002
        )
        assert giga_macs(lambda: network.segment(x, memory)) == pytest.approx(30.5, rel=0.002)
