"""Everything that is measured of a network on a clip: J, F, temporal stability, agreement of its
parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pdnet.config import EvaluateConfig
from pdnet.data.images import read_labels, read_mask
from pdnet.data.layout import Clip
from pdnet.data.skeleton import body_parts
from pdnet.experiments.alive import Found
from pdnet.inference.people import masks
from pdnet.inference.segment import ClipSegmenter, Seen
from pdnet.metrics.calibration import probability_counts
from pdnet.metrics.parts import agreement, identity, part_labels
from pdnet.metrics.region_contour import ClipScore, frame_scores
from pdnet.metrics.stability import clip_stability

COARSE = 4  # every fourth row and column is enough for shares of many thousand pixels


@dataclass(frozen=True)
class ClipMeasures:
    """What was measured of one clip; shares, not per cent (flicker: per 100 frames).

    Attributes:
        score: J and F of its scored frames.
        stability: warped_iou and flicker over all its annotated frames.
        parts: agreement with the true parts; empty where none are known or the network has none.
        alive: what was found of people and taken of figures (`alive.Found`); empty in clips without
            figures.
        probabilities: (frames, 2, BINS) counts of its scored frames, see `metrics.calibration`.
    """

    score: ClipScore
    stability: dict[str, float]
    parts: dict[str, float]
    alive: dict[str, float]
    probabilities: np.ndarray

    def row(self, clip: str) -> dict[str, Any]:
        """clip, J, F, J&F, warped_iou, flicker."""
        j, f = float(self.score.j.mean()), float(self.score.f.mean())
        return {"clip": clip, "J": j, "F": f, "J&F": (j + f) / 2, **self.stability}


def measure_clip(
    segmenter: ClipSegmenter, clip: Clip, flows: list[np.ndarray], options: EvaluateConfig
) -> ClipMeasures:
    """Segments every annotated frame of a clip and measures the masks and parts.

    Args:
        segmenter: where the references come from: this clip, or an unrelated one.
        clip: to segment.
        flows: the clip's `clip_flows`, which are the same for every network.
        options: threshold, whose masks, and which frames are scored.
    """
    found, values, counts, parts, alive = [], {}, {}, PartPixels(), Found(clip)
    how = {"threshold": options.threshold, "people": options.people}
    for seen, mask in masks(segmenter, clip, **how):
        found.append(mask)
        truth = read_mask(clip.mask(seen.stem))
        values[seen.stem] = frame_scores(mask, truth)
        counts[seen.stem] = probability_counts(seen.found.probability, truth)
        parts.add(clip, seen)
        alive.add(seen, mask)
    frames = clip.scored_frames(options.include_first_last)
    j, f = np.array([values[stem] for stem in frames]).T
    wide = [flow.astype(np.float32) for flow in flows]
    stability = clip_stability(found, wide)
    return ClipMeasures(
        ClipScore(frames, j, f),
        stability,
        parts.measures(),
        alive.measures(),
        np.stack([counts[stem] for stem in frames]),
    )


class PartPixels:
    """Found and true part of the people's pixels of a clip, frame after frame.

    Attributes:
        found, truth, frame: an array a frame: (n,) found part, true body part, the frame's number.
    """

    def __init__(self) -> None:
        self.found: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []
        self.frame: list[np.ndarray] = []

    def add(self, clip: Clip, seen: Seen) -> None:
        """Takes a frame's pixels, if its true parts are known and the network has several."""
        masks, file = seen.found.part_masks, clip.parts(seen.stem)
        if masks is None or len(masks) < 2 or not file.is_file():
            return
        body = body_parts(read_labels(file)[::COARSE, ::COARSE])
        inside = body >= 0
        self.found.append(part_labels(masks, body.shape)[inside])
        self.truth.append(body[inside])
        self.frame.append(np.full(inside.sum(), seen.index))

    def measures(self) -> dict[str, float]:
        """See `metrics.parts`."""
        if not self.found:
            return {}
        found, truth, frame = (np.concatenate(x) for x in (self.found, self.truth, self.frame))
        return {**agreement(found, truth), **identity(found, truth, frame)}
