"""F2Net's interaction (Liu et al., AAAI 2021): attention with the first frame and within the
current one, mixed channel by channel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import NARROWING, FrameState, PairInteraction, attend

SOURCES = 3  # gathered for the reference, gathered for the target, the target itself


class SourceWeights(nn.Module):
    """A mean of sources with weights of its own for each channel.

    Its batch norm sees one value per item: training wants two items at least.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // NARROWING
        self.shares = nn.Sequential(
            *conv_bn_relu(channels, narrow, 1),
            nn.Conv2d(narrow, SOURCES * channels, 1, bias=False),
        )

    def forward(self, sources: Tensor) -> Tensor:
        """(B, 3, C, h, w) -> (B, C, h, w)."""
        logits = self.shares(sources.sum(1).mean((2, 3), keepdim=True))
        weights = logits.unflatten(1, sources.shape[1:3]).softmax(1)  # (B, 3, C, 1, 1)
        return (sources * weights).sum(1)


class F2NetStyle(PairInteraction):
    """The target's features, gathered once for each position of the reference and once for each of
    the target's own, and the target's map itself; a softmax over these three mixes each channel.

    Kept: both attentions (scaled, nothing learned in them), the mixture, the 1x1 readout. As
    released, what is gathered for the reference lies on the reference's grid and is added to the
    others as if on the target's. Left out: the branch that looks for a centre, which does not reach
    the mask.
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__(channels, motion_channels)
        self.mixture = SourceWeights(channels)
        self.out = conv_bn_relu(channels, motion_channels, 1)

    def found(self, target: Tensor, state: FrameState) -> Tensor:
        """See `PairInteraction.found`."""
        (reference,) = state
        return self._gathered(reference, target)

    def read(self, target: Tensor, found: Tensor) -> Tensor:
        """See `PairInteraction.read`."""
        sources = [found, self._gathered(target, target), target]
        return self.out(self.mixture(torch.stack(sources, 1)))

    def _gathered(self, queries: Tensor, target: Tensor) -> Tensor:
        return attend(queries * self.channels**-0.5, target, target)
