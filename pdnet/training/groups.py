"""Backbone and heads: which parameters learn at which rate, and which statistics an image step leaves alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from pdnet.model import PDNet


def parameter_groups(network: PDNet, loss: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(backbone, heads). The backbone is the classifier alone; laterals, fusion, IPDA and the part basis are heads."""
    backbone = list(network.encoder.backbone.parameters())
    known = {id(p) for p in backbone}
    everything = [p for module in (network, loss) for p in module.parameters()]
    return backbone, [p for p in everything if p.requires_grad and id(p) not in known]


def head_norms(network: PDNet) -> list[nn.BatchNorm2d]:
    """Batch norms outside the backbone."""
    inside = {id(m) for m in network.encoder.backbone.modules()}
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and id(m) not in inside]


@contextmanager
def frozen_statistics(norms: Sequence[nn.BatchNorm2d]) -> Iterator[None]:
    """Batch norms that use a batch's statistics but do not remember them inside the block."""
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
