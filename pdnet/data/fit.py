"""A frame or mask of any size -> the network's input."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from pdnet.config import ModelConfig

STRIDE = 32  # of the backbone's deepest map
MOST_ELONGATED = 4  # times the short side; a longer frame loses its aspect


def input_shape(
    config: ModelConfig, frame: tuple[int, int], *, scale: float = 1.0
) -> tuple[int, int]:
    """(H, W) of the network's input for a frame of (height, width) pixels.

    With `fit: stretch` it is `input_size` whatever the frame's aspect; with `aspect` the short side
    is that of `input_size` and the long side follows the frame, both multiples of 32. A `scale`
    other than 1 enlarges or shrinks `input_size` before.
    """
    wanted = config.input_size
    if scale != 1:
        wanted = tuple(max(1, round(scale * side / STRIDE)) * STRIDE for side in wanted)
    if config.fit == "stretch":
        return wanted
    short, least = min(wanted), min(frame)
    sides = (STRIDE * round(short * side / least / STRIDE) for side in frame)
    height, width = (min(max(short, side), MOST_ELONGATED * short) for side in sides)
    return height, width


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an (h, w, ...) array to `size` (H, W): antialiased when it shrinks, plain bilinear
    when it enlarges.
    """
    shrinks = size[0] < image.shape[0] and size[1] < image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=how)


def image_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 RGB -> (3, H, W) float in 0..1."""
    return torch.from_numpy(image).permute(2, 0, 1).float().div_(255)


def frame_tensor(frame: np.ndarray, size: tuple[int, int]) -> Tensor:
    """(h, w, 3) uint8 RGB -> (3, H, W) float in 0..1, resized to `size`."""
    return image_tensor(resized(frame, size))
