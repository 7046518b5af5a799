"""J (region similarity) and F (contour accuracy) of a frame, and what a clip's values amount to.

The protocol is that of DAVIS as the MVPS evaluator applies it: the first and last annotated frame
of a clip are left out, per-clip mean, recall and decay, then the mean over clips. Two things differ
from the official code: the bin edges of the decay are not cast to 8 bits (wrong for clips of more
than 256 scored frames), and masks that are not binary are refused elsewhere instead of being cast.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, hypot

import cv2
import numpy as np

from pdnet.metrics.bits import Grid, boundary, dilate, pack

TOLERANCE = 0.008  # of the image diagonal (DAVIS)
RECALL_AT = 0.5
DECAY_BINS = 4
COLUMNS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")


@dataclass(frozen=True)
class ClipScore:
    """The values of one clip.

    Attributes:
        frames: stems that were scored.
        j, f: per-frame values in 0..1.
    """

    frames: tuple[str, ...]
    j: np.ndarray
    f: np.ndarray

    def row(self) -> dict[str, float]:
        """`COLUMNS` -> value; shares, not per cent."""
        values = {}
        for name, series in (("J", self.j), ("F", self.f)):
            mean, recall, decay = statistics(series)
            values.update({f"{name}-Mean": mean, f"{name}-Recall": recall, f"{name}-Decay": decay})
        values["J&F-Mean"] = (values["J-Mean"] + values["F-Mean"]) / 2
        return {name: values[name] for name in COLUMNS}


def tolerance(height: int, width: int) -> int:
    """Boundary tolerance in pixels: 0.008 of the diagonal, rounded up (8 at 854x480)."""
    return ceil(TOLERANCE * hypot(height, width))


def region_similarity(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool masks; 1 where both are empty."""
    union = np.count_nonzero(prediction | truth)
    return np.count_nonzero(prediction & truth) / union if union else 1.0


def frame_scores(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """J and F of one frame.

    Args:
        prediction, truth: (H, W) bool of one size.

    Returns:
        J = intersection over union (1 where both are empty), and F = harmonic mean of boundary
        precision and recall within `tolerance`.
    """
    radius = tolerance(*truth.shape)
    window = _window(prediction | truth)
    if window is None:
        return 1.0, 1.0
    prediction, truth = prediction[window], truth[window]
    grid = Grid(*truth.shape, gap=radius)
    a, b = pack(prediction, grid), pack(truth, grid)
    union = (a | b).bit_count()
    j = (a & b).bit_count() / union if union else 1.0
    return j, _contour(boundary(a, grid), boundary(b, grid), radius, grid)


def _window(union: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns that hold all foreground and its boundary: a rim of one pixel, inside the
    frame; None if empty.
    """
    left, top, width, height = cv2.boundingRect(union.view(np.uint8))
    if width == 0:
        return None
    return slice(max(0, top - 1), top + height + 1), slice(max(0, left - 1), left + width + 1)


def _contour(prediction: int, truth: int, radius: int, grid: Grid) -> float:
    in_truth, in_prediction = truth.bit_count(), prediction.bit_count()
    if not in_truth and not in_prediction:
        return 1.0  # the whole frame is foreground in both
    if not in_truth or not in_prediction:
        return 0.0  # precision 1 and recall 0, or the other way round
    precision = (prediction & dilate(truth, radius, grid)).bit_count() / in_prediction
    recall = (truth & dilate(prediction, radius, grid)).bit_count() / in_truth
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def statistics(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, recall (share above 0.5) and decay (mean of the first quarter minus mean of the last)
    of a clip.

    The quarters share their edges, as in the DAVIS toolkit: edges are round(linspace(1, n, 5)) - 1,
    both included.
    """
    edges = (np.round(np.linspace(1, len(values), DECAY_BINS + 1) + 1e-10) - 1).astype(int)
    first, last = values[edges[0] : edges[1] + 1], values[edges[-2] : edges[-1] + 1]
    return (
        float(values.mean()),
        float((values > RECALL_AT).mean()),
        float(first.mean() - last.mean()),
    )
