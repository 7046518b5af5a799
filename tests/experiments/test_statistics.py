"""Corrections and intervals against known values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pdnet.experiments.statistics import (
    bootstrap_interval,
    holm,
    mean_interval,
    paired,
    pooled_interval,
    smallest_p,
    verdict,
)


def test_holm_multiplies_by_the_tests_that_are_left_and_never_falls():
    # the worked example of Holm's rule: m, m - 1, m - 2 times, then the running maximum
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    corrected = holm([0.02, float("nan"), 0.01])
    assert corrected[0] == pytest.approx(0.02) and corrected[2] == pytest.approx(0.02)
    assert np.isnan(corrected[1]), "what was not tested does not count"


@pytest.mark.parametrize("clips", [5, 7, 10])
def test_the_smallest_p_is_that_of_differences_of_one_sign(clips):
    assert stats.wilcoxon(np.arange(1.0, clips + 1)).pvalue == pytest.approx(smallest_p(clips))


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for trial in range(200):
        clip = rng.normal(0, 5, (20, 1))  # shared by both: the difference is paired
        seeds = rng.normal(0, 1, (2, 1, 8))
        ours, others = (clip + seeds[i] + rng.normal(0, 1, (20, 8)) for i in range(2))
        low, high = bootstrap_interval(ours + 2.0, others, seed=trial)
        covered += low < 2.0 < high
    assert 0.85 * 200 <= covered <= 200


def test_the_interval_is_the_same_each_time_and_wider_with_few_seeds():
    rng = np.random.default_rng(1)
    ours, others = rng.normal(0, 1, (2, 7, 12))
    assert bootstrap_interval(ours, others) == bootstrap_interval(ours, others)
    few = bootstrap_interval(ours[:, :2], others[:, :2])
    many = bootstrap_interval(ours, others)
    assert few[1] - few[0] > many[1] - many[0]


def test_seven_clips_of_one_sign_are_no_finding_among_four_comparisons():
    ours = pd.Series(np.linspace(1, 2, 7), index=list("abcdefg"))
    difference, p_value = paired(ours, ours * 0)
    assert p_value == pytest.approx(smallest_p(7))
    assert verdict(difference, p_value, 0.0) == "better than full"
    assert verdict(difference, holm([p_value, 0.9, 0.9, 0.9])[0], 0.0) == "within noise"


def test_the_interval_of_a_mean_holds_it_and_is_the_same_each_time():
    values = pd.DataFrame(np.random.default_rng(2).normal(70, 8, (9, 3)))
    low, high = mean_interval(values)
    assert low < values.to_numpy().mean() < high
    assert mean_interval(values) == (low, high)
    assert values.to_numpy().min() < low and high < values.to_numpy().max()


def test_the_interval_of_a_mean_is_a_point_where_nothing_varies():
    assert mean_interval(pd.DataFrame(np.full((6, 2), 42.5))) == pytest.approx((42.5, 42.5))
    assert mean_interval(pd.DataFrame([[3.0]])) == (3.0, 3.0)


def test_clips_and_seeds_both_widen_the_interval_of_a_mean():
    ramp = np.linspace(0, 10, 8)
    of_clips = pd.DataFrame(np.repeat(ramp[:, None], 4, axis=1))
    of_seeds = pd.DataFrame(np.repeat(ramp[None, :], 4, axis=0))
    for values in (of_clips, of_seeds):
        low, high = mean_interval(values)
        # a mean of eight draws: the deviation of one by the root of eight, twice either way
        assert high - low == pytest.approx(2 * 1.96 * ramp.std() / 8**0.5, rel=0.1)


def test_the_interval_of_a_mean_is_that_of_a_difference_to_nought():
    """Drawn alike, so what is shown of the one (how often it covers the truth) holds for both."""
    values = np.random.default_rng(4).normal(0, 1, (7, 3))
    other = bootstrap_interval(values, np.zeros((7, 1)))
    assert mean_interval(pd.DataFrame(values)) == pytest.approx(other)


def test_what_is_measured_of_all_clips_together_is_drawn_like_a_mean_of_equal_clips():
    values = np.random.default_rng(5).normal(3, 1, (7, 3))
    counted = np.stack([values, np.ones_like(values)], 2)

    def mean(sums):
        return sums[..., 0] / sums[..., 1]

    expected = mean_interval(pd.DataFrame(values))
    assert pooled_interval(counted, mean) == pytest.approx(expected)
    # a clip of twice as many counts twice
    counted[:3] *= 2
    low, high = pooled_interval(counted, mean)
    assert low < mean(counted.sum(0)).mean() < high and (low, high) != pytest.approx(expected)


def test_clips_that_only_one_of_two_has_are_not_paired():
    ours = pd.Series(np.linspace(1, 2, 7), index=list("abcdefg"))
    theirs = (ours - 0.5)[list("gfedcb")]
    difference, p_value = paired(ours, theirs)
    assert difference == pytest.approx(0.5), "by clip, whatever their order"
    assert p_value == pytest.approx(smallest_p(6))


def test_there_is_no_p_of_few_clips_nor_where_nothing_differs():
    ours = pd.Series(np.linspace(1, 2, 7), index=list("abcdefg"))
    assert paired(ours, ours)[0] == 0 and np.isnan(paired(ours, ours)[1])
    few = ours[:4]
    assert paired(few, few - 1)[0] == 1 and np.isnan(paired(few, few - 1)[1])
    assert not np.isnan(paired(ours[:5], ours[:5] - 1)[1])


def test_no_correction_makes_a_p_smaller_or_changes_the_order():
    rng = np.random.default_rng(5)
    for _ in range(50):
        given = rng.uniform(0, 1, 6) ** 3
        corrected = np.array(holm(given))
        assert (corrected >= given).all() and (corrected <= 1).all()
        assert (np.diff(corrected[np.argsort(given)]) >= 0).all()
    assert holm([]) == [] and holm([0.2]) == [0.2]
