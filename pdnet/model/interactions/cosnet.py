"""COSNet's interaction (Lu et al., CVPR 2019): co-attention of two frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import FrameState, PairInteraction, attend


class COSNetStyle(PairInteraction):
    """Each position of the target gathers from the reference, as a learned linear map of it agrees;
    a gate weights what it found, and a convolution reads that beside the target's own.

    Kept: affinity, softmax, gate, readout. Left out: the way back, from the reference to the
    target, which only the reference's own mask needs.
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__(channels, motion_channels)
        self.affinity = nn.Conv2d(channels, channels, 1, bias=False)
        self.gate = nn.Conv2d(channels, 1, 1, bias=False)
        self.out = conv_bn_relu(2 * channels, motion_channels, 3)

    def found(self, target: Tensor, state: FrameState) -> Tensor:
        """See `PairInteraction.found`."""
        (reference,) = state
        gathered = attend(self.affinity(target), reference, reference)
        return gathered * self.gate(gathered).sigmoid()

    def read(self, target: Tensor, found: Tensor) -> Tensor:
        """See `PairInteraction.read`."""
        return self.out(torch.cat([found, target], 1))
