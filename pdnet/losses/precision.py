"""Losses are summed in float32 at least."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """Half precision -> float32; others stay: sums over a map overflow or lose small terms in half
    precision.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
