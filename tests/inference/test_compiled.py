"""The compiled twin: the same masks, the network untouched."""

from __future__ import annotations

import pytest
import torch

from pdnet.inference import compiled as module
from pdnet.inference.compiled import compiled
from pdnet.model import PDNet
from pdnet.model.blocks import batch_norms
from pdnet.model.ipda import Memory
from tests.helpers import small

KINDS = [
    {"backbone": "resnet18"},
    {"backbone": "tf_efficientnet_lite0"},
    {"backbone": "resnet18", "interaction": "none"},
    {"backbone": "resnet18", "part_activation": "softmax_background", "fusion": "add"},
    {"backbone": "resnet18", "mask_keys": "part", "reference_fusion": "concat_tokens"},
]


def lived_in(**changes: object) -> PDNet:
    """A network whose batch norms are those of no fresh one: a fold that forgets a term shows."""
    network = small(input_size=(64, 96), **changes)
    rng = torch.Generator().manual_seed(1)
    for norm in batch_norms(network):
        for tensor in (norm.weight.data, norm.running_var):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=rng))
        for tensor in (norm.bias.data, norm.running_mean):
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=rng))
    return network


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal but for the rounding of single precision."""
    return bool((found - expected).abs().max() < 1e-4 * expected.abs().max())


@torch.inference_mode()
@pytest.mark.parametrize("changes", KINDS, ids=lambda changes: "-".join(changes.values()))
def test_the_twin_says_the_same(changes):
    """With one reference, with two, on frames of sizes that come and go."""
    network = lived_in(**changes)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin = compiled(network)
    for size in ((64, 96), (96, 64), (64, 96)):
        frame, first, other = torch.rand(3, 1, 3, *size)
        memory = network.encode_reference(first)
        memories = [memory]
        if memory is not None:
            memories.append(Memory.joined(memory, network.encode_reference(other)))
        for one in memories:
            ours, theirs = network.segment(frame, one), twin.segment(frame, one)
            assert close(theirs.logits, ours.logits)
            assert (theirs.parts is None) == (not network.has_parts)
            if network.has_parts:
                for name, value in vars(ours.parts).items():
                    assert close(getattr(theirs.parts, name), value), name
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert "segment" not in vars(network)


@torch.inference_mode()
def test_a_size_is_compiled_once_and_few_are_kept(monkeypatch):
    made = []
    request = module._request
    monkeypatch.setattr(module, "_request", lambda *given: made.append(1) or request(*given))
    network = lived_in(backbone="resnet18", interaction="none")
    twin = compiled(network)
    sides = range(32, 32 * (module.KEPT_SHAPES + 2), 32)
    for side in sides:
        twin.segment(torch.rand(1, 3, 32, side), None)
        twin.segment(torch.rand(1, 3, 32, side), None)
    assert len(made) == len(sides) and len(twin.segment._requests) == module.KEPT_SHAPES


@torch.inference_mode()
def test_what_was_found_is_not_overwritten_by_the_next_frame():
    twin = compiled(lived_in(backbone="resnet18", interaction="none"))
    first = twin.segment(torch.rand(1, 3, 64, 96), None).logits
    kept = first.clone()
    twin.segment(torch.rand(1, 3, 64, 96), None)
    assert torch.equal(first, kept)
