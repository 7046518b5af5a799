"""J of a network on single images, each its own reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pdnet.data.images import read_frame, read_mask
from pdnet.inference.near import window_around
from pdnet.inference.segment import ClipSegmenter
from pdnet.metrics.region_contour import region_similarity
from pdnet.model import PDNet

Pair = tuple[Path, Path]
SCALES = (1.0, 1.2)  # of the input, at which a picture is looked at with care


def still_mask(network: PDNet, frame: np.ndarray, threshold: float) -> np.ndarray:
    """(H, W) bool mask of everybody in a (H, W, 3) uint8 RGB picture: it is its own reference, and
    nothing in it moves.
    """
    return _probability(network, frame) > threshold


def careful_mask(network: PDNet, frame: np.ndarray, threshold: float) -> np.ndarray:
    """The same from the mean of four looks: in two sizes, as it is and mirrored. Where everybody is
    in a smaller part of the picture, four looks at that part count as much.
    """
    probability = _four_looks(network, frame)
    window = window_around(probability > threshold, square=False)
    if window is not None:
        inside = window.of(probability)
        inside[:] = (inside + _four_looks(network, window.of(frame))) / 2
    return probability > threshold


def _four_looks(network: PDNet, frame: np.ndarray) -> np.ndarray:
    found = []
    for scale in SCALES:
        found.append(_probability(network, frame, scale))
        mirrored = np.ascontiguousarray(frame[:, ::-1])
        found.append(_probability(network, mirrored, scale)[:, ::-1])
    return np.mean(found, axis=0)


def _probability(network: PDNet, frame: np.ndarray, scale: float = 1.0) -> np.ndarray:
    rest = np.zeros((*frame.shape[:2], 2), np.float32)
    how = {"flow": lambda _: rest, "scale": scale}
    return ClipSegmenter(network, lambda _: frame, 1, **how).segment(0, frame).probability


def image_scores(network: PDNet, pairs: Sequence[Pair], threshold: float) -> list[float]:
    """J of each image, in shares; sets of photographs count everybody.

    Args:
        network: in evaluation mode.
        pairs: an image and its mask each.
        threshold: on the probability.
    """
    scores = []
    for image, mask in pairs:
        found = still_mask(network, read_frame(image), threshold)
        scores.append(region_similarity(found, read_mask(mask)))
    return scores


def validate_images(network: PDNet, pairs: Sequence[Pair], threshold: float) -> dict[str, float]:
    """Mean J of single images, in shares: of all, and of each set (`J-images/SET`).

    Args:
        network: in any mode; it is left in that mode.
        pairs: an image and its mask each, in ROOT/SET/{img,mask}.
        threshold: on the probability.
    """
    was_training = network.training
    # batch norms use what training remembered, as at test time
    network.eval()
    scores = image_scores(network, pairs, threshold)
    network.train(was_training)
    by_set: dict[str, list[float]] = {}
    for (image, _), score in zip(pairs, scores, strict=True):
        by_set.setdefault(image.parent.parent.name, []).append(score)
    means = {f"J-images/{name}": float(np.mean(of_set)) for name, of_set in by_set.items()}
    return {"J-images": float(np.mean(scores)), **means}
