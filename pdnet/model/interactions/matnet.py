"""MATNet's interaction (Zhou et al., AAAI 2020): the frame's features are gathered where the flow's
agree with them, again and again, and both pass a gate.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import NARROWING, FlowInteraction

CASCADES = 5


class SoftAttention(nn.Module):
    """A map times the share that each position has of the whole frame, so about 1/n of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # the authors' has a bias, which softmax does not see
        self.score = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        return x * self.score(x).flatten(2).softmax(2).unflatten(2, x.shape[-2:])


class MotionTransition(nn.Module):
    """Cascades of soft attention and of co-attention by tanh, whose weights they share."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // NARROWING
        self.frame_attention, self.flow_attention = SoftAttention(channels), SoftAttention(channels)
        self.frame_projection = nn.Conv2d(channels, narrow, 1)
        self.flow_projection = nn.Conv2d(channels, narrow, 1)

    def forward(self, frame: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, C, h, w) -> both again, each with what the last cascade gives it."""
        own_frame, own_flow = frame, flow
        for _ in range(CASCADES):
            attended_frame, attended_flow = self.frame_attention(frame), self.flow_attention(flow)
            gathered = self._gathered(attended_frame, attended_flow)
            frame, flow = (gathered + frame).relu(), (attended_flow + flow).relu()
        return (gathered + own_frame).relu(), (attended_flow + own_flow).relu()

    def _gathered(self, frame: Tensor, flow: Tensor) -> Tensor:
        """The frame's features at each position of the flow, of length one."""
        # products of two soft attentions are near 1/n^2, below what half precision holds
        with torch.autocast(frame.device.type, enabled=False):
            frame, flow = frame.to(self._exact), flow.to(self._exact)
            queries = self.flow_projection(flow).flatten(2).transpose(1, 2)  # (B, n, d)
            agreement = (queries @ self.frame_projection(frame).flatten(2)).tanh()  # (B, n, n)
            found = frame.flatten(2) @ agreement.transpose(1, 2)
            return F.normalize(found, dim=1).view_as(frame)

    @property
    def _exact(self) -> torch.dtype:
        return self.flow_projection.weight.dtype


class BridgeGate(nn.Module):
    """Adds to a map its weighted self: by channel, by position (signed), and as a whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // NARROWING
        self.squeeze = nn.Sequential(nn.Conv2d(channels, narrow, 1), nn.ReLU())
        self.by_channel = nn.Conv2d(narrow, channels, 1)
        self.whole = nn.Conv2d(narrow, 1, 1)
        self.by_position = conv_bn_relu(1, 1, 7, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        squeezed = self.squeeze(x.mean((2, 3), keepdim=True))
        weighted = self.by_channel(squeezed).sigmoid() * x
        places = self.by_position(weighted.amax(1, keepdim=True))
        return x + self.whole(squeezed).sigmoid() * places * weighted


class MATNetStyle(FlowInteraction):
    """Frame and flow through the motion-attentive cascades, concatenated, gated, one convolution.

    Kept: one level of the encoder's asymmetric transition, and the bridge. Left out: the two
    encoders that the transition feeds, the boundary heads, the decoder.
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__(channels, motion_channels)
        self.transition = MotionTransition(channels)
        self.bridge = BridgeGate(2 * channels)
        self.out = conv_bn_relu(2 * channels, motion_channels, 3)

    def mixed(self, target: Tensor, flow: Tensor) -> Tensor:
        """See `FlowInteraction.mixed`."""
        return self.out(self.bridge(torch.cat(self.transition(target, flow), 1)))
