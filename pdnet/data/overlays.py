"""Masks, errors and parts drawn on frames: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import seaborn as sns

# Okabe and Ito's colours, safe for colour-blind eyes
HIT, MISSED, FALSE = (0.0, 0.62, 0.45), (0.90, 0.62, 0.0), (0.80, 0.47, 0.65)


def part_palette(parts: int) -> np.ndarray:
    """(p, 3) colours in 0..1."""
    return np.array(sns.color_palette("colorblind" if parts <= 10 else "husl", parts))


def overlay_mask(
    frame: np.ndarray, mask: np.ndarray, *, colour: Sequence[float] = HIT, strength: float = 0.5
) -> np.ndarray:
    """(H, W, 3) uint8 with a mask tinted and outlined."""
    picture = frame.astype(np.float32) / 255
    picture[mask] = (1 - strength) * picture[mask] + strength * np.array(colour)
    outline = (
        cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    )
    picture[outline] = np.array(colour)
    return (picture * 255).astype(np.uint8)


def overlay_errors(frame: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Correct portrait green, missed orange, false pink, on a greyed frame."""
    grey = (
        cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
        / 255
    )
    for where, colour in ((mask & truth, HIT), (~mask & truth, MISSED), (mask & ~truth, FALSE)):
        grey[where] = 0.4 * grey[where] + 0.6 * np.array(colour)
    return (grey * 255).astype(np.uint8)


def overlay_parts(frame: np.ndarray, part_masks: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Parts in colours on a frame, each pixel mixed by its part distribution, weighted by the
    portrait probability.

    Args:
        frame: (H, W, 3) uint8 RGB.
        part_masks: (p, h, w) on the part grid.
        probability: (H, W).
    """
    height, width = frame.shape[:2]
    # of the parts alone: the saliency in them is what `probability` shows already
    share = part_masks / np.maximum(part_masks.sum(0, keepdims=True), 1e-6)
    share = np.stack(
        [cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) for part in share], -1
    )
    tint = share @ part_palette(len(part_masks))
    # a quarter of the frame stays visible, to see what the part lies on
    weight = (0.75 * probability)[..., None]
    return np.clip((1 - weight) * frame + weight * tint * 255, 0, 255).astype(np.uint8)


def sheet(rows: Sequence[Sequence[np.ndarray]], height: int = 240) -> np.ndarray:
    """Pictures in a grid, each scaled to `height` pixels and to its row's first picture's aspect;
    (H, W, 3) uint8.
    """
    strips = []
    for pictures in rows:
        width = round(pictures[0].shape[1] * height / pictures[0].shape[0])
        scaled = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures]
        strips.append(np.hstack(scaled))
    widest = max(strip.shape[1] for strip in strips)
    return np.vstack([np.pad(s, ((0, 0), (0, widest - s.shape[1]), (0, 0))) for s in strips])
