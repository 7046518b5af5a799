"""Parts that follow the picture: what is said of a warped picture is the warp of what is said of
the picture (SCOPS, Hung et al., CVPR 2019; the paper leaves it out).
"""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pdnet.losses.precision import at_least_single

TURN = 25.0  # degrees either way
GROWTH = 1.3  # the picture shrinks or grows by up to this
SHIFT = 0.2  # of half the picture's sides


def draw_warps(rng: np.random.Generator, count: int) -> Tensor:
    """(count, 2, 3) affine maps from a warped picture's places to the picture's, in units of half
    its sides from its centre.
    """
    warps = []
    for _ in range(count):
        turn = radians(rng.uniform(-TURN, TURN))
        size = GROWTH ** rng.uniform(-1, 1)
        x, y = rng.uniform(-SHIFT, SHIFT, 2)
        warps.append(
            [[size * cos(turn), -size * sin(turn), x], [size * sin(turn), size * cos(turn), y]]
        )
    return torch.tensor(np.array(warps), dtype=torch.float32)


def warp(maps: Tensor, warps: Tensor) -> Tensor:
    """(B, C, h, w) maps, warped; 0 beyond the picture."""
    grid = F.affine_grid(warps.to(maps), list(maps.shape), align_corners=False)
    return F.grid_sample(maps, grid, align_corners=False)


def equivariance(of_warped: Tensor, predictions: Tensor, portrait: Tensor, warps: Tensor) -> Tensor:
    """Cross-entropy of a warped picture's parts against the picture's, warped; mean over the
    portrait's pixels. At least the parts' own entropy.

    Args:
        of_warped: (B, p, h, w) part predictions of the warped pictures.
        predictions: (B, p, h, w) of the pictures; they get no gradient.
        portrait: (B, 1, h, w) in 0..1, of the pictures.
        warps: of `draw_warps`.
    """
    wanted = warp(at_least_single(predictions).detach(), warps)
    inside = warp(at_least_single(portrait), warps)
    cost = -(wanted * at_least_single(of_warped).clamp_min(1e-6).log()).sum(1, keepdim=True)
    return (cost * inside).sum() / inside.sum().clamp_min(1.0)
