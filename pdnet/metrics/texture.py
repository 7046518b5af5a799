"""Scene complexity as the paper measures it (figure 3): entropy of the grey-level co-occurrence matrix (GLCM)."""

from __future__ import annotations

import cv2
import numpy as np

LEVELS = 256
OFFSETS = ((0, 1), (1, 1), (1, 0), (1, -1))  # (rows, columns): the four neighbours at distance 1


def cooccurrence(grey: np.ndarray) -> np.ndarray:
    """Symmetric counts of neighbouring grey levels, equal to scikit-image's `graycomatrix(..., symmetric=True)` for up to 2^24 pixels.

    Args:
        grey: (H, W) uint8, at least 2x2.

    Returns:
        (4, 256, 256) float32: for each of `OFFSETS`, how often level i stands beside level j, both ways counted.
    """
    height, width = grey.shape
    counts = np.empty((len(OFFSETS), LEVELS, LEVELS), np.float32)  # exact for integers below 2^24
    for k, (down, right) in enumerate(OFFSETS):
        here = grey[: height - down, max(0, -right) : width - max(0, right)]
        there = grey[down:, max(0, right) : width + min(0, right)]
        counts[k] = cv2.calcHist([here, there], [0, 1], None, [LEVELS, LEVELS], [0, LEVELS, 0, LEVELS])
    return counts + counts.transpose(0, 2, 1)


def glcm_entropy(grey: np.ndarray) -> float:
    """Entropy of the co-occurrence matrix in bits, mean over the four directions; 0 for a flat picture, at most 16."""
    entropies = []
    for counts in cooccurrence(grey):
        n = counts[counts > 0].astype(np.float64)
        total = n.sum()
        entropies.append(np.log2(total) - (n * np.log2(n)).sum() / total)
    return float(np.mean(entropies))
