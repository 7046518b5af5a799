"""The encoder: how levels are joined, and checkpointing."""

from __future__ import annotations

import pytest
import torch

from pdnet.model.blocks import resize
from tests.helpers import small


@pytest.mark.parametrize(("fusion", "join"), [("multiply", torch.mul), ("add", torch.add)])
def test_the_fusion_parameter_changes_how_levels_are_joined(fusion, join):
    encoder, x = small(fusion=fusion).encoder, torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        levels = [
            layer(level) for layer, level in zip(encoder.laterals, encoder.backbone(x), strict=True)
        ]
        top = levels.pop()
        for lateral, fuse in zip(reversed(levels), reversed(encoder.fuse), strict=True):
            top = fuse(join(resize(top, lateral.shape[-2:]), lateral))
        torch.testing.assert_close(encoder(x)[0], top)


def test_checkpointing_changes_memory_and_nothing_else():
    results = []
    for checkpointing in (False, True):
        network = small(checkpointing=checkpointing).train()
        torch.manual_seed(2)
        x = torch.rand(2, 3, 64, 64)
        network(x, x.flip(3)).logits.square().mean().backward()
        results.append((dict(network.named_parameters()), network.state_dict()))
    (plain, state), (recomputed, other) = results
    assert all(torch.equal(state[name], other[name]) for name in state), (
        "running statistics counted twice"
    )
    for name, parameter in plain.items():
        if parameter.grad is not None:
            torch.testing.assert_close(recomputed[name].grad, parameter.grad, msg=name)
