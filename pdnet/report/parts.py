"""Figure 8: parts over time, where a part looks in the reference, and how each part moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pdnet.data.fit import frame_tensor, input_shape
from pdnet.data.images import read_frame
from pdnet.data.layout import Clip, read_tree
from pdnet.data.overlays import overlay_mask, overlay_parts, part_palette
from pdnet.data.skeleton import PARTS
from pdnet.errors import InputError
from pdnet.experiments.measure import PartPixels
from pdnet.inference.segment import clip_segmenter, walk
from pdnet.metrics.stability import flow_back
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network
from pdnet.model.ipda import Parts
from pdnet.report.figures import style, tile

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

SHOWN_ABOVE = 0.5  # probability, for the pictures of this page
NO_TRUTH = "These clips have no true parts (only rendered ones do)."
STRONGEST = 0.8  # how much of the reference the brightest attention hides


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


def over_time_figure(network: PDNet, clips: Sequence[Clip], count: int = 5) -> Figure:
    """Segmentation (upper rows) and parts (lower rows) of frames spread over each clip: a colour
    should stay on its region.
    """
    rows, labels = [], []
    for clip in clips:
        segmenter, upper, lower = clip_segmenter(network, clip), [], []
        for index in np.linspace(0, len(clip.frames) - 1, count).round().astype(int):
            frame = read_frame(clip.frame(clip.frames[index]))
            result = segmenter.segment(int(index))
            upper.append(overlay_mask(frame, result.probability > SHOWN_ABOVE))
            lower.append(overlay_parts(frame, result.part_masks, result.probability))
        rows += [upper, lower]
        labels += [clip.name.replace("/", "\n"), ""]
    titles = ["first (reference)", *[""] * (count - 2), "last"]
    return tile(rows, titles, labels, height=1.6)


def part_pixels(network: PDNet, clips: Sequence[Clip]) -> dict[str, PartPixels]:
    """Clip -> found and true part of its people's pixels; clips without true parts are left out."""
    known = {}
    for clip in clips:
        pixels = PartPixels()
        for seen in walk(clip_segmenter(network, clip), clip):
            pixels.add(clip, seen)
        if pixels.found:
            known[clip.name] = pixels
    return known


def legend(network: PDNet, pixels: Mapping[str, PartPixels]) -> pd.DataFrame | str:
    """Of each part: its share of the people's pixels, the true body part that it covers most and
    what share of the part that is; left and right are one. A sentence where there is no truth.
    """
    if not pixels:
        return NO_TRUTH
    found = np.concatenate([np.concatenate(one.found) for one in pixels.values()])
    truth = np.concatenate([np.concatenate(one.truth) for one in pixels.values()])
    names = np.array([name.removeprefix("left ").removeprefix("right ") for name in PARTS])[truth]
    rows = {}
    for part in range(network.config.parts):
        inside = pd.Series(names[found == part]).value_counts(normalize=True)
        first = inside.index[0] if len(inside) else "(nothing)"
        rows[f"part {part + 1}"] = {
            "share of the people": f"{100 * np.mean(found == part):.0f} %",
            "covers most": first,
            "which is of the part": f"{100 * inside.max():.0f} %" if len(inside) else "",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def coloured(table: pd.DataFrame | str) -> Styler | str:
    """A `legend` whose rows bear their part's colour."""
    if isinstance(table, str):
        return table
    colours = dict(zip(table.index, part_palette(len(table)), strict=True))

    def paint(part: str) -> str:
        r, g, b = (round(255 * value) for value in colours[part])
        return f"border-left: 1.5em solid rgb({r}, {g}, {b}); padding-left: 0.5em"

    # a name of its own: else a random one would be in the page
    return table.style.map_index(paint).set_uuid("legend")


def numbers(pixels: Mapping[str, PartPixels]) -> pd.DataFrame | str:
    """How well parts agree with the true ones and keep their place (`metrics.parts`), clip by clip
    and as mean; a sentence where there is no truth.
    """
    if not pixels:
        return NO_TRUTH
    table = pd.DataFrame.from_dict(
        {name: one.measures() for name, one in pixels.items()}, orient="index"
    )
    table.loc["mean over clips"] = table.mean()
    return table.round(2).rename_axis("clip")


@torch.inference_mode()
def _parts(network: PDNet, frame: np.ndarray) -> Parts:
    """A frame's parts, whatever its reference."""
    image = frame_tensor(frame, input_shape(network.config, frame.shape[:2]))[None]
    return network.parts(network.encoder.normalise(image))


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
    own = target.masks[0, :, row, column].numpy()
    style()
    p, colours = len(weights), part_palette(len(weights))
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
    # the part that counts most at this pixel first
    for axis, k in zip(axes[1:], np.argsort(-own, kind="stable"), strict=True):
        heat = cv2.resize(weights[k, row * w + column].view(h, w).numpy(), (width, height))
        # clear where nothing is looked at, so that the reference stays bright
        strength = STRONGEST * heat / max(float(heat.max()), 1e-9)
        axis.imshow(frames[1])
        axis.imshow(heat, cmap="magma", alpha=strength)
        axis.set_title(f"part {k + 1} (weight {own[k]:.2f})", color=colours[k], fontsize=10)
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
