"""PDNet: frame and reference -> parts -> motion -> portrait mask (paper, fig. 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from pdnet.config import ModelConfig
from pdnet.model.backbone import build_backbone, load_pretrained
from pdnet.model.blocks import coarse_grid, initialise, resize
from pdnet.model.encoder import Encoder
from pdnet.model.fusion import SpatiotemporalFusion
from pdnet.model.interactions import INTERACTIONS
from pdnet.model.interactions.base import References
from pdnet.model.ipda import Correlation, Memory, PartAttention, PartDecoupling, Parts
from pdnet.model.motion import Camera, Difference, Matching, Spread, aligned
from pdnet.model.steps import Steps


@dataclass
class Output:
    """What the network says of a target frame (and, in the pairwise forward, of its reference).

    Attributes:
        logits: (B, 1, H, W) portrait logits; sigmoid gives the probability.
        appearance: (B, C, H/4, W/4).
        motion: (B, C', H/16, W/16), or None without an interaction.
        parts: the target's `Parts`, or None without IPDA.
        auxiliary_logits: four (B, 1, H, W), finest first; empty when not asked for.
        reference_parts, reference_auxiliary_logits: the same of the reference, in the pairwise
            forward of a network that looks at it.
        correlation: what the parts found in the references, or None without IPDA.
    """

    logits: Tensor
    appearance: Tensor
    motion: Tensor | None
    parts: Parts | None
    auxiliary_logits: list[Tensor]
    reference_parts: Parts | None = None
    reference_auxiliary_logits: list[Tensor] | None = None
    correlation: Correlation | None = None

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
                position=config.position,
            )
            if config.difference == "matched":
                self.matching = Matching(config.channels, config.part_channels)
            elif config.difference != "none":
                self.difference = Difference(config.channels, config.part_channels)
            if config.steps == "learned":
                self.steps = Steps(config.channels)
            if config.spread:
                self.spread = Spread(config.channels, config.part_channels, config.spread)
        elif config.interaction != "none":
            made = INTERACTIONS[config.interaction]
            self.interaction = made(config.channels, config.part_channels)
        if config.interaction != "none":
            self.fusion = SpatiotemporalFusion(config.channels, config.part_channels)
        self.head = nn.Conv2d(config.channels, 1, 3, padding=1)
        # its logits start near 0: a probability of one half everywhere
        initialise(self.head)

    @property
    def has_parts(self) -> bool:
        """False for what is compared with IPDA."""
        return self.config.interaction == "ipda"

    @property
    def looks_at(self) -> Literal["reference", "flow", "nothing"]:
        """What is needed beside the target: Table 3's first row, without IPDA and fusion, needs
        nothing.
        """
        if self.config.interaction == "none":
            return "nothing"
        return "reference" if self.has_parts else self.interaction.looks_at

    def forward(
        self,
        target: Tensor,
        reference: Tensor,
        auxiliary: bool = True,
        *,
        flow: Tensor | None = None,
    ) -> Output:
        """Pairwise pass.

        Args:
            target, reference: (B, 3, H, W), normalised (`encoder.normalise`); H and W at least 32.
            auxiliary: also give the auxiliary logits.
            flow: likewise, the colours of the target's optical flow, for a network that looks at
                them.
        """
        if self.looks_at == "flow":
            return self._beside_flow(target, flow, auxiliary)
        appearance, logits = self.encoder(target, auxiliary)
        if self.looks_at == "nothing":
            return self._with_motion(target, appearance, None, logits)
        if (
            reference is target
        ):  # a single image, or a clip's first frame: one encoding serves as both
            reference_appearance, reference_logits = appearance, logits
        else:
            reference_appearance, reference_logits = self.encoder(reference, auxiliary)
        if not self.has_parts:
            memory = self._remember(reference_appearance)
            output = self._with_motion(target, appearance, memory, logits)
            return replace(output, reference_auxiliary_logits=reference_logits)
        reference_parts = self.decoupling(reference_appearance)
        memory = self.remember_parts(reference, reference_parts, reference_appearance)
        output = self._with_motion(target, appearance, memory, logits)
        return replace(
            output,
            reference_parts=reference_parts,
            reference_auxiliary_logits=reference_logits,
        )

    def encode_reference(self, reference: Tensor) -> Memory | References | None:
        """(B, 3, H, W) normalised reference -> its memory, computed once per clip (None where the
        network looks at no reference).
        """
        if self.looks_at != "reference":
            return None
        appearance, _ = self.encoder(reference, auxiliary=False)
        if not self.has_parts:
            return self._remember(appearance)
        return self.remember_parts(reference, self.decoupling(appearance), appearance)

    def parts(self, frame: Tensor) -> Parts:
        """(B, 3, H, W) normalised -> its parts, whatever its reference."""
        return self.decoupling(self.encoder(frame, auxiliary=False)[0])

    def remember_parts(self, frame: Tensor, parts: Parts, appearance: Tensor) -> Memory:
        """The memory of a frame (B, 3, H, W), normalised, whose parts and appearance are known."""
        memory = self.attention.remember(parts)
        if self.config.difference == "none":
            return memory
        frames = frame[:, None] if self.config.difference == "matched" else None
        return replace(memory, appearance=appearance[:, None], frames=frames)

    def segment(
        self, frame: Tensor, memory: Memory | References | None, flow: Tensor | None = None
    ) -> Output:
        """(B, 3, H, W) normalised frame, the references' memory, and the flow's colours for a
        network that looks at them -> `Output` without auxiliary logits.
        """
        if self.looks_at == "flow":
            return self._beside_flow(frame, flow, auxiliary=False)
        appearance, _ = self.encoder(frame, auxiliary=False)
        return self._with_motion(frame, appearance, memory, [])

    def _with_motion(
        self,
        frame: Tensor,
        appearance: Tensor,
        memory: Memory | References | None,
        auxiliary: list,
    ) -> Output:
        size = frame.shape[-2:]
        if memory is None:
            return Output(self._predict(appearance, size), appearance, None, None, auxiliary)
        parts = found = None
        if self.has_parts:
            parts = self.decoupling(appearance)
            found = self.attention.correlate(parts, memory)
            motion, found = self._motion(parts, found, (frame, appearance), memory)
        else:
            motion = self.interaction(self._on_grid(appearance), memory.states, None)
        logits = self._predict(self.fusion(appearance, motion), size)
        return Output(logits, appearance, motion, parts, auxiliary, correlation=found)

    def _motion(
        self, parts: Parts, found: Correlation, target: tuple[Tensor, Tensor], memory: Memory
    ) -> tuple[Tensor, Correlation]:
        """Motion features (B, C', h, w) of a frame and its appearance, the paper's and what the
        parameters add to them; what was found, with the matches if tokens are matched.
        """
        motion = self.attention.assemble(parts, found)
        grid = motion.shape[-2:]
        if self.config.difference == "matched":
            references = zip(memory.frames.unbind(1), memory.appearance.unbind(1), strict=True)
            seen = [self.matching(target, reference, grid) for reference in references]
            features, matches = zip(*seen, strict=True)
            motion = motion + sum(features) / len(features)
            found = found.matched(matches, grid, self.config.parts)
        elif self.config.difference != "none":
            frames = self._references_seen(found, memory, grid)
            told = [self.difference(target[1], frame, grid) for frame in frames]
            motion = motion + sum(told) / len(told)
        if self.config.spread:
            motion = self.spread(resize(target[1], grid), motion)
        if self.config.steps == "learned":
            reference = memory.appearance[:, 0]
            learned = self.steps(target[1], reference, found.matches[0])
            found = replace(found, learned=learned)
        return motion, found

    def _references_seen(
        self, found: Correlation, memory: Memory, grid: tuple[int, int]
    ) -> list[Tensor]:
        """The references' appearance, as the target's camera sees it where that is asked for."""
        frames = memory.appearance.unbind(1)
        if self.config.difference == "plain":
            return list(frames)
        cameras = found.camera.matrix.unbind(1)
        return [
            aligned(frame, Camera(matrix), grid)
            for frame, matrix in zip(frames, cameras, strict=True)
        ]

    def _beside_flow(self, target: Tensor, flow: Tensor, auxiliary: bool) -> Output:
        # as one batch: its norms then see frames and colours in the same shares when they learn
        # and when they are used
        both, logits = self.encoder(torch.cat([target, flow]), auxiliary)
        appearance, of_flow = both.chunk(2)
        motion = self.interaction(self._on_grid(appearance), (), self._on_grid(of_flow))
        prediction = self._predict(self.fusion(appearance, motion), target.shape[-2:])
        own = [one.chunk(2)[0] for one in logits]
        return Output(prediction, appearance, motion, None, own)

    def _remember(self, appearance: Tensor) -> References:
        return References((self.interaction.remember(self._on_grid(appearance)),))

    def _on_grid(self, appearance: Tensor) -> Tensor:
        return resize(appearance, coarse_grid(appearance.shape[-2:], self.config.downsample))

    def _predict(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        return resize(self.head(features), size)
