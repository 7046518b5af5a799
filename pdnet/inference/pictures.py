"""What a network makes of a frame, as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pdnet.config import EvaluateConfig, checked
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip
from pdnet.data.overlays import overlay_errors, overlay_mask, overlay_parts
from pdnet.inference.near import clip_segmenter_of
from pdnet.inference.people import masks
from pdnet.metrics.evaluator import read_prediction
from pdnet.model import PDNet

COLUMNS = ("frame", "truth", "prediction (green hit, orange missed, pink false)", "parts")


def clip_row(network: PDNet, clip: Clip, index: int, options: EvaluateConfig) -> list[np.ndarray]:
    """Frame, truth, the prediction's errors and the parts of one frame: `COLUMNS`, each (H, W, 3)
    uint8.

    The mask is the one that is scored: with `people: reference` or `look: near` the frames before
    it are segmented too.
    """
    stem = clip.frames[index]
    frame, truth = read_frame(clip.frame(stem)), read_mask(clip.mask(stem))
    segmenter = clip_segmenter_of(network, clip, options)
    how = {"threshold": options.threshold, "people": options.people}
    [(seen, mask)] = masks(segmenter, clip, [stem], **how)
    errors, found, parts = overlay_errors(frame, mask, truth), seen.found, frame
    if found.part_masks is not None:
        parts = overlay_parts(frame, found.part_masks, found.probability)
    return [frame, overlay_mask(frame, truth), errors, parts]


def scored_picture(clip: Clip, stem: str, predictions: Path) -> np.ndarray:
    """A frame's errors, by the mask in a folder of predictions: (H, W, 3) uint8."""
    truth = read_mask(clip.mask(stem))
    mask = read_prediction(predictions / clip.name / f"{stem}.png", truth.shape)
    return overlay_errors(read_frame(clip.frame(stem)), mask, truth)


def middle_rows(network: PDNet, clips: list[Clip], threshold: float) -> list[list[np.ndarray]]:
    """`clip_row` of each clip's middle frame; the network is left in the mode it was in."""
    was_training = network.training
    network.eval()
    options = checked("evaluate", threshold=threshold)
    rows = [clip_row(network, clip, len(clip.frames) // 2, options) for clip in clips]
    network.train(was_training)
    return rows
