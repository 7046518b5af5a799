"""Pictures in a grid."""

from __future__ import annotations

import numpy as np

from pdnet.data.overlays import sheet


def test_a_sheet_scales_each_picture_to_its_rows_first_and_pads_shorter_rows_with_black():
    wide, tall = np.full((20, 40, 3), 255, np.uint8), np.full((40, 20, 3), 128, np.uint8)
    grid = sheet([[wide, wide], [tall]], height=10)
    # 40x20 at height 10 is 20 wide, two of them 40; 20x40 is 5 wide
    assert grid.shape == (20, 40, 3) and grid.dtype == np.uint8
    assert (grid[:10] == 255).all() and (grid[10:, :5] == 128).all() and not grid[10:, 5:].any()
