"""The rows a reader judges a network by: what needs no network, or only its first mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from pdnet.base.parallel import each
from pdnet.data.images import read_mask
from pdnet.data.layout import Clip
from pdnet.metrics.evaluator import read_prediction
from pdnet.metrics.region_contour import ClipScore, frame_scores

MEAN_MASK_GRID = (120, 160)  # height, width on which training masks are averaged
HELD_STILL = "first prediction held still"

Still = Callable[[Clip, tuple[int, int]], np.ndarray]  # a clip and (H, W) -> (H, W) bool


def trivial_rows(
    clips: Sequence[Clip], *, training: Sequence[Clip], predictions: Path, include_first_last: bool
) -> dict[str, dict[str, ClipScore]]:
    """Three rows that no network is needed for.

    Args:
        clips: to score.
        training: whose masks are averaged.
        predictions: `<clip>/<frame>.png` of a network.
        include_first_last: score those frames too.

    Returns:
        `all background`; `mean training mask` (mean over the training split, cut at one half);
        `first prediction held still` (the network's mask of the first frame for all frames); each
        clip -> scores.
    """
    mean = mean_mask(training)

    def nothing(_: Clip, size: tuple[int, int]) -> np.ndarray:
        return np.zeros(size, bool)

    def average(_: Clip, size: tuple[int, int]) -> np.ndarray:
        return cv2.resize(mean, size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5

    def held(clip: Clip, size: tuple[int, int]) -> np.ndarray:
        return read_prediction(predictions / clip.name / f"{clip.frames[0]}.png", size, None)

    stills = {"all background": nothing, "mean training mask": average, HELD_STILL: held}
    return {name: _score_still(clips, still, include_first_last) for name, still in stills.items()}


def _score_still(clips: Sequence[Clip], still: Still, include: bool) -> dict[str, ClipScore]:
    """Scores of one mask for all frames of each clip."""
    scores = {}
    for clip in clips:
        frames = clip.scored_frames(include)
        truths = [read_mask(clip.mask(stem)) for stem in frames]
        # one mask for the whole clip: that is what makes the row trivial
        mask = still(clip, truths[0].shape)
        j, f = np.array([frame_scores(mask, truth) for truth in truths]).T
        scores[clip.name] = ClipScore(frames, j, f)
    return scores


def mean_mask(clips: Sequence[Clip]) -> np.ndarray:
    """Mean over clips of the mean mask, on `MEAN_MASK_GRID`, in 0..1."""
    return np.mean(each(_clip_mean, list(clips), "mean mask", unit="clip"), axis=0).astype(
        np.float32
    )


def _clip_mean(clip: Clip) -> np.ndarray:
    masks = (read_mask(clip.mask(stem)).astype(np.float32) for stem in clip.frames)
    size = MEAN_MASK_GRID[::-1]
    return np.mean([cv2.resize(m, size, interpolation=cv2.INTER_AREA) for m in masks], axis=0)
