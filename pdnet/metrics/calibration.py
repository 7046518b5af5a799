"""What probabilities are worth: overlap at every threshold, and whether 0.8 means eight in ten."""

from __future__ import annotations

import numpy as np

BINS = 100  # thresholds 0.00, 0.01 ... 0.99


def probability_counts(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels of a frame by probability.

    Args:
        probability: (H, W) in 0..1.
        truth: (H, W) bool.

    Returns:
        (2, BINS) int: background's pixels, people's pixels.
    """
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    return np.bincount((bins + BINS * truth).ravel(), minlength=2 * BINS).reshape(2, BINS)


def overlap_curve(counts: np.ndarray) -> np.ndarray:
    """(..., 2, BINS) counts -> (..., BINS) J of the mask above each threshold; 1 where it and the
    truth are empty.
    """
    above = counts[..., ::-1].cumsum(-1)[..., ::-1]
    both = above[..., 1, :]
    union = counts[..., 1, :].sum(-1, keepdims=True) + above[..., 0, :]
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)


def calibration_error(counts: np.ndarray) -> float:
    """Expected calibration error: how far the share of people is from the probability, mean over
    all pixels.

    Args:
        counts: (2, BINS), of any number of frames.
    """
    pixels, people = counts.sum(0), counts[1]
    said = (np.arange(BINS) + 0.5) / BINS
    apart = np.abs(people - said * pixels)
    return float(apart.sum() / pixels.sum())
