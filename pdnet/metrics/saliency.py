"""What the saliency literature measures of a probability map, beside J and F of its mask: the
S-measure (Fan et al., ICCV 2017) and the mean absolute error.
"""

from __future__ import annotations

import numpy as np

OBJECT_SHARE = 0.5  # of the object's likeness beside the regions', as published
TINY = np.spacing(1.0)


def absolute_error(probability: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error of a (H, W) probability in 0..1 against a (H, W) bool mask."""
    return float(np.abs(probability - truth).mean(dtype=np.float64))


def structure_measure(probability: np.ndarray, truth: np.ndarray) -> float:
    """S-measure in 0..1: how alike object and background are inside, and how alike the four
    quarters are about the object's centre.

    Args:
        probability: (H, W) in 0..1, not cut.
        truth: (H, W) bool.
    """
    probability = probability.astype(np.float64)
    share = truth.mean()
    if share in (0, 1):
        # without two sides there is no structure; what is wrong counts
        return float(1 - np.abs(probability - share).mean())
    of_object = share * _likeness(probability[truth])
    of_object += (1 - share) * _likeness(1 - probability[~truth])
    structure = OBJECT_SHARE * of_object + (1 - OBJECT_SHARE) * _quarters(probability, truth)
    return float(max(0.0, structure))


def _likeness(inside: np.ndarray) -> float:
    """How near values that should be 1 are to it, and to each other."""
    mean = inside.mean()
    spread = inside.std(ddof=1) if inside.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + spread + TINY)


def _quarters(probability: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity of the quarters about the truth's centre, weighted by their areas."""
    # behind the centre's row and column: the published code counts from 1
    row, column = (int(np.round(place.mean())) + 1 for place in np.nonzero(truth))
    total = 0.0
    for rows in (slice(None, row), slice(row, None)):
        for columns in (slice(None, column), slice(column, None)):
            part = (rows, columns)
            area = truth[part].size
            if area:
                total += area * _similarity(probability[part], truth[part].astype(np.float64))
    return total / truth.size


def _similarity(x: np.ndarray, y: np.ndarray) -> float:
    """Structural similarity over one window as large as the pictures."""
    freedom = max(x.size - 1, 1)
    mean_x, mean_y = x.mean(), y.mean()
    var_x = ((x - mean_x) ** 2).sum() / freedom
    var_y = ((y - mean_y) ** 2).sum() / freedom
    both = ((x - mean_x) * (y - mean_y)).sum() / freedom
    above = 4 * mean_x * mean_y * both
    below = (mean_x**2 + mean_y**2) * (var_x + var_y)
    if above:
        return above / (below + TINY)
    return 0.0 if below else 1.0
