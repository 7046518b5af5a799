"""Masks of an evaluation split on disk, the rows a reader judges them by, and how fast it goes."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from pdnet.config import EvaluateConfig
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip
from pdnet.data.sampling import frame_tensor
from pdnet.files import write_image
from pdnet.metrics.evaluator import read_prediction, scored_frames
from pdnet.metrics.region_contour import ClipScore, frame_scores
from pdnet.model import PDNet
from pdnet.model.blocks import resize
from pdnet.parallel import each, progress
from pdnet.segment import ClipSegmenter, clip_segmenter

MEAN_MASK_GRID = (120, 160)  # height, width on which training masks are averaged
WARM_UP = 3


def predict_clips(network: PDNet, clips: Sequence[Clip], out: Path, config: EvaluateConfig, seed: int = 0) -> None:
    """Writes `<clip>/<frame>.png`, 0/255 at the frame's size; threshold on the native-size probability."""
    for clip in progress(clips, "predict", unit="clip"):
        segmenter = clip_segmenter(network, clip, config.reference, config.reference_k, seed)
        for stem, result in zip(clip.frames, segmenter, strict=True):
            mask = np.where(result.probability > config.threshold, 255, 0).astype(np.uint8)
            write_image(out / clip.name / f"{stem}.png", mask)


def reader_rows(
    clips: Sequence[Clip], training: Sequence[Clip], predictions: Path, include_first_last: bool
) -> dict[str, dict[str, ClipScore]]:
    """Three rows without a network, to judge it by.

    Returns:
        `all background`; `mean training mask` (mean over the training split, cut at one half); `first prediction
        held still` (the network's mask of the first frame for all frames); each clip -> scores.
    """
    mean = mean_mask(training)
    rows: dict[str, Callable[[Clip, tuple[int, int]], np.ndarray]] = {
        "all background": lambda clip, size: np.zeros(size, bool),
        "mean training mask": lambda clip, size: cv2.resize(mean, size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5,
        "first prediction held still": lambda clip, size: read_prediction(
            predictions / clip.name / f"{clip.frames[0]}.png", size, None
        ),
    }
    return {
        name: {clip.name: _score_still(clip, still, include_first_last) for clip in clips}
        for name, still in rows.items()
    }


def _score_still(clip: Clip, still: Callable[[Clip, tuple[int, int]], np.ndarray], include: bool) -> ClipScore:
    frames = scored_frames(clip, include)
    truths = [read_mask(clip.mask(stem)) for stem in frames]
    mask = still(clip, truths[0].shape)
    j, f = np.array([frame_scores(truth, mask) for truth in truths]).T
    return ClipScore(frames, j, f)


def mean_mask(clips: Sequence[Clip]) -> np.ndarray:
    """Mean over clips of the mean mask, on `MEAN_MASK_GRID`, in 0..1."""
    return np.mean(each(_clip_mean, list(clips), "mean mask", unit="clip"), axis=0).astype(np.float32)


def _clip_mean(clip: Clip) -> np.ndarray:
    masks = (read_mask(clip.mask(stem)).astype(np.float32) for stem in clip.frames)
    return np.mean([cv2.resize(m, MEAN_MASK_GRID[::-1], interpolation=cv2.INTER_AREA) for m in masks], axis=0)


@torch.inference_mode()
def measure_speed(network: PDNet, clip: Clip, frames: int) -> dict[str, float | str | int]:
    """Frames per second, batch 1, reference cached, after a warm-up of three frames; medians over `frames` frames.

    Model only: normalised input tensor -> logits at the frame's size. End to end: JPEG on disk -> 0/255 mask in memory.
    """
    device = next(network.parameters()).device
    stems = [clip.frames[i % len(clip.frames)] for i in range(frames + WARM_UP)]
    first = read_frame(clip.frame(clip.frames[0]))
    image = frame_tensor(first, network.config.input_size)[None].to(device)
    memory = network.encode_reference(network.encoder.normalise(image))

    def model_only(_: str) -> None:
        resize(network.segment(network.encoder.normalise(image), memory).logits, first.shape[:2])

    segmenter = ClipSegmenter(network, lambda i: first, 1)

    def end_to_end(stem: str) -> None:
        _ = segmenter.segment(0, read_frame(clip.frame(stem))).probability > 0.5

    return {
        "fps_model": 1 / _median_seconds(model_only, stems, device),
        "fps_end_to_end": 1 / _median_seconds(end_to_end, stems, device),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "frame": f"{first.shape[1]}x{first.shape[0]}",
        "input": f"{network.config.input_size[1]}x{network.config.input_size[0]}",
    }


def _median_seconds(work: Callable[[str], None], stems: Sequence[str], device: torch.device) -> float:
    seconds = []
    for stem in stems:
        began = time.perf_counter()
        work(stem)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[WARM_UP:]))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}"
