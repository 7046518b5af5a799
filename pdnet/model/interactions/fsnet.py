"""FSNet's interaction (Ji et al., ICCV 2021): frame and flow weight each other's channels, then
correct each other both ways.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import FlowInteraction

PURIFICATIONS = 4


class ChannelWeights(nn.Module):
    """A map's mean -> weights in 0..1 for another map's channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 1, 1)."""
        return self.weigh(x.mean((2, 3), keepdim=True)).sigmoid()


class Purification(nn.Module):
    """Each of two maps plus what both say: the mixture takes their concatenation, the flow their
    product. Without ReLU, as released.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_both = _two_convolutions(2 * channels, channels)
        self.of_product = _two_convolutions(channels, channels)

    def forward(self, mixture: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, C, h, w) -> both again."""
        both = self.of_both(torch.cat([mixture, flow], 1))
        return mixture + both, flow + self.of_product(mixture * flow)


class FSNetStyle(FlowInteraction):
    """Frame and flow, each weighted by the other's channel attention, summed; this mixture and the
    flow are narrowed, purify each other four times, and are read together.

    Kept: the relational cross-attention and the bidirectional purification, on one level. Left out:
    the third encoder that carries the mixture on, the levels' exchange, both decoders (only the
    mixture's gives the authors' mask; here one convolution reads both).
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__(channels, motion_channels)
        narrow = channels // 2
        self.frame_weights, self.flow_weights = ChannelWeights(channels), ChannelWeights(channels)
        self.reduce_mixture, self.reduce_flow = _reduction(channels), _reduction(channels)
        self.purifications = nn.ModuleList(Purification(narrow) for _ in range(PURIFICATIONS))
        self.out = conv_bn_relu(2 * narrow, motion_channels, 3)

    def mixed(self, target: Tensor, flow: Tensor) -> Tensor:
        """See `FlowInteraction.mixed`."""
        mixture = target * self.flow_weights(flow) + flow * self.frame_weights(target)
        mixture, flow = self.reduce_mixture(mixture), self.reduce_flow(flow)
        for purify in self.purifications:
            mixture, flow = purify(mixture, flow)
        return self.out(torch.cat([mixture, flow], 1))


def _reduction(channels: int) -> nn.Sequential:
    narrow = channels // 2
    return nn.Sequential(
        conv_bn_relu(channels, narrow, 1, relu=False), _two_convolutions(narrow, narrow)
    )


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        conv_bn_relu(inputs, outputs, 3, relu=False), conv_bn_relu(outputs, outputs, 3, relu=False)
    )
