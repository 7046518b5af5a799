"""Masks of clips on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pdnet.base.files import write_image
from pdnet.base.parallel import progress
from pdnet.config import EvaluateConfig
from pdnet.data.layout import Clip
from pdnet.inference.near import clip_segmenter_of
from pdnet.inference.people import masks
from pdnet.model import PDNet


def mask_files(clips: Sequence[Clip]) -> list[str]:
    """What `predict_clips` writes, by path below its folder."""
    files: list[str] = []
    for clip in clips:
        files += [f"{clip.name}/{stem}.png" for stem in clip.frames]
    return files


def predict_clips(
    network: PDNet, clips: Sequence[Clip], out: Path, *, options: EvaluateConfig, seed: int = 0
) -> None:
    """Writes `<clip>/<frame>.png`, 0/255 at the frame's size; threshold on the native-size
    probability, and of its pieces the people that `options.people` means.
    """
    cut = {"threshold": options.threshold, "people": options.people}
    for clip in progress(clips, "predict", unit="clip"):
        segmenter = clip_segmenter_of(network, clip, options, seed=seed)
        for seen, mask in masks(segmenter, clip, **cut):
            grey = np.where(mask, 255, 0).astype(np.uint8)
            write_image(out / clip.name / f"{seen.stem}.png", grey)
