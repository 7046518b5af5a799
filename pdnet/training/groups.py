"""Who learns what: groups by rate, norms that image steps leave alone, clips held back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from pdnet.data.layout import Clip
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.model.blocks import batch_norms


def parameter_groups(
    network: PDNet, loss: nn.Module
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(backbone, heads). The backbone is the classifier alone; laterals, fusion, IPDA and the part
    basis are heads.
    """
    backbone = list(network.encoder.backbone.parameters())
    # by identity: parameters compare elementwise
    known = {id(p) for p in backbone}
    everything = [*network.parameters(), *loss.parameters()]
    return backbone, [p for p in everything if p.requires_grad and id(p) not in known]


def head_norms(network: PDNet) -> list[nn.BatchNorm2d]:
    """Batch norms outside the backbone."""
    inside = {id(norm) for norm in batch_norms(network.encoder.backbone)}
    return [norm for norm in batch_norms(network) if id(norm) not in inside]


def split_holdout(clips: Sequence[Clip], holdout: Sequence[str]) -> tuple[list[Clip], list[Clip]]:
    """Training clips, and those kept from training for validation.

    Raises:
        InputError: a name in `train.holdout` is no training clip, or nothing is left to train on.
    """
    names = [clip.name for clip in clips]
    for name in holdout:
        if name not in names:
            known = ", ".join(names)
            raise InputError(f"train.holdout: '{name}' is no training clip; known: {known}")
    kept = [clip for clip in clips if clip.name in holdout]
    left = [clip for clip in clips if clip.name not in holdout]
    if not left:
        raise InputError(
            "train.holdout: every training clip is held back, none is left to train on"
        )
    return left, kept
