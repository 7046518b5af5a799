"""Attention that finds the same thing again: what it gathers from the reference must look like the
target (Vondrick et al., ECCV 2018: tracking emerges by colorizing videos).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pdnet.losses.precision import at_least_single

PATCH = 4  # a token's look: so many mean colours along and across


def looks(image: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, 3, H, W) in 0..1 -> (B, h * w, 3 * PATCH**2): the colours in each token's cell."""
    colours = F.adaptive_avg_pool2d(image, (grid[0] * PATCH, grid[1] * PATCH))
    return F.pixel_unshuffle(colours, PATCH).flatten(2).transpose(1, 2)


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
    wanted, theirs = at_least_single(looks(target, grid)), looks(reference, grid)
    gathered = at_least_single(weights[:, 0] @ theirs.to(weights.dtype)[:, None])  # (B, p, n, C)
    # by the spread: a dark picture's differences count as a bright one's
    spread = wanted.var(1, unbiased=False).mean(1).clamp_min(1e-3)  # (B,)
    apart = (gathered - wanted[:, None]).square().mean((1, 2, 3))
    return (apart / spread).mean()
