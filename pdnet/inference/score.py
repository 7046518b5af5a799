"""J and F of a network on clips, without writing a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdnet.data.images import read_mask
from pdnet.data.layout import Clip
from pdnet.inference.people import masks
from pdnet.inference.segment import ClipSegmenter, clip_segmenter
from pdnet.metrics.region_contour import ClipScore, frame_scores
from pdnet.model import PDNet

MEANS = ("J&F-Mean", "J-Mean", "F-Mean")


def spread(frames: Sequence[str], count: int | None) -> tuple[str, ...]:
    """At most `count` of the frames, evenly spread; None takes all."""
    if count is None or len(frames) <= count:
        return tuple(frames)
    return tuple(frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int))


def score_clip(
    segmenter: ClipSegmenter,
    clip: Clip,
    threshold: float,
    frames: Sequence[str],
    *,
    people: str = "all",
) -> ClipScore:
    """J and F of a clip's frames.

    Args:
        segmenter: of the clip, or of another one whose frames serve as references.
        clip: with masks.
        threshold: on the probability.
        frames: to score, in the clip's order.
        people: whose masks, see `inference.people.Cutter`.
    """
    values = []
    for seen, mask in masks(segmenter, clip, frames, threshold=threshold, people=people):
        values.append(frame_scores(mask, read_mask(clip.mask(seen.stem))))
    j, f = np.array(values).T
    return ClipScore(tuple(frames), j, f)


def validate(
    network: PDNet,
    clips: Sequence[Clip],
    *,
    threshold: float,
    frames: int | None,
    people: str = "all",
) -> dict[str, float]:
    """Mean over clips of J&F, J and F, in shares; the first frame is the reference.

    Args:
        network: in any mode; it is left in that mode.
        clips: with masks.
        threshold: on the probability.
        frames: at most this many of a clip's scored frames; None takes all.
        people: whose masks; `reference` segments the frames between the chosen ones too.
    """
    was_training = network.training
    # batch norms use what training remembered, as at test time
    network.eval()
    rows = []
    for clip in clips:
        chosen = spread(clip.scored_frames(), frames)
        segmenter = clip_segmenter(network, clip)
        rows.append(score_clip(segmenter, clip, threshold, chosen, people=people).row())
    network.train(was_training)
    return {name: float(np.mean([row[name] for row in rows])) for name in MEANS}
