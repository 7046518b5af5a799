"""COSNet (Lu et al., CVPR 2019): two frames of a clip attend to each other, each gathers the
other's features where they agree with its own.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from pdnet.model.methods.base import Method, NativeProtocol, Shown
from pdnet.model.methods.deeplab import (
    CHANNELS,
    DeepLabEncoder,
    alone_loss,
    enlarged,
    frame_loss,
    pair_readout,
)


class CoAttended(NamedTuple):
    """Probabilities of a pair, (B, 1, H, W) in 0..1.

    Attributes:
        frame, reference: with the other frame in view.
        frame_alone, reference_alone: of the encoder's own head.
    """

    frame: Tensor
    reference: Tensor
    frame_alone: Tensor
    reference_alone: Tensor


class COSNet(Method):
    """The network of the authors' release; 473x473 in their tests, any size of 32 or more here.

    At test time they draw five frames of the clip as references (the target itself may be among
    them) and average the target's probabilities.
    """

    protocol: ClassVar[NativeProtocol] = NativeProtocol(
        sizes=((473, 473),), colours="caffe", references="random", count=5
    )
    renames: ClassVar[tuple[tuple[str, str], ...]] = (
        *DeepLabEncoder.renames,
        (r"^affinity\.", "linear_e."),
        (r"^readouts\.0\.0\.", "conv1."),
        (r"^readouts\.1\.0\.", "conv2."),
        (r"^readouts\.0\.1\.", "bn1."),
        (r"^readouts\.1\.1\.", "bn2."),
        (r"^readouts\.0\.3\.", "main_classifier1."),
        (r"^readouts\.1\.3\.", "main_classifier2."),
    )

    def __init__(self) -> None:
        super().__init__()
        self.encoder = DeepLabEncoder()
        self.affinity = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.gate = nn.Conv2d(CHANNELS, 1, 1, bias=False)  # one for both
        self.readouts = nn.ModuleList(pair_readout() for _ in range(2))

    def forward(self, frame: Tensor, reference: Tensor) -> CoAttended:
        """A pair of (B, 3, H, W)."""
        size = frame.shape[-2:]
        features, alone = self.encoder(frame)
        other_features, other_alone = self.encoder(reference)
        attended = self.gathered(features, other_features)
        readouts = [
            self._read(readout, *pair)
            for readout, pair in zip(
                self.readouts,
                zip(attended, (features, other_features), strict=True),
                strict=True,
            )
        ]
        logits = (*readouts, alone, other_alone)
        return CoAttended(*(enlarged(one, size).sigmoid() for one in logits))

    def gathered(self, features: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """What each position of a frame finds in the other frame, both ways.

        Args:
            features, other: (B, 256, h, w).

        Returns:
            the same twice: for `features` a mean of `other`, and the other way round.
        """
        ours, theirs = features.flatten(2), other.flatten(2)  # (B, C, n)
        agreement = self.affinity(ours.transpose(1, 2)) @ theirs  # (B, n, n)
        found = theirs @ agreement.softmax(2).transpose(1, 2)
        found_back = ours @ agreement.softmax(1)
        return found.view_as(features), found_back.view_as(other)

    def _read(self, readout: nn.Module, attended: Tensor, features: Tensor) -> Tensor:
        gated = self.gate(attended).sigmoid() * attended
        return readout(torch.cat([gated, features], 1))

    def probability(self, shown: Shown) -> Tensor:
        """The mean over references of the target's probability; see `Method.probability`."""
        references = shown.references.unbind(1)
        return torch.stack([self(shown.frame, one).frame for one in references]).mean(0)

    def video_losses(
        self, shown: Shown, mask: Tensor, reference_masks: Tensor | None
    ) -> dict[str, Tensor]:
        """Target and first reference; see `Method.video_losses`."""
        pair = self(shown.frame, shown.references[:, 0])
        losses = {
            "frame": frame_loss(pair.frame, mask),
            "reference": frame_loss(pair.reference, reference_masks[:, 0]),
        }
        return {**losses, "total": losses["frame"] + losses["reference"]}

    def image_losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The encoder's own head; see `Method.image_losses`."""
        return {"total": alone_loss(self.encoder(image)[1], mask)}
