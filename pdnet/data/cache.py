"""Pictures and masks read from disk, the decoded ones kept as far as memory is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pdnet.data.augment import Picture
from pdnet.data.images import read_frame, read_mask
from pdnet.errors import InputError


class PictureReader:
    """Reads pictures with their masks. What is kept is what was decoded, so that the cache's size
    changes no number.

    Args:
        gib: of memory for kept pictures in this process; what comes when it is full is read each
            time.
    """

    def __init__(self, gib: float = 0.0) -> None:
        self._free = int(gib * 2**30)
        self._kept: dict[Path, tuple[np.ndarray, np.ndarray]] = {}

    def read(self, image: Path, mask: Path) -> Picture:
        """A picture and its mask.

        Raises:
            InputError: damaged, or of two sizes: they would be stretched over each other.
        """
        pixels, truth = self._kept.get(image) or self._decoded(image, mask)
        return Picture(pixels, truth.astype(np.float32))

    def _decoded(self, image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
        pixels, truth = read_frame(image), read_mask(mask)
        (h, w), (height, width) = truth.shape, pixels.shape[:2]
        if (h, w) != (height, width):
            raise InputError(
                f"{mask}: mask is {w}x{h}, its frame {width}x{height}; export it again"
            )
        size = pixels.nbytes + truth.nbytes
        if size <= self._free:
            self._free -= size
            self._kept[image] = (pixels, truth)
        return pixels, truth
