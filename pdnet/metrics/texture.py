"""Scene complexity as the paper measures it (figure 3): entropy of the grey-level co-occurrence
matrix (GLCM).
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

LEVELS = 256
OFFSETS = ((0, 1), (1, 1), (1, 0), (1, -1))  # (rows, columns): the four neighbours at distance 1

_N = np.arange(2**16, dtype=np.float64)
_N_LOG_N = (_N * np.log2(np.maximum(_N, 1)))[None]


def _unordered(grey: np.ndarray) -> Iterator[np.ndarray]:
    """For each of `OFFSETS` (largest difference + 1, 256) float32, at [d, i]: how many neighbours
    have the levels i and i + d.

    The order of two neighbours doesn't matter in a symmetric matrix, and the table is as small as
    their differences.
    """
    height, width = grey.shape
    for down, right in OFFSETS:
        here = grey[: height - down, max(0, -right) : width - max(0, right)]
        there = grey[down:, max(0, right) : width + min(0, right)]
        difference = cv2.absdiff(here, there)
        rows = int(difference.max()) + 1
        yield cv2.calcHist(
            [difference, cv2.min(here, there)], [0, 1], None, [rows, LEVELS], [0, rows, 0, LEVELS]
        )


def cooccurrence(grey: np.ndarray) -> np.ndarray:
    """Symmetric counts of neighbouring grey levels, equal to scikit-image's `graycomatrix(...,
    symmetric=True)` for up to 2^24 pixels.

    Args:
        grey: (H, W) uint8, at least 2x2.

    Returns:
        (4, 256, 256) float32: for each of `OFFSETS`, how often level i stands beside level j, both
        ways counted.
    """
    matrices = np.zeros((len(OFFSETS), LEVELS, LEVELS), np.float32)  # exact for integers below 2^24
    for matrix, counts in zip(matrices, _unordered(grey), strict=True):
        difference, level = np.nonzero(counts)
        matrix[level, level + difference] = counts[difference, level]
    return matrices + matrices.transpose(0, 2, 1)


def glcm_entropy(grey: np.ndarray) -> float:
    """Entropy of the co-occurrence matrix in bits, mean over the four directions; 0 for a flat
    picture, at most 16.

    With n_ij neighbours of levels i < j, the symmetric matrix has n_ij twice and 2 n_ii on its
    diagonal, of a total of 2 N: the entropy is log2(2 N) - (sum n log2 n + sum n_ii) / N, which
    needs no matrix.
    """
    entropies = []
    for counts in _unordered(grey):
        total, equal = cv2.sumElems(counts)[0], cv2.sumElems(counts[0])[0]
        if counts.max() < _N.size:
            n_log_n = cv2.sumElems(cv2.LUT(counts.astype(np.uint16), _N_LOG_N))[0]
        else:
            n_log_n = np.sum(counts * np.log2(np.maximum(counts, 1), dtype=np.float64))
        entropies.append(np.log2(2 * total) - (n_log_n + equal) / total)
    return float(np.mean(entropies))
