"""What everything else is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn_relu(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    groups: int = 1,
    dilation: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """Convolution (no bias, same size) -> batch norm -> ReLU."""
    layers: list[nn.Module] = [
        # no bias: the batch norm behind it has one
        nn.Conv2d(
            inputs,
            outputs,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(outputs),
    ]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize with aligned corners, as the authors' network does everywhere; `size` is (H,
    W).
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def coarse_grid(size: tuple[int, int], downsample: int) -> tuple[int, int]:
    """(h, w) of the grid on which frames interact: coarser than the appearance's by `downsample`,
    of one point at least.
    """
    return tuple(max(1, side // downsample) for side in size)


def initialise(module: nn.Module) -> None:
    """Kaiming normal (fan in) for convolutions, 1 and 0 for batch norms: the authors' start for new
    layers.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Its batch norms."""
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


@contextmanager
def frozen_statistics(norms: Sequence[nn.BatchNorm2d]) -> Iterator[None]:
    """Batch norms that, inside the block, use a batch's statistics and do not remember them."""
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    try:
        for norm in norms:
            # a momentum of 0 normalises by the batch and leaves the running figures as they are
            norm.momentum = 0.0
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            # counted up even so; a checkpoint would differ by it
            norm.num_batches_tracked.copy_(count)
