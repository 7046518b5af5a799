"""Temporal stability follows the motion."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pdnet.metrics.stability import brought, clip_stability, flow_back
from tests.helpers import disc


def moving_picture(frames=6, step=3):
    rng = np.random.default_rng(0)
    wide = np.repeat(np.repeat(rng.integers(0, 255, (24, 60, 3), dtype=np.uint8), 4, 0), 4, 1)
    pictures = [
        np.ascontiguousarray(wide[:, 60 - step * i : 188 - step * i]) for i in range(frames)
    ]
    return pictures, [disc((96, 128), (48, 40 + step * i), 20) for i in range(frames)]


def test_stability_follows_the_motion_and_counts_blinks():
    pictures, masks = moving_picture()
    flows = [flow_back(a, b) for a, b in pairwise(pictures)]
    inner = flows[0][30:66, 30:90]
    assert (
        np.abs(inner - [-3, 0]).mean() < 0.3
    )  # the later frame's pixels came from three to the left
    still = clip_stability(masks, flows)
    assert still["warped_iou"] > 0.95 and still["flicker"] == 0
    blinking = [np.zeros_like(m) if i == 3 else m for i, m in enumerate(masks)]
    worse = clip_stability(blinking, flows)
    assert worse["warped_iou"] < 0.7 and worse["flicker"] == 25
    assert not brought(masks[0], np.full((96, 128, 2), 1000, np.float32))[40:56, 30:50].all()
