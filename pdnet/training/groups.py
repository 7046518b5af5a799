"""Backbone and heads: which parameters learn at which rate, and whose statistics an image step leaves alone."""

from __future__ import annotations

from torch import nn

from pdnet.model import PDNet
from pdnet.model.blocks import batch_norms


def parameter_groups(network: PDNet, loss: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(backbone, heads). The backbone is the classifier alone; laterals, fusion, IPDA and the part basis are heads."""
    backbone = list(network.encoder.backbone.parameters())
    known = {id(p) for p in backbone}
    everything = [p for module in (network, loss) for p in module.parameters()]
    return backbone, [p for p in everything if p.requires_grad and id(p) not in known]


def head_norms(network: PDNet) -> list[nn.BatchNorm2d]:
    """Batch norms outside the backbone."""
    inside = {id(norm) for norm in batch_norms(network.encoder.backbone)}
    return [norm for norm in batch_norms(network) if id(norm) not in inside]
