"""IMCNet's interaction (Xi et al., TCSVT 2022): one affinity for all frames, then the reference's
features are moved onto the target's by deformable convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import FrameState, PairInteraction, attend

STEPS = 2  # of the alignment; the authors have 4, on a grid four times as fine
OFFSET_GROUPS = 2  # halves of the channels that move apart; the authors have 8 groups
TAPS = 9  # of a 3x3 kernel, each with an offset down and one right


class AlignmentMove(nn.Module):
    """Moves a reference's features a step towards the target's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 2
        self.reduce = nn.Conv2d(2 * channels, narrow, 3, padding=1)
        self.offsets = nn.Conv2d(narrow, OFFSET_GROUPS * TAPS * 2, 3, padding=1)
        self.move = DeformConv2d(channels, channels, 3, padding=1)

    def forward(self, target: Tensor, reference: Tensor) -> Tensor:
        """Both (B, C, h, w) -> the reference's, moved."""
        offsets = self.offsets(self.reduce(torch.cat([target, reference], 1)))
        # torchvision has no half precision for it on a CPU
        with torch.autocast(reference.device.type, enabled=False):
            exact = self.move.weight.dtype
            return self.move(reference.to(exact), offsets.to(exact))


class IMCNetStyle(PairInteraction):
    """Target and reference are reweighted by one joint affinity, the reference is moved onto the
    target, both are weighted by their likeness to the target and read by one convolution.

    Kept: affinity (no features cross frames in it), cascaded alignment, temporal weights. Left out:
    the decoder with its side maps and the pyramid of spatial attention. The authors' three frames
    share one affinity; here each reference shares one with the target.
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__(channels, motion_channels)
        narrow = channels // 2
        self.key = nn.Conv2d(channels, narrow, 3, padding=1)
        # the authors' left map has a bias, which the softmax over it does not see
        self.left = nn.Conv2d(2 * narrow, 2 * narrow, 1, bias=False)
        self.right = nn.Conv2d(2 * narrow, 2 * narrow, 1)
        self.decode = conv_bn_relu(channels, channels, 3)
        self.alignment = nn.ModuleList(AlignmentMove(channels) for _ in range(STEPS))
        self.embed_target = nn.Conv2d(channels, channels, 3, padding=1)
        self.embed = nn.Conv2d(channels, channels, 3, padding=1)
        self.out = conv_bn_relu(2 * channels, motion_channels, 3)

    def remember(self, features: Tensor) -> FrameState:
        """The map and its key, (B, channels // 2, h, w)."""
        return features, self.key(features)

    def found(self, target: Tensor, state: FrameState) -> Tensor:
        """Both frames, weighted; see `PairInteraction.found`."""
        reference, key = state
        joint = torch.cat([self.key(target), key], 1)
        left, right = self.left(joint), self.right(joint)
        centre, moved = (
            self.decode(_reweighted(x, attend(right, left, x))) for x in (target, reference)
        )
        for step in self.alignment:
            moved = step(centre, moved)
        wanted = self.embed_target(centre)
        likeness = [
            (self.embed(x) * wanted).sum(1, keepdim=True).sigmoid() for x in (centre, moved)
        ]
        return torch.cat([centre * likeness[0], moved * likeness[1]], 1)

    def read(self, target: Tensor, found: Tensor) -> Tensor:
        """See `PairInteraction.read`."""
        return self.out(found)


def _reweighted(x: Tensor, attended: Tensor) -> Tensor:
    """A map by what its positions gathered, and by that channel's mean."""
    return x * attended * attended.mean((2, 3), keepdim=True)
