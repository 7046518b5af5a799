"""Attention that finds the same thing again: what it gathers from the reference must look like the
target (Vondrick et al., ECCV 2018: tracking emerges by colorizing videos).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pdnet.losses.precision import at_least_single
from pdnet.model.motion import moved_within

PATCH = 4  # a token's look: so many mean colours along and across
FINE_PATCH = 2  # where tokens are small


def looks(image: Tensor, grid: tuple[int, int], patch: int = PATCH) -> Tensor:
    """(B, 3, H, W) in 0..1 -> (B, 3 * patch**2, h, w): the colours in each token's cell."""
    colours = F.adaptive_avg_pool2d(image, (grid[0] * patch, grid[1] * patch))
    return F.pixel_unshuffle(colours, patch)


def correspondence(
    weights: Tensor, target: Tensor, reference: Tensor, grid: tuple[int, int]
) -> Tensor:
    """How far what each part's attention gathers is from what is there, in squared shares of the
    colours' spread in the picture; mean over tokens and parts.

    Args:
        weights: (B, 1, p, n, n) attention over one reference.
        target, reference: (B, 3, H, W) RGB in 0..1.
        grid: (h, w) of the tokens.
    """
    wanted, theirs = (
        looks(image, grid).flatten(2).transpose(1, 2) for image in (target, reference)
    )
    wanted = at_least_single(wanted)
    gathered = at_least_single(weights[:, 0] @ theirs.to(weights.dtype)[:, None])  # (B, p, n, C)
    apart = (gathered - wanted[:, None]).square().mean((1, 2, 3))
    return (apart / _spread(wanted.transpose(1, 2))).mean()


def near_correspondence(window: Tensor, target: Tensor, reference: Tensor) -> Tensor:
    """The same of what each token gathers from what is near it.

    Args:
        window: (B, places, h, w), see `motion.Match`.
        target, reference: (B, 3, H, W), on any scale.
    """
    grid, patch = window.shape[-2:], FINE_PATCH
    wanted, theirs = (at_least_single(looks(x, grid, patch)) for x in (target, reference))
    gathered = torch.zeros_like(wanted)
    for weight, moved in zip(window.unbind(1), moved_within(theirs), strict=True):
        gathered = gathered + weight[:, None] * moved
    apart = (gathered - wanted).square().mean((1, 2, 3))
    return (apart / _spread(wanted.flatten(2))).mean()


def _spread(looks: Tensor) -> Tensor:
    """(B, C, n) -> (B,): by it a dark picture's differences count as a bright one's."""
    return looks.var(2, unbiased=False).mean(1).clamp_min(1e-3)
