"""Boundary and dilation of masks as long integers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pdnet.metrics.bits import Grid, boundary, dilate, pack


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 8, 13])
def test_dilation_is_the_disk(radius):
    rng = np.random.default_rng(radius)
    points = rng.random((40, 57)) < 0.01
    grid = Grid(40, 57, gap=radius)
    v, u = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    expected = cv2.dilate(
        points.astype(np.uint8), (u * u + v * v <= radius * radius).astype(np.uint8)
    )
    everywhere = pack(np.ones((40, 57), bool), grid)
    assert dilate(pack(points, grid), radius, grid) & everywhere == pack(expected > 0, grid)


def test_boundary_of_a_square():
    mask = np.zeros((6, 7), bool)
    mask[2:4, 2:5] = True
    expected = np.zeros((6, 7), bool)
    expected[1, 1:5] = expected[3, 1:5] = True  # one pixel up and left of the square, and inside it
    expected[2, [1, 4]] = True
    grid = Grid(6, 7, gap=1)
    assert boundary(pack(mask, grid), grid) == pack(expected, grid)
