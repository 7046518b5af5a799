"""Figure 8: parts over time, where a part looks in the reference, and how each part moves."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pdnet.data.fit import frame_tensor, input_shape
from pdnet.data.images import read_frame
from pdnet.data.layout import Clip, read_tree
from pdnet.data.overlays import overlay_parts, part_palette
from pdnet.errors import InputError
from pdnet.inference.segment import clip_segmenter
from pdnet.metrics.stability import flow_back
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network
from pdnet.model.ipda import Parts
from pdnet.report.figures import style, tile


def find_clip(data: Path, name: str | None) -> Clip:
    """A clip by its name; without one, the first of the evaluation split.

    Raises:
        InputError: no such clip.
    """
    clips = {clip.name: clip for clip in read_tree(data).every_clip()}
    if name is None:
        return next(iter(clips.values()))
    if name not in clips:
        raise InputError(f"{data}: no clip '{name}'; known: {', '.join(clips)}")
    return clips[name]


def read_network(checkpoint: Path) -> PDNet:
    """A network with parts.

    Raises:
        InputError: the checkpoint has no IPDA.
    """
    network = load_network(checkpoint)
    if not network.has_parts:
        raise InputError(f"{checkpoint}: trained without IPDA, there are no parts to look at")
    return network


def frame_figure(network: PDNet, clip: Clip, index: int) -> Figure:
    """One frame beside its parts; what the slider shows."""
    frame = read_frame(clip.frame(clip.frames[index]))
    result = clip_segmenter(network, clip).segment(index)
    parts = overlay_parts(frame, result.part_masks, result.probability)
    return tile([[frame, parts]], (f"frame {clip.frames[index]}", "parts"), [clip.name], height=3.2)


def over_time_figure(network: PDNet, clips: list[Clip], count: int = 5) -> Figure:
    """Parts of frames spread over each clip: a colour should stay on its region."""
    rows = []
    for clip in clips:
        segmenter, row = clip_segmenter(network, clip), []
        for index in np.linspace(0, len(clip.frames) - 1, count).round().astype(int):
            frame = read_frame(clip.frame(clip.frames[index]))
            result = segmenter.segment(int(index))
            row.append(overlay_parts(frame, result.part_masks, result.probability))
        rows.append(row)
    titles = ["first (reference)", *[""] * (count - 2), "last"]
    return tile(rows, titles, [clip.name.replace("/", "\n") for clip in clips], height=1.6)


@torch.inference_mode()
def _parts(network: PDNet, frame: np.ndarray) -> Parts:
    """A frame's parts, whatever its reference."""
    image = frame_tensor(frame, input_shape(network.config, frame.shape[:2]))[None]
    appearance, _ = network.encoder(network.encoder.normalise(image), False)
    return network.decoupling(appearance)


@torch.inference_mode()
def attention_figure(
    network: PDNet, clip: Clip, index: int, at: tuple[float, float] | None = None
) -> Figure:
    """Where a pixel of the target looks in the reference, part by part.

    Args:
        network: with parts.
        clip: whose first frame is the reference.
        index: of the target frame.
        at: (x, y) in shares of width and height; None takes the surest portrait pixel.
    """
    frames = [read_frame(clip.frame(clip.frames[i])) for i in (index, 0)]
    target, reference = (_parts(network, frame) for frame in frames)
    weights = network.attention.weights(target, network.attention.remember(reference))[
        0, 0
    ]  # (p, n, n)
    h, w = target.logits.shape[-2:]
    if at is None:
        row, column = divmod(int(target.saliency_logits[0, 0].argmax()), w)
    else:
        column, row = min(int(at[0] * w), w - 1), min(int(at[1] * h), h - 1)
    height, width = frames[0].shape[:2]
    own = target.masks[0, :, row, column]
    style()
    p = len(weights)
    figure, axes = plt.subplots(1, p + 1, figsize=(2.6 * (p + 1), 2.4), layout="constrained")
    axes[0].imshow(frames[0])
    axes[0].plot(
        (column + 0.5) * width / w,
        (row + 0.5) * height / h,
        "o",
        ms=10,
        mfc="none",
        mec="red",
        mew=2,
    )
    axes[0].set_title("target, the pixel")
    for k, axis in enumerate(axes[1:]):
        heat = cv2.resize(weights[k, row * w + column].view(h, w).numpy(), (width, height))
        axis.imshow(cv2.cvtColor(frames[1], cv2.COLOR_RGB2GRAY), cmap="gray")
        axis.imshow(heat, cmap="magma", alpha=0.6)
        axis.set_title(f"part {k + 1} (weight {own[k]:.2f})", color=part_palette(p)[k], fontsize=10)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    return figure


def part_motion(network: PDNet, clip: Clip) -> pd.DataFrame:
    """Speed of each part: optical flow averaged over its pixels; rows time (frame number), part,
    speed (% of height).
    """
    segmenter, rows = clip_segmenter(network, clip), []
    before = read_frame(clip.frame(clip.frames[0]))
    for index in range(1, len(clip.frames)):
        frame = read_frame(clip.frame(clip.frames[index]))
        flow = np.hypot(*np.moveaxis(flow_back(before, frame), 2, 0)) * 100 / frame.shape[0]
        masks = segmenter.segment(index).part_masks
        for k, part in enumerate(masks):
            weight = cv2.resize(part, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            speed = float((flow * weight).sum() / max(weight.sum(), 1e-6))
            rows.append({"time": int(clip.frames[index]), "part": k + 1, "speed": speed})
        before = frame
    return pd.DataFrame(rows)


def motion_figure(network: PDNet, clip: Clip) -> Figure:
    """Speed of each part over a clip: motion is imbalanced where the curves part."""
    rows = part_motion(network, clip)
    style()
    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    colours = part_palette(network.config.parts)
    for k, group in rows.groupby("part"):
        axis.plot(
            group.time, group.speed, marker="o", ms=3, color=colours[k - 1], label=f"part {k}"
        )
    axis.set(
        xlabel="frame number",
        ylabel="mean flow since the last\nannotated frame (% of height)",
        title=clip.name,
    )
    axis.legend(ncols=2, fontsize=9)
    return figure
