"""AMC-Net's interaction (Yang et al., ICCV 2021): how much frame and flow count is learned, and the
flow says where to look.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import NARROWING, FlowInteraction, attend


class ChannelThenPlace(nn.Module):
    """Which channels of a map count, and, in the map so weighted, which places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // NARROWING
        self.channel = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 1, bias=False),
        )
        self.place = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> weighted by channel (B, C, h, w), places (B, 1, h, w) in 0..1."""
        mean, largest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        weighted = x * (self.channel(mean) + self.channel(largest)).sigmoid()
        both = torch.cat([weighted.mean(1, keepdim=True), weighted.amax(1, keepdim=True)], 1)
        return weighted, self.place(both).sigmoid()


class AMCNetStyle(FlowInteraction):
    """Frame and flow by a scalar gate each, the attended flow added to the frame; the flow gathers
    from that, and where the flow's fusion looks, the frame's is kept.

    Kept: gates, channel and spatial attention, the non-local step and the motion correction of the
    authors' coarsest level. Left out: the finer levels and the supervision of the attention map.
    ReLU stands for their PReLU.
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__(channels, motion_channels)
        narrow = channels // NARROWING
        self.gates = nn.Sequential(
            conv_bn_relu(2 * channels, narrow, 3), nn.Conv2d(narrow, 2, 3, padding=1)
        )
        self.attention = ChannelThenPlace(channels)
        self.fuse_frame, self.fuse_flow = _fusion(channels), _fusion(channels)
        self.correction = ChannelThenPlace(channels)
        self.out = conv_bn_relu(channels, motion_channels, 3)

    def mixed(self, target: Tensor, flow: Tensor) -> Tensor:
        """See `FlowInteraction.mixed`."""
        maps = self.gates(torch.cat([target, flow], 1)).sigmoid()
        frame_gate, flow_gate = maps.mean((2, 3), keepdim=True).chunk(2, 1)  # (B, 1, 1, 1)
        flow = flow * flow_gate
        weighted, places = self.attention(flow)
        frame = target * frame_gate + weighted * places
        gathered = attend(flow * self.channels**-0.5, frame, frame)
        _, places = self.correction(self.fuse_flow(torch.cat([flow, gathered], 1)))
        return self.out(places * self.fuse_frame(torch.cat([frame, gathered], 1)) + gathered)


def _fusion(channels: int) -> nn.Sequential:
    return nn.Sequential(
        conv_bn_relu(2 * channels, channels, 3), conv_bn_relu(channels, channels, 3)
    )
