"""J and F of a frame against plain steps and known values."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdnet.metrics.region_contour import frame_scores, statistics, tolerance
from tests.bench.plain_evaluator import plain_frame_scores
from tests.helpers import disc


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 90),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]),
)
def test_equals_plain_steps_on_any_masks(height, width, seed, density):
    rng = np.random.default_rng(seed)
    truth = cv2.blur(rng.random((height, width)), (5, 5)) < density
    prediction = np.roll(truth, rng.integers(-3, 4, 2), (0, 1)) ^ (
        rng.random((height, width)) < 0.02
    )
    assert frame_scores(prediction, truth) == plain_frame_scores(prediction, truth)


def test_known_values():
    a, b = disc((480, 854), (240, 400), 100), disc((480, 854), (240, 500), 100)
    assert frame_scores(a, a) == (1.0, 1.0)
    assert frame_scores(a, ~a)[0] == 0.0
    assert frame_scores(a, b)[0] == pytest.approx((a & b).sum() / (a | b).sum())
    assert tolerance(480, 854) == 8
    assert statistics(np.array([0.2, 0.6, 0.8, 1.0])) == (
        pytest.approx(0.65),
        0.75,
        pytest.approx(0.4 - 0.9),
    )
