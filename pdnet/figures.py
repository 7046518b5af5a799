"""Pictures: overlays of masks and parts, and strips of frames."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.files import write_atomically
from pdnet.model import PDNet
from pdnet.sample.body import PARTS_PER_PERSON
from pdnet.segment import clip_segmenter

if TYPE_CHECKING:
    from IPython.display import Image

matplotlib.rcParams.update({"svg.hashsalt": "pdnet", "figure.dpi": 100, "savefig.bbox": "tight"})
HIT, MISSED, FALSE = (0.0, 0.62, 0.45), (0.90, 0.62, 0.0), (0.80, 0.47, 0.65)  # Okabe-Ito: safe for colour-blind eyes


def save(figure: Figure, folder: Path | str | None, name: str) -> Image:
    """A figure as a picture for the notebook; with a folder also as `name.png` and `name.svg`.

    The same figure gives the same bytes. The picture is the PNG itself: whether Jupyter draws a bare `Figure` depends
    on what was drawn before.
    """
    from IPython.display import Image

    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png")
    if folder is not None:
        figure.savefig(svg, format="svg", metadata={"Date": None})
        for suffix, content in (("png", png), ("svg", svg)):
            path = Path(folder) / f"{name}.{suffix}"
            write_atomically(path, lambda temporary, content=content: temporary.write_bytes(content.getvalue()))
    return Image(png.getvalue(), format="png")


def style() -> None:
    """One look for every figure."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")


def part_palette(parts: int) -> np.ndarray:
    """(p, 3) colours in 0..1."""
    return np.array(sns.color_palette("colorblind" if parts <= 10 else "husl", parts))


def overlay_mask(
    frame: np.ndarray, mask: np.ndarray, colour: Sequence[float] = HIT, strength: float = 0.5
) -> np.ndarray:
    """(H, W, 3) uint8 with a mask tinted and outlined."""
    picture = frame.astype(np.float32) / 255
    picture[mask] = (1 - strength) * picture[mask] + strength * np.array(colour)
    outline = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    picture[outline] = np.array(colour)
    return (picture * 255).astype(np.uint8)


def overlay_errors(frame: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Correct portrait green, missed orange, false pink, on a greyed frame."""
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32) / 255
    for where, colour in ((mask & truth, HIT), (~mask & truth, MISSED), (mask & ~truth, FALSE)):
        grey[where] = 0.4 * grey[where] + 0.6 * np.array(colour)
    return (grey * 255).astype(np.uint8)


def overlay_parts(frame: np.ndarray, part_masks: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Parts in colours on a frame, each pixel mixed by its part distribution, weighted by the portrait probability.

    Args:
        frame: (H, W, 3) uint8 RGB.
        part_masks: (p, h, w) on the part grid.
        probability: (H, W).
    """
    height, width = frame.shape[:2]
    share = part_masks / np.maximum(part_masks.sum(0, keepdims=True), 1e-6)
    share = np.stack([cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) for part in share], -1)
    tint = share @ part_palette(len(part_masks))
    weight = (0.75 * probability)[..., None]
    return np.clip((1 - weight) * frame + weight * tint * 255, 0, 255).astype(np.uint8)


def tile(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], labels: Sequence[str], height: float = 2.1
) -> Figure:
    """A table of pictures with column titles and row labels."""
    columns = len(titles)
    figure = Figure(figsize=(columns * height * 1.6, len(rows) * height + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, (pictures, label) in enumerate(zip(rows, labels, strict=True)):
        for column, picture in enumerate(pictures):
            axis = axes[row, column]
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if row == 0:
                axis.set_title(titles[column])
            if column == 0:
                axis.set_ylabel(label, fontsize=9)
    return figure


def clip_row(network: PDNet, clip: Clip, index: int, threshold: float = 0.5) -> list[np.ndarray]:
    """Frame, truth, prediction's errors, parts of one frame of a clip."""
    frame, truth = read_frame(clip.frame(clip.frames[index])), read_mask(clip.mask(clip.frames[index]))
    result = clip_segmenter(network, clip).segment(index)
    mask = result.probability > threshold
    parts = frame if result.part_masks is None else overlay_parts(frame, result.part_masks, result.probability)
    return [frame, overlay_mask(frame, truth), overlay_errors(frame, mask, truth), parts]


def sample_figure(network: PDNet, clips: Sequence[Clip], threshold: float = 0.5) -> Figure:
    """A row per clip: its middle frame, truth, errors, parts."""
    was_training = network.training
    network.eval()
    rows = [clip_row(network, clip, len(clip.frames) // 2, threshold) for clip in clips]
    network.train(was_training)
    titles = ("frame", "truth", "prediction (green hit, orange missed, pink false)", "parts")
    return tile(rows, titles, [clip.name for clip in clips])


def gallery_figure(root: Path, set_name: str = "val") -> Figure:
    """One clip of every category of a rendered tree: two of its frames, the mask and the true parts."""
    clips = {clip.category: clip for clip in read_tree(root).clips(set_name)}.values()
    rows = []
    for clip in clips:
        first, later = clip.frames[0], clip.frames[len(clip.frames) // 2]
        frame, labels = read_frame(clip.frame(later)), read_labels(root / "Parts" / "480p" / clip.name / f"{later}.png")
        tint = (part_palette(PARTS_PER_PERSON)[(labels.astype(int) - 1) % PARTS_PER_PERSON] * 255).astype(np.uint8)
        parts = np.where(labels[..., None] > 0, tint, frame // 3)
        rows.append([read_frame(clip.frame(first)), frame, overlay_mask(frame, read_mask(clip.mask(later))), parts])
    titles = ("first frame (the reference)", "a later frame", "true mask", "true parts")
    return tile(rows, titles, [clip.name.replace("/", "\n") for clip in clips], height=1.6)
