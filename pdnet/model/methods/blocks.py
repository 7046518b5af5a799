"""What several of the compared methods are made of."""

from __future__ import annotations

from torch import Tensor, nn


class PreActivationBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3 with bias, without batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        return x + self.conv2(self.conv1(x.relu()).relu())
