"""HFAN's interaction (Pei et al., ECCV 2022): frame and flow are aligned to objects found in the
frame, and mixed by learned weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import FlowInteraction, attend

OBJECTS = 2
MIDDLE = 16  # inner channels, the authors' at every level


class ObjectMeans(nn.Module):
    """A frame's features, averaged over each of two regions that nobody teaches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.regions = nn.Sequential(nn.Conv2d(channels, OBJECTS, 1), nn.ReLU())

    def forward(self, frame: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2, 1)."""
        shares = self.regions(frame).flatten(2).softmax(2)  # (B, 2, n)
        return (frame.flatten(2) @ shares.transpose(1, 2)).unsqueeze(3)


class ObjectContext(nn.Module):
    """Pixels gather from the frame's object vectors, as each pixel resembles them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key = _two_narrow(channels), _two_narrow(channels)
        self.value = conv_bn_relu(channels, MIDDLE, 1)
        self.out = conv_bn_relu(MIDDLE, channels, 1)
        self.merge = conv_bn_relu(2 * channels, channels, 1)

    def forward(self, features: Tensor, objects: Tensor) -> Tensor:
        """(B, C, h, w) of frame or flow, objects (B, C, 2, 1) -> (B, C, h, w)."""
        queries = MIDDLE**-0.5 * self.query(features)
        gathered = attend(queries, self.key(objects), self.value(objects))
        return self.merge(torch.cat([self.out(gathered), features], 1))


class HFANStyle(FlowInteraction):
    """Both maps aligned to the frame's object vectors by one block, mixed by weights of channel and
    place, then one convolution.

    Kept: one level of the feature alignment and adaptation, whole. Left out: the transformer
    encoder, the other levels and their head. A batch norm sees one value per item: training wants
    two items at least.
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__(channels, motion_channels)
        self.objects = ObjectMeans(channels)
        self.align = ObjectContext(channels)
        self.local, self.overall = _weights(channels), _weights(channels)
        self.out = conv_bn_relu(channels, motion_channels, 3)

    def mixed(self, target: Tensor, flow: Tensor) -> Tensor:
        """See `FlowInteraction.mixed`."""
        return self.out(self.adapted(target, flow))

    def adapted(self, target: Tensor, flow: Tensor) -> Tensor:
        """What a level of the authors gives, (B, C, h, w)."""
        objects = self.objects(target)
        frame, flow = self.align(target, objects), self.align(flow, objects)
        both = frame + flow
        weight = (self.local(both) + self.overall(both.mean((2, 3), keepdim=True))).sigmoid()
        return 2 * frame * weight + 2 * flow * (1 - weight)


def _two_narrow(channels: int) -> nn.Sequential:
    return nn.Sequential(conv_bn_relu(channels, MIDDLE, 1), conv_bn_relu(MIDDLE, MIDDLE, 1))


def _weights(channels: int) -> nn.Sequential:
    """The convolutions have ReLUs of their own in front of the batch norms, as released."""
    return nn.Sequential(
        nn.Conv2d(channels, MIDDLE, 1),
        nn.ReLU(),
        nn.BatchNorm2d(MIDDLE),
        nn.ReLU(),
        nn.Conv2d(MIDDLE, channels, 1),
        nn.ReLU(),
        nn.BatchNorm2d(channels),
    )
