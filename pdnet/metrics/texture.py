"""Scene complexity as the paper measures it (figure 3): entropy of the grey-level co-occurrence matrix (GLCM)."""

from __future__ import annotations

import cv2
import numpy as np

LEVELS = 256
OFFSETS = ((0, 1), (1, 1), (1, 0), (1, -1))  # (rows, columns): the four neighbours at distance 1


def cooccurrence(grey: np.ndarray) -> np.ndarray:
    """Symmetric counts of neighbouring grey levels, equal to scikit-image's `graycomatrix(..., symmetric=True)`.

    Args:
        grey: (H, W) uint8, at least 2x2.

    Returns:
        (4, 256, 256) int64: for each of `OFFSETS`, how often level i stands beside level j, both ways counted.
    """
    height, width = grey.shape
    high = grey.astype(np.uint16) << 8
    counts = np.empty((len(OFFSETS), LEVELS, LEVELS), np.int64)
    for k, (down, right) in enumerate(OFFSETS):
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width + min(0, right)))
        pairs = high[here] | grey[there]
        histogram = cv2.calcHist([pairs], [0], None, [LEVELS * LEVELS], [0, LEVELS * LEVELS])
        counts[k] = histogram.reshape(LEVELS, LEVELS)  # float32 counts integers exactly below 2^24
    return counts + counts.transpose(0, 2, 1)


def glcm_entropy(grey: np.ndarray) -> float:
    """Entropy of the co-occurrence matrix in bits, mean over the four directions; 0 for a flat picture, at most 16."""
    entropies = []
    for counts in cooccurrence(grey):
        n = counts[counts > 0].astype(np.float64)
        total = n.sum()
        entropies.append(np.log2(total) - (n * np.log2(n)).sum() / total)
    return float(np.mean(entropies))
