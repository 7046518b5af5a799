"""PDNet: frame and reference -> parts -> motion -> portrait mask (paper, fig. 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from pdnet.config import ModelConfig
from pdnet.model.backbone import build_backbone, load_pretrained
from pdnet.model.blocks import initialise, resize
from pdnet.model.encoder import Encoder
from pdnet.model.fusion import SpatiotemporalFusion
from pdnet.model.ipda import Memory, PartAttention, PartDecoupling, Parts


@dataclass
class Output:
    """What the network says of a target frame (and, in the pairwise forward, of its reference).

    Attributes:
        logits: (B, 1, H, W) portrait logits; sigmoid gives the probability.
        appearance: (B, C, H/4, W/4).
        motion: (B, C', H/16, W/16), or None without IPDA.
        parts: the target's `Parts`, or None without IPDA.
        auxiliary_logits: four (B, 1, H, W), finest first; empty when not asked for.
        reference_parts, reference_auxiliary_logits: the same of the reference, in the pairwise
            forward.
    """

    logits: Tensor
    appearance: Tensor
    motion: Tensor | None
    parts: Parts | None
    auxiliary_logits: list[Tensor]
    reference_parts: Parts | None = None
    reference_auxiliary_logits: list[Tensor] | None = None

    @property
    def saliency_logits(self) -> Tensor:
        """(B, 1, h, w) portrait logits of the target on the part grid."""
        return self.parts.saliency_logits

    @property
    def part_logits(self) -> Tensor:
        """(B, p, h, w) part logits of the target."""
        return self.parts.logits

    @property
    def reference_saliency_logits(self) -> Tensor:
        """(B, 1, h, w) portrait logits of the reference on the part grid."""
        return self.reference_parts.saliency_logits

    @property
    def reference_part_logits(self) -> Tensor:
        """(B, p, h, w) part logits of the reference."""
        return self.reference_parts.logits


class PDNet(nn.Module):
    """The part-decoupling network.

    `forward(target, reference)` is the authors' pairwise pass and what training uses. For a clip,
    `encode_reference` once and `segment` per frame give the same masks for about half the work.

    Args:
        config: the model's parameters; a checkpoint stores them beside the weights.
        pretrained: load `config.weights` into the backbone (training does, a checkpoint's
            reader does not).
    """

    def __init__(self, config: ModelConfig, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        backbone = build_backbone(config.backbone)
        if pretrained:
            load_pretrained(backbone, config.backbone, config.weights)
        self.encoder = Encoder(
            backbone,
            channels=config.channels,
            fusion=config.fusion,
            checkpointing=config.checkpointing,
        )
        if config.interaction == "ipda":
            self.decoupling = PartDecoupling(
                channels=config.channels,
                part_channels=config.part_channels,
                parts=config.parts,
                downsample=config.downsample,
                activation=config.part_activation,
            )
            self.attention = PartAttention(
                part_channels=config.part_channels,
                attention_channels=config.attention_channels,
                parts=config.parts,
                scale=config.attention_scale,
                mask_keys=config.mask_keys,
                residual=config.residual,
                reference_fusion=config.reference_fusion,
            )
            self.fusion = SpatiotemporalFusion(config.channels, config.part_channels)
        self.head = nn.Conv2d(config.channels, 1, 3, padding=1)
        # its logits start near 0: a probability of one half everywhere
        initialise(self.head)

    @property
    def has_parts(self) -> bool:
        """False for Table 3's first row, the network without IPDA and fusion."""
        return self.config.interaction == "ipda"

    def forward(self, target: Tensor, reference: Tensor, auxiliary: bool = True) -> Output:
        """Pairwise pass.

        Args:
            target, reference: (B, 3, H, W), normalised (`encoder.normalise`); H and W at least 32.
            auxiliary: also give the auxiliary logits.
        """
        appearance, logits = self.encoder(target, auxiliary)
        if not self.has_parts:
            return self._with_motion(appearance, None, target.shape[-2:], logits)
        if (
            reference is target
        ):  # a single image, or a clip's first frame: one encoding serves as both
            reference_appearance, reference_logits = appearance, logits
        else:
            reference_appearance, reference_logits = self.encoder(reference, auxiliary)
        reference_parts = self.decoupling(reference_appearance)
        memory = self.attention.remember(reference_parts)
        output = self._with_motion(appearance, memory, target.shape[-2:], logits)
        return replace(
            output,
            reference_parts=reference_parts,
            reference_auxiliary_logits=reference_logits,
        )

    def encode_reference(self, reference: Tensor) -> Memory | None:
        """(B, 3, H, W) normalised reference -> its memory, computed once per clip (None without
        IPDA).
        """
        if not self.has_parts:
            return None
        appearance, _ = self.encoder(reference, auxiliary=False)
        return self.attention.remember(self.decoupling(appearance))

    def segment(self, frame: Tensor, memory: Memory | None) -> Output:
        """(B, 3, H, W) normalised frame and the references' memory -> `Output` without auxiliary
        logits.
        """
        appearance, _ = self.encoder(frame, auxiliary=False)
        return self._with_motion(appearance, memory, frame.shape[-2:], [])

    def _with_motion(
        self, appearance: Tensor, memory: Memory | None, size: tuple[int, int], auxiliary: list
    ) -> Output:
        if memory is None:
            return Output(self._predict(appearance, size), appearance, None, None, auxiliary)
        parts = self.decoupling(appearance)
        motion = self.attention(parts, memory)
        logits = self._predict(self.fusion(appearance, motion), size)
        return Output(logits, appearance, motion, parts, auxiliary)

    def _predict(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        return resize(self.head(features), size)
