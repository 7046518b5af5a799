"""What may be said of a difference."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

SIGNIFICANT = 0.05


def paired(ours: pd.Series, others: pd.Series) -> tuple[float, float]:
    """Mean difference over clips and the p-value of Wilcoxon's signed-rank test; (difference, nan) below 5 clips.

    Args:
        ours, others: clip -> value, mean over seeds.
    """
    difference = (ours - others.reindex(ours.index)).dropna()
    if len(difference) < 5 or not difference.abs().sum():
        return float(difference.mean()), float("nan")
    return float(difference.mean()), float(stats.wilcoxon(difference).pvalue)


def verdict(difference: float, p_value: float, spread: float) -> str:
    """What may be said of a difference, given the test across clips and the spread over seeds."""
    if np.isnan(p_value):
        return "too few clips to test"
    if p_value >= SIGNIFICANT or abs(difference) <= spread:
        return "within noise"
    return "better than full" if difference > 0 else "worse than full"
