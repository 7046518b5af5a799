"""Temporal stability: does a mask follow the picture's motion, or does it flicker?

The motion is dense optical flow between annotated frames (OpenCV's DIS, medium preset, at half
size). Neither figure needs the truth; the truth's own figures are the ceiling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip
from pdnet.metrics.evaluator import read_prediction
from pdnet.metrics.region_contour import region_similarity

FLOW_SCALE = 0.5
BLINK_SHARE = 0.1  # of the mask: less is noise of the flow


def flow_back(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Flow from the later frame to the earlier one.

    Args:
        earlier, later: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 2) float32, pixels (x, y): where in the earlier frame each pixel of the later one
        came from.
    """
    size = earlier.shape[:2]
    # half the size: a quarter of the time, and flow that ignores sensor noise
    grey = [
        cv2.cvtColor(
            cv2.resize(f, None, fx=FLOW_SCALE, fy=FLOW_SCALE, interpolation=cv2.INTER_AREA),
            cv2.COLOR_RGB2GRAY,
        )
        for f in (later, earlier)
    ]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return cv2.resize(flow, size[::-1], interpolation=cv2.INTER_LINEAR) / FLOW_SCALE


def brought(mask: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(H, W) bool mask of the earlier frame, brought to the later one by `flow_back`'s flow."""
    return cv2.remap(mask.astype(np.uint8), flow + _grid(mask.shape), None, cv2.INTER_NEAREST) > 0


@lru_cache(maxsize=4)
def _grid(size: tuple[int, int]) -> np.ndarray:
    """(H, W, 2) float32: (x, y) of every pixel."""
    v, u = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return np.stack([u, v], -1)


def warped_iou(masks: Sequence[np.ndarray], flows: Sequence[np.ndarray]) -> np.ndarray:
    """IoU of each mask with its predecessor brought forward by the flow; (n - 1,); 1 where both are
    empty.
    """
    steps = zip(masks[:-1], masks[1:], flows, strict=True)
    return np.array(
        [region_similarity(brought(earlier, flow), later) for earlier, later, flow in steps]
    )


def flicker(masks: Sequence[np.ndarray], flows: Sequence[np.ndarray]) -> float:
    """Frames per 100 in which more than a tenth of the mask blinks.

    A pixel blinks when it differs from the frame before (brought here by the flow) and the frame
    after brings it back: it appears or vanishes for one frame.
    """
    if len(masks) < 3:
        return 0.0
    blinks = 0
    for i in range(1, len(masks) - 1):
        before = brought(masks[i - 1], flows[i - 1])
        # the frame after, seen from here: this frame's labels brought forward must differ from it
        # where it blinks
        gone = brought(before != masks[i], flows[i]) & (brought(before, flows[i]) == masks[i + 1])
        # a tenth of the mask: thinner flicker is the flow's own noise at outlines
        blinks += np.count_nonzero(gone) > BLINK_SHARE * max(1, np.count_nonzero(masks[i]))
    return 100 * blinks / (len(masks) - 2)


def clip_stability(masks: Sequence[np.ndarray], flows: Sequence[np.ndarray]) -> dict[str, float]:
    """warped_iou (mean, 0..1) and flicker (per 100 frames) of a clip."""
    values = warped_iou(masks, flows)
    return {
        "warped_iou": float(values.mean()) if len(values) else 1.0,
        "flicker": flicker(masks, flows),
    }


def clip_flows(clip: Clip) -> list[np.ndarray]:
    """Flow from each annotated frame back to the one before; float16: good to a hundredth of a
    pixel, half the memory.
    """
    flows, before = [], read_frame(clip.frame(clip.frames[0]))
    for stem in clip.frames[1:]:
        frame = read_frame(clip.frame(stem))
        flows.append(flow_back(before, frame).astype(np.float16))
        before = frame
    return flows


def mean_stability(
    clips: Sequence[Clip], flows: Mapping[str, Sequence[np.ndarray]], folder: Path | None
) -> dict[str, float]:
    """Warped IoU (0..1) and flicker (per 100 frames), mean over clips.

    Args:
        clips: to go through.
        flows: clip -> `clip_flows`.
        folder: of binary masks `<clip>/<frame>.png`; None takes the truth.
    """
    values = []
    for clip in clips:
        masks = [read_mask(clip.mask(stem)) for stem in clip.frames]
        if folder is not None:
            masks = [
                read_prediction(folder / clip.name / f"{stem}.png", truth.shape, None)
                for stem, truth in zip(clip.frames, masks, strict=True)
            ]
        values.append(clip_stability(masks, [flow.astype(np.float32) for flow in flows[clip.name]]))
    return {
        name: float(np.mean([value[name] for value in values]))
        for name in ("warped_iou", "flicker")
    }
