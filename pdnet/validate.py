"""J and F of a network on clips, without writing a mask: for validation on held-back training clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdnet.data.images import read_mask
from pdnet.data.layout import Clip
from pdnet.metrics.region_contour import ClipScore, frame_scores
from pdnet.model import PDNet
from pdnet.segment import clip_segmenter


def scored_indices(clip: Clip, count: int | None) -> np.ndarray:
    """Frames of a clip to score: all but the first and last, or at most `count` of them, evenly spread."""
    inner = np.arange(1, len(clip.frames) - 1) if len(clip.frames) > 2 else np.arange(len(clip.frames))
    if count is None or len(inner) <= count:
        return inner
    return inner[np.linspace(0, len(inner) - 1, count).round().astype(int)]


def score_clip(network: PDNet, clip: Clip, threshold: float, frames: int | None) -> ClipScore:
    """J and F of a clip's frames, the first frame being the reference.

    Args:
        network: in evaluation mode.
        clip: with masks.
        threshold: on the probability.
        frames: see `scored_indices`.
    """
    segmenter, inner = clip_segmenter(network, clip), scored_indices(clip, frames)
    values = []
    for index in inner:
        probability = segmenter.segment(int(index)).probability
        values.append(frame_scores(read_mask(clip.mask(clip.frames[index])), probability > threshold))
    j, f = np.array(values).T
    return ClipScore(tuple(clip.frames[i] for i in inner), j, f)


def validate(network: PDNet, clips: Sequence[Clip], threshold: float, frames: int | None) -> dict[str, float]:
    """Mean over clips of J, F and J&F, in shares."""
    was_training = network.training
    network.eval()
    rows = [score_clip(network, clip, threshold, frames).row() for clip in clips]
    network.train(was_training)
    return {name: float(np.mean([row[name] for row in rows])) for name in ("J&F-Mean", "J-Mean", "F-Mean")}
