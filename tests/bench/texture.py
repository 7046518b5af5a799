"""GLCM entropy of 854x480 frames against a plain scikit-image loop: equal counts, and how much
faster.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from skimage.feature import graycomatrix, graycoprops

from pdnet.base.parallel import cores
from pdnet.metrics.texture import cooccurrence, glcm_entropy

FRAMES, ROUNDS = 32, 7
ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def plain_entropy(grey: np.ndarray) -> float:
    """Entropy in bits, mean over four directions, by scikit-image."""
    matrix = graycomatrix(grey, [1], ANGLES, 256, symmetric=True, normed=True)
    return float(graycoprops(matrix, "entropy").mean() / np.log(2))


def run(_: list[str]) -> None:
    """Prints medians and the ratio."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(FRAMES):
        coarse = rng.integers(0, 256, (30, 54), dtype=np.uint8)
        smooth = cv2.resize(coarse, (854, 480), interpolation=cv2.INTER_CUBIC).astype(float)
        frames.append(np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8))
    for grey in frames:
        theirs = graycomatrix(grey, [1], ANGLES, 256, symmetric=True)[:, :, 0]
        assert np.array_equal(cooccurrence(grey), np.moveaxis(theirs, 2, 0)), "the counts differ"
        assert abs(glcm_entropy(grey) - plain_entropy(grey)) < 1e-11, "the entropies differ"
    seconds: dict[str, list[float]] = {"scikit-image": [], "ours": [], "all cores": []}
    for _ in range(ROUNDS):
        for name, way, workers in (
            ("scikit-image", plain_entropy, 1),
            ("ours", glcm_entropy, 1),
            ("all cores", glcm_entropy, cores()),
        ):
            with ThreadPoolExecutor(workers) as pool:
                began = time.perf_counter()
                list(pool.map(way, frames))
                seconds[name].append((time.perf_counter() - began) / FRAMES)
    plain, ours, all_cores = (1000 * float(np.median(values)) for values in seconds.values())
    print(
        f"scikit-image {plain:.1f} ms a frame, ours {ours:.2f} ms: {plain / ours:.1f} x on one "
        "core, equal counts"
    )
    print(
        f"as the notebook does it, on {cores()} cores: {all_cores:.2f} ms, "
        f"{plain / all_cores:.1f} x"
    )
