"""Decoded pictures are kept as far as memory is given, and change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.data.cache import PictureReader
from pdnet.errors import InputError
from tests.helpers import save_image


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    image = save_image(tmp_path / "a.png", rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    mask = save_image(tmp_path / "m.png", (rng.random((40, 60)) > 0.5).astype(np.uint8) * 255)
    return image, mask


def test_a_kept_picture_is_read_once_and_is_the_same(pair):
    kept = PictureReader(gib=1.0)
    first = kept.read(*pair)
    for file in pair:
        file.unlink()
    again = kept.read(*pair)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("gib", [0.0, 1e-6])
def test_what_does_not_fit_is_read_each_time(pair, gib):
    reader = PictureReader(gib)
    reader.read(*pair)
    pair[0].unlink()
    with pytest.raises(InputError, match="missing file"):
        reader.read(*pair)


def test_a_mask_of_another_size_is_refused(pair):
    save_image(pair[1], np.zeros((40, 61), np.uint8))
    with pytest.raises(InputError, match="mask is 61x40, its frame 60x40"):
        PictureReader().read(*pair)
