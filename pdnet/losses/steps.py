"""What learned steps are held to: true joints and true body parts of rendered clips."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SEEN = 0.05  # share of a token from which on what it shows has a step


def step_error(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Squared error of steps, in tokens: the mean over people's tokens. Of all others nothing is
    asked: to say that they rest is to tell them from people, which shrinks every step.

    Args:
        found: (B, 2, h, w) in tokens (x, y).
        truth: (B, 2, H, W) in pixels (x, y); 0 outside of people.
        mask: (B, 1, H, W) in 0..1.
    """
    size = found.shape[-2:]
    share = F.adaptive_avg_pool2d(mask, size)
    wanted = F.adaptive_avg_pool2d(truth, size) / share.clamp_min(SEEN)  # the mean over people
    tokens = [now / before for now, before in zip(size, truth.shape[-2:], strict=True)]
    wanted = wanted * torch.tensor(tokens[::-1], device=truth.device).view(1, 2, 1, 1)
    return _mean((found - wanted).square().sum(1, keepdim=True), share)


def naming_error(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of body parts: the mean over bodies and that over all others, added.

    Args:
        logits: (B, 1 + parts, h, w), no body first.
        truth: (B, parts, H, W), the share of each part in a pixel.
    """
    shares = F.adaptive_avg_pool2d(truth, logits.shape[-2:])
    body = shares.sum(1, keepdim=True)
    cost = -logits.float().log_softmax(1)
    named = (cost[:, 1:] * shares).sum(1, keepdim=True) / body.clamp_min(SEEN)
    return _mean(named, body) + _mean(cost[:, :1], 1 - body)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Of (B, 1, h, w), weighted; 0 where nothing weighs."""
    return (values * weights).sum() / weights.sum().clamp_min(1)
