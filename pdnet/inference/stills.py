"""J of a network on single images, each its own reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pdnet.data.images import read_frame, read_mask
from pdnet.inference.people import Cutter
from pdnet.inference.segment import ClipSegmenter
from pdnet.metrics.region_contour import region_similarity
from pdnet.model import PDNet

Pair = tuple[Path, Path]


def image_scores(
    network: PDNet, pairs: Sequence[Pair], threshold: float, *, people: str = "all"
) -> list[float]:
    """J of each image, in shares.

    Args:
        network: in evaluation mode.
        pairs: an image and its mask each.
        threshold: on the probability.
        people: `all`, or the `largest`, which is what `reference` means in a single image.
    """
    scores = []
    for image, mask in pairs:
        frame = read_frame(image)
        segmenter = ClipSegmenter(network, lambda _, only=frame: only, 1)
        found = Cutter(people, threshold=threshold).mask(segmenter.segment(0, frame).probability)
        scores.append(region_similarity(found, read_mask(mask)))
    return scores


def validate_images(
    network: PDNet, pairs: Sequence[Pair], threshold: float, *, people: str = "all"
) -> dict[str, float]:
    """Mean J of single images, in shares: of all, and of each set (`J-images/SET`).

    Args:
        network: in any mode; it is left in that mode.
        pairs: an image and its mask each, in ROOT/SET/{img,mask}.
        threshold: on the probability.
        people: see `image_scores`.
    """
    was_training = network.training
    # batch norms use what training remembered, as at test time
    network.eval()
    scores = image_scores(network, pairs, threshold, people=people)
    network.train(was_training)
    by_set: dict[str, list[float]] = {}
    for (image, _), score in zip(pairs, scores, strict=True):
        by_set.setdefault(image.parent.parent.name, []).append(score)
    means = {f"J-images/{name}": float(np.mean(of_set)) for name, of_set in by_set.items()}
    return {"J-images": float(np.mean(scores)), **means}
