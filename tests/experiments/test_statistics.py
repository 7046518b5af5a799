"""Corrections and intervals against known values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pdnet.experiments.statistics import bootstrap_interval, holm, paired, smallest_p, verdict


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
