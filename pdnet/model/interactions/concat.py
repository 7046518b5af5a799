"""The control: both frames are seen, side by side, and no mechanism matches them."""

from __future__ import annotations

import torch
from torch import Tensor

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import FrameState, PairInteraction


class Concatenation(PairInteraction):
    """A convolution over target and reference, concatenated, and one over the mean of these."""

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__(channels, motion_channels)
        self.pair = conv_bn_relu(2 * channels, channels, 3)
        self.out = conv_bn_relu(channels, motion_channels, 3)

    def found(self, target: Tensor, state: FrameState) -> Tensor:
        """See `PairInteraction.found`."""
        return self.pair(torch.cat([target, *state], 1))

    def read(self, target: Tensor, found: Tensor) -> Tensor:
        """See `PairInteraction.read`."""
        return self.out(found)
