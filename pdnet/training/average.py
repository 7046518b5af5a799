"""The average of the weights over the last steps, which predicts better than the last weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of a network that follows it: call `update_parameters(network)` after each step.

    Args:
        network: to follow; its batch norms' statistics are averaged too.
        decay: of the exponential average, in 0..1. The first steps count less long, else the random
            start would stay in it: (1 + n) / (10 + n) where that is smaller (as timm has it).
    """

    @torch.no_grad()
    def follow(kept: list[Tensor], new: list[Tensor], steps: Tensor) -> None:
        if kept[0].is_floating_point():
            share = min(decay, (1 + float(steps)) / (10 + float(steps)))
            # all at once: the network has hundreds of small tensors
            torch._foreach_lerp_(kept, new, 1 - share)
            return
        for mine, theirs in zip(kept, new, strict=True):  # counts of batches
            mine.copy_(theirs)

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
