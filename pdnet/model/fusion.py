"""Spatiotemporal fusion of appearance and motion, and the final head (paper, section 4.3, fig.
6(c)).
"""

from __future__ import annotations

from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu, initialise, resize


class SpatiotemporalFusion(nn.Module):
    """A + t + A * g(t), two convolutions; t is the expanded motion, g a 1x1 convolution of it."""

    def __init__(self, channels: int, part_channels: int) -> None:
        super().__init__()
        self.expand = conv_bn_relu(part_channels, channels, 1)
        self.gate = nn.Conv2d(channels, channels, 1, bias=False)
        self.fuse = nn.Sequential(
            conv_bn_relu(channels, channels, 3), conv_bn_relu(channels, channels, 3)
        )
        initialise(self)

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        """(B, C, H/4, W/4) and (B, C', H/16, W/16) -> fused (B, C, H/4, W/4)."""
        expanded = self.expand(resize(motion, appearance.shape[-2:]))
        return self.fuse(appearance + expanded + appearance * self.gate(expanded))
