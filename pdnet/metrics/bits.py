"""Masks as long integers, a bit a pixel: boundary, dilation and counting in a few dozen
word-parallel operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np


@dataclass(frozen=True)
class Grid:
    """How an h x w mask lies in an integer: rows one after another, `gap` empty bits after each.

    The gap is at least the dilation radius, so that nothing wraps into the next row.
    """

    height: int
    width: int
    gap: int

    @property
    def stride(self) -> int:
        """Bits from a row to the next, whole bytes."""
        return -(-(self.width + self.gap) // 8) * 8


def pack(mask: np.ndarray, grid: Grid) -> int:
    """(h, w) bool -> integer; pixel (y, x) is bit y * stride + x."""
    rows = np.zeros((mask.shape[0], grid.stride), np.uint8)
    rows[:, : mask.shape[1]] = mask
    return int.from_bytes(np.packbits(rows, bitorder="little").tobytes(), "little")


def _inner(grid: Grid) -> tuple[int, int]:
    """Bits of the pixels not in the last column, and of those not in the last row."""

    def rows(width: int, count: int) -> int:
        return int.from_bytes(
            ((1 << width) - 1).to_bytes(grid.stride // 8, "little") * count, "little"
        )

    return rows(grid.width - 1, grid.height), rows(grid.width, grid.height - 1)


def boundary(mask: int, grid: Grid) -> int:
    """Pixels that differ from their right, lower or lower right neighbour (the DAVIS boundary map).

    The last column has only a lower neighbour, the last row only a right one.
    """
    not_last_column, not_last_row = _inner(grid)
    right = (mask ^ (mask >> 1)) & not_last_column
    below = (mask ^ (mask >> grid.stride)) & not_last_row
    diagonal = (mask ^ (mask >> (grid.stride + 1))) & not_last_column & not_last_row
    return right | below | diagonal


def dilate(points: int, radius: int, grid: Grid) -> int:
    """Dilation by the disk x^2 + y^2 <= radius^2. Bits in the gaps are left dirty: combine with a
    mask.
    """
    shift = radius * (grid.stride + 1)  # room for what moves up and left
    rows, wide, half = [0] * (radius + 1), points << shift, 0
    grown = wide
    for dy in range(radius, -1, -1):
        reach = isqrt(radius * radius - dy * dy)
        while half < reach:
            half += 1
            grown |= (wide << half) | (wide >> half)
        # the disk's row dy is a run of 2 * reach + 1 bits, and each row holds the next shorter one
        rows[dy] = grown
    result = rows[0]
    for dy in range(1, radius + 1):
        result |= (rows[dy] << (dy * grid.stride)) | (rows[dy] >> (dy * grid.stride))
    return result >> shift
