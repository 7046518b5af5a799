"""GLCM entropy against scikit-image and known values."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from pdnet.metrics.texture import cooccurrence, glcm_entropy


@pytest.mark.parametrize("size", [(48, 64), (2, 2), (31, 17)])
def test_cooccurrence_equals_scikit_image(size):
    grey = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    theirs = graycomatrix(grey, [1], angles, 256, symmetric=True)[:, :, 0]
    assert np.array_equal(cooccurrence(grey), np.moveaxis(theirs, 2, 0))
    normed = graycomatrix(grey, [1], angles, 256, symmetric=True, normed=True)
    assert glcm_entropy(grey) == pytest.approx(
        graycoprops(normed, "entropy").mean() / np.log(2), rel=1e-12
    )


def test_entropy_of_flat_and_of_noise():
    assert glcm_entropy(np.full((40, 40), 7, np.uint8)) == 0
    noise = np.random.default_rng(0).integers(0, 256, (600, 800), dtype=np.uint8)
    assert 15 < glcm_entropy(noise) <= 16


def test_entropy_of_a_large_flat_area_with_an_object():
    grey = np.full((480, 854), 7, np.uint8)
    grey[100:200, 300:500] = 250
    normed = graycomatrix(
        grey, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], 256, symmetric=True, normed=True
    )
    assert glcm_entropy(grey) == pytest.approx(
        graycoprops(normed, "entropy").mean() / np.log(2), rel=1e-12
    )
