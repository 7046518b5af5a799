"""AGNN's interaction (Wang et al., ICCV 2019): frames as the nodes of a graph that send each other
messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.interactions.base import FrameState, Interaction, attend


class NodeUpdate(nn.Module):
    """A gated recurrent unit at every position: its convolutions are 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.update, self.reset, self.out = (nn.Conv2d(2 * channels, channels, 1) for _ in range(3))

    def forward(self, message: Tensor, state: Tensor) -> Tensor:
        """Both (B, C, h, w) -> the next state."""
        both = torch.cat([message, state], 1)
        update, reset = self.update(both).sigmoid(), self.reset(both).sigmoid()
        candidate = self.out(torch.cat([message, state * reset], 1)).tanh()
        return state * (1 - update) + candidate * update


class AGNNStyle(Interaction):
    """Target and references are nodes; in each round every node receives co-attention messages of
    all others and a recurrent unit takes them in; the target's last and first state are read.

    Kept: messages, gate, recurrent unit and readout, their weights shared by nodes and rounds. Left
    out: the references' readouts and the attention within a frame. A node's messages are averaged
    where the authors concatenate their two, so any number of references fits.

    Args:
        channels, motion_channels: see `Interaction`.
        rounds: of messages; the authors have 5.
    """

    looks_at: ClassVar[Literal["reference", "flow"]] = "reference"

    def __init__(self, channels: int, motion_channels: int, rounds: int = 3) -> None:
        super().__init__(channels, motion_channels)
        self.rounds = rounds
        self.affinity = nn.Conv2d(channels, channels, 1, bias=False)
        self.gate = nn.Conv2d(channels, 1, 1, bias=False)
        self.merge = nn.Conv2d(channels, channels, 3, padding=1)
        self.node = NodeUpdate(channels)
        self.out = conv_bn_relu(2 * channels, motion_channels, 3)

    def forward(
        self, target: Tensor, memories: Sequence[FrameState], flow: Tensor | None
    ) -> Tensor:
        """See `Interaction.forward`."""
        states = [target, *(features for (features,) in memories)]
        for left in reversed(range(self.rounds)):
            # after the last round nobody asks the references any more
            receivers = len(states) if left else 1
            # all messages of a round are of the old states
            states = [self._received(states, i) for i in range(receivers)]
        return self.out(torch.cat([states[0], target], 1))

    def _received(self, states: list[Tensor], which: int) -> Tensor:
        """A node's next state."""
        queries = self.affinity(states[which])
        others = states[:which] + states[which + 1 :]
        gathered = torch.stack([attend(queries, other, other) for other in others])
        # (R, B, C, h, w); the gate is a convolution, so nodes join the batch for it
        gates = self.gate(gathered.flatten(0, 1)).sigmoid().unflatten(0, gathered.shape[:2])
        return self.node(self.merge((gathered * gates).mean(0)), states[which])
