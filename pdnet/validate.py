"""J and F of a network on clips, without writing a mask: for validation on held-back training clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip
from pdnet.metrics.region_contour import ClipScore, frame_scores
from pdnet.model import PDNet
from pdnet.segment import ClipSegmenter


def score_clip(network: PDNet, clip: Clip, threshold: float = 0.5, frames: int | None = None) -> ClipScore:
    """Scores a clip with its first frame as reference.

    Args:
        network: in evaluation mode.
        clip: with masks.
        threshold: on the probability.
        frames: at most so many, evenly spread; first and last of the clip are never scored.
    """
    inner = np.arange(1, len(clip.frames) - 1) if len(clip.frames) > 2 else np.arange(len(clip.frames))
    if frames is not None and len(inner) > frames:
        inner = inner[np.linspace(0, len(inner) - 1, frames).round().astype(int)]
    segmenter = ClipSegmenter(network, lambda i: read_frame(clip.frame(clip.frames[i])), len(clip.frames))
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
