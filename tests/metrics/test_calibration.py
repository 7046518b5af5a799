"""Thresholds and calibration, against counting."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.metrics.calibration import BINS, calibration_error, overlap_curve, probability_counts
from pdnet.metrics.region_contour import region_similarity


def test_the_curve_is_the_overlap_of_every_mask():
    rng = np.random.default_rng(0)
    truth = rng.random((30, 40)) < 0.3
    # off the thresholds themselves
    probability = (rng.integers(0, BINS, truth.shape) + 0.5) / BINS
    curve = overlap_curve(probability_counts(probability, truth))
    for index in (0, 17, 50, 99):
        mask = probability > index / BINS
        assert curve[index] == pytest.approx(region_similarity(mask, truth))


def test_an_empty_mask_of_nobody_is_right():
    nobody = np.zeros((4, 5), bool)
    curve = overlap_curve(probability_counts(np.full((4, 5), 0.2), nobody))
    assert curve[0] == 0 and curve[50] == 1


def test_what_comes_true_as_often_as_said_is_calibrated():
    rng = np.random.default_rng(1)
    probability = rng.random((400, 400))
    truth = rng.random((400, 400)) < probability
    assert calibration_error(probability_counts(probability, truth)) < 0.02
    assert calibration_error(probability_counts(1 - probability, truth)) == pytest.approx(
        0.5, abs=0.02
    )
