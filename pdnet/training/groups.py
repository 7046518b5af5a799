"""Who learns what: groups by rate, norms that image steps leave alone, what is held back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from pdnet.base.parameters_file import shown
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


def split_holdout(
    clips: Sequence[Clip], holdout: Sequence[str], evaluation: Sequence[Clip] = ()
) -> tuple[list[Clip], list[Clip]]:
    """Training clips, and those kept from training for validation.

    Args:
        clips: of the training list.
        holdout: names, of training clips or of clips that the evaluation list keeps for choices.
        evaluation: clips of that list.

    Raises:
        InputError: a name in `train.holdout` is no such clip, or nothing is left to train on.
    """
    known = {clip.name: clip for clip in (*clips, *evaluation)}
    for name in holdout:
        if name not in known:
            names = ", ".join(known)
            raise InputError(f"train.holdout: '{name}' is no clip; known: {shown(names, 300)}")
    kept = [known[name] for name in known if name in holdout]
    left = [clip for clip in clips if clip.name not in holdout]
    if not left:
        raise InputError(
            "train.holdout: every training clip is held back, none is left to train on"
        )
    return left, kept


Pairs = list[tuple[Path, Path]]


def split_images(pairs: Sequence[tuple[Path, Path]], share: float) -> tuple[Pairs, Pairs]:
    """Single images to train on, and those kept for validation: about `share` of each set, by a
    hash of the name, so that an image stays on its side whatever else is there.
    """
    left, kept = [], []
    for image, mask in pairs:
        name = f"{image.parent.parent.name}/{image.stem}"
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
        (kept if place < share else left).append((image, mask))
    return left, kept


def check_weights(weights: Mapping[str, float], known: Sequence[str]) -> None:
    """Refuses a weight of what is not there.

    Raises:
        InputError: a name in `train.sample_weights` is no training clip and no set of images.
    """
    for name in weights:
        if name not in known:
            names = ", ".join(dict.fromkeys(known))
            raise InputError(
                f"train.sample_weights: '{shown(name)}' is no training clip and no set of images; "
                f"known: {shown(names, 300)}"
            )
