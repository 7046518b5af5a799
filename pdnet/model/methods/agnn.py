"""AGNN (Wang et al., ICCV 2019): three frames of a clip are the nodes of a graph; they send each
other what agrees with the receiver, five times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.methods.base import Method, NativeProtocol, Shown
from pdnet.model.methods.deeplab import (
    CHANNELS,
    DeepLabEncoder,
    alone_loss,
    attend,
    enlarged,
    frame_loss,
    pair_readout,
)

REFERENCES = 2  # the two messages to a node are concatenated, so no other number fits
ROUNDS = 5
MATCHED = 64  # channels of the queries and keys inside a frame
DROPPED = 0.1  # share of channels


class NodeProbabilities(NamedTuple):
    """Probabilities of the nodes, one (B, 1, H, W) in 0..1 per frame.

    Attributes:
        together: after the messages.
        alone: of the encoder's own head.
    """

    together: list[Tensor]
    alone: list[Tensor]


class PositionAttention(nn.Module):
    """Each position of a frame gathers from all positions of the same frame; added, scaled by a
    learned factor that starts at 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.query = nn.Conv2d(CHANNELS, MATCHED, 1)
        self.key = nn.Conv2d(CHANNELS, MATCHED, 1)
        self.value = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 256, h, w) -> the same."""
        return self.gamma * attend(self.query(x), self.key(x), self.value(x)) + x


class PointwiseGRU(nn.Module):
    """A gated recurrent unit at every position: its convolutions are 1x1."""

    def __init__(self) -> None:
        super().__init__()
        self.update, self.reset, self.out = (nn.Conv2d(2 * CHANNELS, CHANNELS, 1) for _ in range(3))

    def forward(self, message: Tensor, state: Tensor) -> Tensor:
        """Both (B, 256, h, w) -> the next state."""
        both = torch.cat([message, state], 1)
        update, reset = self.update(both).sigmoid(), self.reset(both).sigmoid()
        candidate = self.out(torch.cat([message, state * reset], 1)).tanh()
        return state * (1 - update) + candidate * update


class AGNN(Method):
    """The network of the authors' release. Exactly three frames; any size of 32 or more.

    At test time they draw two frames of the clip beside the target (which may be drawn again), and
    keep the target's node of one joint pass.
    """

    # Theirs enlarges the maps of the three sizes with aligned corners before it averages them.
    protocol: ClassVar[NativeProtocol] = NativeProtocol(
        sizes=((354, 354), (473, 473), (709, 709)),
        colours="caffe",
        references="random",
        count=REFERENCES,
    )
    renames: ClassVar[tuple[tuple[str, str], ...]] = (
        *DeepLabEncoder.renames,
        (r"^encoder\.refine\.0\.(query|key|value)\.", r"encoder.layer5.sa.\1_conv."),
        (r"^encoder\.refine\.0\.", "encoder.layer5.sa."),
        (r"^encoder\.refine\.1\.", "encoder.layer5.conv51."),
        (r"^affinity\.", "linear_e."),
        (r"^merge\.", "conv_fusion."),
        (r"^gru\.(\w+)\.", r"ConvGRU.\1_gate."),
        (r"^readout\.0\.", "conv1."),
        (r"^readout\.1\.", "bn1."),
        (r"^readout\.3\.", "main_classifier1."),
    )

    def __init__(self) -> None:
        super().__init__()
        within = nn.Sequential(
            PositionAttention(), conv_bn_relu(CHANNELS, CHANNELS, 3), nn.Dropout2d(DROPPED)
        )
        self.encoder = DeepLabEncoder(refine=within)
        # one of each for all nodes and rounds
        self.affinity = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.gate = nn.Conv2d(CHANNELS, 1, 1, bias=False)
        self.merge = nn.Conv2d(REFERENCES * CHANNELS, CHANNELS, 3, padding=1)
        self.gru = PointwiseGRU()
        self.readout = pair_readout()

    def forward(self, frames: Sequence[Tensor]) -> NodeProbabilities:
        """Three frames, (B, 3, H, W) each."""
        encoded = [self.encoder(frame) for frame in frames]
        features = [one for one, _ in encoded]
        states = features
        for _ in range(ROUNDS):
            states = self._sent(states)
        pairs = zip(states, features, strict=True)
        together = [self.readout(torch.cat(pair, 1)) for pair in pairs]
        size = frames[0].shape[-2:]
        return NodeProbabilities(
            together=[enlarged(logits, size).sigmoid() for logits in together],
            alone=[enlarged(logits, size).sigmoid() for _, logits in encoded],
        )

    def _sent(self, states: list[Tensor]) -> list[Tensor]:
        """One round: all messages are of the old states."""
        new = []
        for i, state in enumerate(states):
            queries = self.affinity(state.movedim(1, 3)).movedim(3, 1)  # (B, 256, h, w)
            others = states[:i] + states[i + 1 :]
            gathered = [attend(queries, other, other) for other in others]
            gated = [found * self.gate(found).sigmoid() for found in gathered]
            new.append(self.gru(self.merge(torch.cat(gated, 1)), state))
        return new

    def probability(self, shown: Shown) -> Tensor:
        """The target's node, with its two references; see `Method.probability`."""
        return self([shown.frame, *shown.references.unbind(1)]).together[0]

    def video_losses(
        self, shown: Shown, mask: Tensor, reference_masks: Tensor | None
    ) -> dict[str, Tensor]:
        """Target and both references; see `Method.video_losses`."""
        found = self([shown.frame, *shown.references.unbind(1)]).together
        masks = [mask, *reference_masks.unbind(1)]
        each = [frame_loss(*pair) for pair in zip(found, masks, strict=True)]
        return {"frame": each[0], "references": sum(each[1:]), "total": sum(each)}

    def image_losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The encoder's own head; see `Method.image_losses`. The authors add up two such batches a
        step.
        """
        return {"total": alone_loss(self.encoder(image)[1], mask)}
