"""Masks on the part grid, at the points of the image that the network's grid features stand for."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def on_grid(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1, H, W) mask -> (B, 1, h, w): its mean around each node of a corner-aligned grid.

    The network resizes with aligned corners: node i of h lies at pixel i (H - 1) / (h - 1), the
    first and the last on the border. Area cells have their centres half a cell inside, up to 8
    pixels away at 224 / 14.
    """
    height, width = mask.shape[-2:]
    rows = _means(height, size[0]).to(mask.device)  # (h, H)
    columns = _means(width, size[1]).to(mask.device)  # (w, W)
    return torch.einsum("ih,bchw,jw->bcij", rows, mask.float(), columns)


@lru_cache(maxsize=16)
def _means(pixels: int, nodes: int) -> Tensor:
    """(nodes, pixels) weights of each node's mean: a box of a node's distance, smaller towards the
    border.

    It stays symmetric about its node, so that the mean of a slope is the slope's value there.
    """
    if nodes == 1:
        return torch.full((1, pixels), 1 / pixels)
    node = torch.linspace(0, pixels - 1, nodes, dtype=torch.float64)[:, None]
    pixel = torch.arange(pixels, dtype=torch.float64)[None]
    step = (pixels - 1) / (nodes - 1)
    to_border = torch.minimum(node, pixels - 1 - node)
    half = to_border.clamp(max=step / 2 - 0.5).clamp_min(0) + 0.5
    first = torch.maximum(node - half, pixel - 0.5)
    last = torch.minimum(node + half, pixel + 0.5)
    share = (last - first).clamp_min(0)  # of each pixel inside the box
    return (share / share.sum(1, keepdim=True)).float()
