"""The Siamese encoder: backbone, lateral layers, top-down fusion and four auxiliary heads (paper,
section 4.1).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pdnet.model.backbone import Backbone
from pdnet.model.blocks import batch_norms, conv_bn_relu, frozen_statistics, initialise, resize
from pdnet.model.features import KeptMaps


class Encoder(nn.Module):
    """Image -> appearance features at stride 4.

    Args:
        backbone: gives four maps.
        channels: channels of the laterals and of the appearance features (128 in the authors'
            code).
        fusion: `multiply` (the authors' code: the upsampled coarse map times the lateral) or `add`
            (an FPN, as the paper's text has it).
        checkpointing: recompute the backbone in the backward pass instead of keeping its
            activations.
    """

    def __init__(
        self, backbone: Backbone, *, channels: int, fusion: str, checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.fusion = fusion
        self.checkpointing = checkpointing
        self.kept: KeptMaps | None = None  # of an encoder that does not learn
        self.laterals = nn.ModuleList(conv_bn_relu(c, channels, 1) for c in backbone.channels)
        self.fuse = nn.ModuleList(
            nn.Sequential(conv_bn_relu(channels, channels, 3), conv_bn_relu(channels, channels, 3))
            for _ in range(3)
        )
        self.heads = nn.ModuleList(nn.Conv2d(channels, 1, 3, padding=1) for _ in range(4))
        initialise(self)
        # after `initialise`, which must not touch trained weights
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..1 -> what the backbone was trained on."""
        return (image - self.mean).div_(self.std)

    def extra_repr(self) -> str:
        """What is not to be seen in its layers."""
        return f"fusion={self.fusion}"

    def keep_maps(self, folder: Path, limit: float) -> None:
        """From here on what it makes of an input is kept in a folder of at most `limit` GiB; the
        weights must not change any more.
        """
        self.kept = KeptMaps(self, folder, limit)

    def forward(self, image: Tensor, auxiliary: bool = True) -> tuple[Tensor, list[Tensor]]:
        """Encodes a normalised image.

        Args:
            image: (B, 3, H, W), normalised.
            auxiliary: also compute the auxiliary logits (training only).

        Returns:
            appearance (B, C, H/4, W/4), and the auxiliary logits, finest first, each (B, 1, H, W)
            (empty if not asked for).
        """
        if self.kept is None:
            top, *maps = self._maps(image, auxiliary)
        else:
            top, *maps = self.kept.of(image, auxiliary, lambda: self._maps(image, auxiliary))
        return top, [resize(one, image.shape[-2:]) for one in maps]

    def _maps(self, image: Tensor, auxiliary: bool) -> list[Tensor]:
        """Appearance and, if asked for, the auxiliary logits at their own sizes, finest first."""
        if self.checkpointing and self.training:
            maps = checkpoint(
                self.backbone, image, use_reentrant=False, context_fn=self._recomputing
            )
        else:
            maps = self.backbone(image)
        laterals = [layer(x) for layer, x in zip(self.laterals, maps, strict=True)]
        top = laterals[3]
        levels = []
        for i in (2, 1, 0):
            # from coarse to fine
            top = resize(top, laterals[i].shape[-2:])
            levels.append(top)  # the auxiliary heads see the already upsampled maps
            joined = top * laterals[i] if self.fusion == "multiply" else top + laterals[i]
            top = self.fuse[i](joined)
        levels.append(top)
        if not auxiliary:
            return [top]
        return [top, *(head(x) for head, x in zip(self.heads, reversed(levels), strict=True))]

    def _recomputing(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """Contexts of the pass and of its recomputation, which must not count in the running
        statistics again.
        """
        return nullcontext(), frozen_statistics(batch_norms(self.backbone))
