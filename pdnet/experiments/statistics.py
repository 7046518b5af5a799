"""What may be said of a difference: tests across clips, corrections for many of them, intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

SIGNIFICANT = 0.05
FEWEST_CLIPS = 5  # below, Wilcoxon's test cannot fall under 0.05 whatever the differences
FEWEST_FRAMES = 5  # of a clip, for a rank correlation
DRAWS = 4000  # of the bootstrap: the ends of its intervals then move by less than 0.1 points
INTERVAL = (2.5, 97.5)  # percentiles


def paired(ours: pd.Series, others: pd.Series) -> tuple[float, float]:
    """Mean difference over clips and the p-value of Wilcoxon's signed-rank test.

    Args:
        ours, others: clip -> value, mean over seeds.

    Returns:
        the p-value is nan with fewer than five clips, or where nothing differs.
    """
    difference = (ours - others.reindex(ours.index)).dropna()
    return float(difference.mean()), signed_rank(difference.to_list())


def signed_rank(values: Sequence[float]) -> float:
    """The p-value of Wilcoxon's signed-rank test of values, one a clip, against 0; nan with fewer
    than five clips, or where all are 0.
    """
    if len(values) < FEWEST_CLIPS or not any(values):
        return float("nan")
    return float(stats.wilcoxon(values).pvalue)


def inside_clips(frames: pd.DataFrame, factor: str, value: str) -> list[float]:
    """Spearman's correlation of a factor with a value inside each clip; clips where either is
    constant, or that have few frames, are left out.

    Frames of one clip are no independent samples, and clips differ in more than the factor: only
    inside a clip does the comparison mean something, and only clips can be counted.

    Args:
        frames: a row a frame, with its `clip`.
        factor, value: columns.
    """
    found = []
    for _, clip in frames.groupby("clip"):
        varies = clip[factor].nunique() > 1 and clip[value].nunique() > 1
        if varies and len(clip) >= FEWEST_FRAMES:
            found.append(float(stats.spearmanr(clip[factor], clip[value]).statistic))
    return found


def smallest_p(clips: int) -> float:
    """The smallest p of Wilcoxon's two-sided test, all differences of one sign: 2 / 2^n."""
    return 2.0**-clips * 2


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down rule; a nan is no test and stays.

    The smallest of m is multiplied by m, the next by m - 1 ..., none falls below one that was
    smaller before.
    """
    corrected = np.full(len(p_values), np.nan)
    order = [i for i in np.argsort(p_values) if not np.isnan(p_values[i])]
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected.tolist()


def bootstrap_interval(ours: np.ndarray, others: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean difference, by drawing clips and seeds anew, with replacement.

    Clips are drawn for both at once (the difference is paired), seeds of each apart (they have
    nothing to do with each other).

    Args:
        ours, others: (clips, seeds) values of the same clips.
        seed: of the draws, so that a table is the same each time.
    """
    rng = np.random.default_rng(seed)
    clips = len(ours)
    clip_weights = rng.multinomial(clips, np.full(clips, 1 / clips), DRAWS) / clips
    means = []
    for values in (ours, others):
        seeds = values.shape[1]
        seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS) / seeds
        means.append(((clip_weights @ values) * seed_weights).sum(1))
    low, high = np.percentile(means[0] - means[1], INTERVAL)
    return float(low), float(high)


def mean_interval(values: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a mean over clips and seeds, by drawing both anew, with replacement.

    Args:
        values: a row a clip, a column a seed.
        seed: of the draws, so that a table is the same each time.
    """
    rng = np.random.default_rng(seed)
    clips, seeds = values.shape
    clip_weights = rng.multinomial(clips, np.full(clips, 1 / clips), DRAWS) / clips
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS) / seeds
    means = ((clip_weights @ values.to_numpy()) * seed_weights).sum(1)
    low, high = np.percentile(means, INTERVAL)
    return float(low), float(high)


def pooled_interval(
    sums: np.ndarray, measure: Callable[[np.ndarray], np.ndarray], seed: int = 0
) -> tuple[float, float]:
    """95 % interval of what is measured over all clips together, mean over seeds, by drawing clips
    and seeds anew, with replacement.

    Args:
        sums: (clips, seeds, sums) that add up over clips.
        measure: (..., sums) -> (...).
        seed: of the draws, so that a table is the same each time.
    """
    rng = np.random.default_rng(seed)
    clips, seeds = sums.shape[:2]
    drawn = rng.multinomial(clips, np.full(clips, 1 / clips), DRAWS)
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS) / seeds
    values = measure(np.einsum("dc,cst->dst", drawn, sums))
    low, high = np.percentile((values * seed_weights).sum(1), INTERVAL)
    return float(low), float(high)


def verdict(difference: float, p_value: float, spread: float) -> str:
    """What may be said of a difference, given the corrected test across clips and the spread over
    seeds.
    """
    if np.isnan(p_value):
        return "too few clips to test"
    if p_value >= SIGNIFICANT or abs(difference) <= spread:
        return "within noise"
    return "better than full" if difference > 0 else "worse than full"
