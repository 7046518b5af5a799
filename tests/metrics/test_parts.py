"""Agreement of found parts with true ones."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.data.skeleton import body_parts
from pdnet.metrics.parts import agreement, identity, part_labels


def test_part_agreement():
    truth = np.repeat([0, 1, 2, 3], 50)
    assert agreement(truth * 7, truth) == pytest.approx({"nmi": 1, "ari": 1, "matched_iou": 1})
    one = agreement(np.zeros_like(truth), truth)
    assert one["nmi"] == pytest.approx(0, abs=1e-9) and one["matched_iou"] == pytest.approx(0.25)
    rng = np.random.default_rng(0)
    assert abs(agreement(rng.integers(0, 4, 4000), rng.integers(0, 4, 4000))["ari"]) < 0.01
    assert np.array_equal(body_parts(np.array([0, 1, 10, 11, 23])), [-1, 0, 9, 0, 2])
    masks = np.zeros((2, 4, 4), np.float32)
    masks[0, :, :2], masks[1, :, 2:] = 1, 1
    assert np.array_equal(part_labels(masks, (4, 4))[0], [0, 0, 1, 1])


def test_identity_of_parts_over_time():
    truth, frame = np.tile([0, 0, 1, 1], 3), np.repeat([0, 1, 2], 4)
    kept = identity(np.tile([5, 5, 2, 2], 3), truth, frame)
    assert kept == {"to_reference": 1, "over_time": 1}
    swapped = identity(np.array([0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0]), truth, frame)
    assert swapped == {"to_reference": 0, "over_time": 0.5}
