"""Losses of a portrait map against its mask: weighted BCE and L1 (paper, section 4.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pdnet.config import LossConfig
from pdnet.losses.precision import at_least_single
from pdnet.model.blocks import resize


def bce_weight(mask: Tensor, maximum: float | None) -> Tensor:
    """The scalar N / (N_pos + 1) of a batch; N_pos counts pixels of at least 0.5.

    It weighs positives and negatives alike: it makes batches with little portrait count more. A
    batch without people would weigh N (hundreds of thousands), hence `maximum`; None leaves it as
    the authors have it.

    Args:
        mask: (B, 1, H, W) in 0..1.
        maximum: clamp, or None.
    """
    # + 1 as in the authors' code, so that an empty batch divides by one
    weight = mask.numel() / ((mask >= 0.5).sum() + 1).to(torch.float32)
    return weight if maximum is None else weight.clamp(max=maximum)


def binary_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Of logits (B, 1, H, W), mean over pixels."""
    logits = at_least_single(logits)
    return F.binary_cross_entropy_with_logits(logits, mask.to(logits.dtype))


def weighted_bce(logits: Tensor, mask: Tensor, maximum: float | None = None) -> Tensor:
    """Binary cross-entropy of logits (B, 1, H, W), mean over pixels, times `bce_weight`."""
    return binary_cross_entropy(logits, mask) * bce_weight(mask, maximum)


def l1(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean |sigmoid(logits) - mask|."""
    return (at_least_single(logits).sigmoid() - mask).abs().mean()


def segmentation_loss(logits: Tensor, mask: Tensor, config: LossConfig) -> Tensor:
    """seg(x, g) = weighted BCE + 0.8 L1, at the mask's size: coarser logits are enlarged, as the
    authors do.

    Args:
        logits: (B, 1, h, w).
        mask: (B, 1, H, W) in 0..1.
        config: weights of the terms.
    """
    logits = resize(at_least_single(logits), mask.shape[-2:])
    if config.bce_weight == "none":
        bce = binary_cross_entropy(logits, mask)
    else:
        bce = weighted_bce(logits, mask, config.bce_weight_max)
    return bce + config.l1 * l1(logits, mask)
