"""Which pixel belongs to which person, from masks alone: connected components and what is nearest
to them. Touching people count as one.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

SMALLEST = 3  # cells of a component: less is a sliver of somebody's border
EVERY_NEIGHBOUR = np.ones((3, 3), int)


def nearest_person(masks: Tensor) -> Tensor:
    """Every cell's person.

    Args:
        masks: (B, 1, h, w) of people, in 0..1.

    Returns:
        (B, h, w) int: 0, 1, ... within each picture; 0 everywhere where nobody is.
    """
    found = [_nearest(mask) for mask in masks[:, 0].detach().float().cpu().numpy()]
    return torch.from_numpy(np.stack(found)).to(masks.device)


def _nearest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask > 0.5, EVERY_NEIGHBOUR)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = [i for i in range(1, count + 1) if sizes[i] >= SMALLEST]
    if len(large) < 2:
        return np.zeros(mask.shape, int)
    renamed = np.zeros(count + 1, int)
    renamed[large] = range(1, len(large) + 1)
    labels = renamed[labels]
    rows, columns = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    return labels[rows, columns] - 1


def one_at_a_time(person: Tensor) -> tuple[Tensor, Tensor]:
    """Every person of a batch by himself.

    Args:
        person: (B, h, w) of `nearest_person`.

    Returns:
        (N,) which picture each is in, (N, 1, h, w) his cells as 0 or 1.
    """
    pictures, cells = [], []
    for index, labels in enumerate(person):
        for label in range(int(labels.max()) + 1):
            pictures.append(index)
            cells.append(labels == label)
    return torch.tensor(pictures, device=person.device), torch.stack(cells)[:, None]


def place_in_person(masks: Tensor, person: Tensor) -> Tensor:
    """Where in their person cells lie.

    Args:
        masks: (B, 1, h, w) of people, in 0..1.
        person: (B, h, w) of `nearest_person`.

    Returns:
        (B, 4, h, w) in 0..1: share from the top, from the bottom, from the left and from the right
        of the person's box; 0.5 where nobody is.
    """
    places = torch.full((len(masks), 4, *masks.shape[-2:]), 0.5, device=masks.device)
    pictures, cells = one_at_a_time(person)
    for index, own in zip(pictures.tolist(), cells[:, 0], strict=True):
        inside = own & (masks[index, 0] > 0.5)
        if not inside.any():
            continue
        for channel, side in ((0, 0), (2, 1)):
            taken = inside.any(1 - side).nonzero()[:, 0]
            low, high = taken[0].item(), taken[-1].item()
            along = torch.arange(masks.shape[2 + side], device=masks.device, dtype=torch.float32)
            share = ((along - low + 0.5) / (high - low + 1)).clamp(0, 1)
            share = share[:, None] if side == 0 else share[None, :]
            share = share.expand(masks.shape[-2:])
            places[index, channel] = torch.where(own, share, places[index, channel])
            places[index, channel + 1] = torch.where(own, 1 - share, places[index, channel + 1])
    return places
