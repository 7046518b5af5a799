"""What the interactions have in common: target features, a reference's state or the flow's features
-> motion features; and the attention that several of them use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

# the methods narrow by 16, from 256 channels and more; of PDNet's 32 to 64 that would leave 2 to 4
NARROWING = 4

# what is kept of a reference frame, computed once per clip
FrameState = tuple[Tensor, ...]


@dataclass(frozen=True)
class References:
    """What an interaction remembers of reference frames.

    Attributes:
        states: one per frame.
    """

    states: tuple[FrameState, ...]

    def joined(self, other: References) -> References:
        """These references with those of `other` after them."""
        return References(self.states + other.states)


class Interaction(nn.Module, ABC):
    """Motion features of a target frame.

    All maps are of the encoder, non-negative (B, channels, h, w), and of one grid h x w.
    Convolutions start as torch starts them: smaller than `blocks.initialise`, under which softmax
    without a scale, sigmoid of a product and offsets would begin saturated.

    Args:
        channels: of the encoder's maps.
        motion_channels: of the result.

    Attributes:
        looks_at: whether it needs memories of reference frames, or the features of the flow's
            colours, beside the target; the other is not looked at.
    """

    looks_at: ClassVar[Literal["reference", "flow"]]

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__()
        self.channels, self.motion_channels = channels, motion_channels

    def remember(self, features: Tensor) -> FrameState:
        """What of a reference's map is computed once per clip; here the map itself."""
        return (features,)

    @abstractmethod
    def forward(
        self, target: Tensor, memories: Sequence[FrameState], flow: Tensor | None
    ) -> Tensor:
        """Motion features, non-negative (B, motion_channels, h, w).

        Args:
            target: the target's map.
            memories: what `remember` gave, one per reference; at least one where references are
                looked at.
            flow: the map of the flow's colours, or None where it is not looked at.
        """


class PairInteraction(Interaction):
    """Target and one reference; of several, what they find is averaged, as COSNet averages its
    predictions.
    """

    looks_at: ClassVar[Literal["reference", "flow"]] = "reference"

    @abstractmethod
    def found(self, target: Tensor, state: FrameState) -> Tensor:
        """What one reference tells of the target, (B, any, h, w)."""

    @abstractmethod
    def read(self, target: Tensor, found: Tensor) -> Tensor:
        """Motion features from the target's map and the mean of what was found."""

    def forward(
        self, target: Tensor, memories: Sequence[FrameState], flow: Tensor | None
    ) -> Tensor:
        """See `Interaction.forward`."""
        found = torch.stack([self.found(target, state) for state in memories])
        return self.read(target, found.mean(0))


class FlowInteraction(Interaction):
    """Target and the flow's colours, which have passed the same encoder."""

    looks_at: ClassVar[Literal["reference", "flow"]] = "flow"

    @abstractmethod
    def mixed(self, target: Tensor, flow: Tensor) -> Tensor:
        """Motion features from both maps."""

    def forward(
        self, target: Tensor, memories: Sequence[FrameState], flow: Tensor | None
    ) -> Tensor:
        """See `Interaction.forward`."""
        return self.mixed(target, flow)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Values gathered at each query: their mean, weighted by the softmax of the query's products
    with the keys, which are not scaled.

    Args:
        queries: (B, D, h, w).
        keys, values: (B, D, h', w') and (B, C, h', w').

    Returns:
        (B, C, h, w).
    """
    weights = (queries.flatten(2).transpose(1, 2) @ keys.flatten(2)).softmax(2)  # (B, n, n')
    return (values.flatten(2) @ weights.transpose(1, 2)).unflatten(2, queries.shape[-2:])
