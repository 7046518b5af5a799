"""Who is taken for alive: casts of the study with what its rows see in them, and how the parts of a
network that knows it moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdnet.base.files import write_atomically
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import Clip
from pdnet.data.overlays import FALSE, HIT, overlay_errors, overlay_mask
from pdnet.data.true_motion import read_truth
from pdnet.experiments.part_motion import MOVING
from pdnet.inference.segment import Segmentation, clip_segmenter, walk
from pdnet.model.checkpoint import load_network
from pdnet.report.figures import style, tile

SHOWN_ABOVE = 0.5  # probability
DARK = 0.5  # of a frame's brightness below arrows
EXAMPLES = "examples.webp"
ALT = (
    "casts, a row each: the first frame, who is alive in a later one, what rows of the study take "
    "for people, and arrows of how parts and true joints moved"
)


def examples(checkpoints: Mapping[str, Path], clips: Sequence[Clip]) -> Figure:
    """Casts, a row each: their first frame; a later one with people green and figures pink; of each
    network what it hits (green), misses (orange) and takes wrongly (pink); and, if one knows how
    its parts moved, the steps of the last that does (yellow) beside those of true joints (white).

    Args:
        checkpoints: row of the study -> of one seed.
        clips: with figures; the last scored frame is shown.
    """
    style()
    networks = {name: load_network(path) for name, path in checkpoints.items()}
    rows, arrows = [], []
    for clip in clips:
        stem = clip.scored_frames()[-1]
        frame, truth = read_frame(clip.frame(stem)), read_mask(clip.mask(stem)) > 0
        alive = overlay_mask(frame, read_labels(clip.figures(stem)) > 0, colour=FALSE)
        pictures = [read_frame(clip.frame(clip.frames[0])), overlay_mask(alive, truth, colour=HIT)]
        moved = None
        for network in networks.values():
            (seen,) = walk(clip_segmenter(network, clip), clip, [stem])
            found = seen.found.probability > SHOWN_ABOVE
            pictures.append(overlay_errors(frame, found, truth))
            moved = seen.found if seen.found.part_steps is not None else moved
        nothing = np.zeros_like(truth)
        dark = (DARK * overlay_errors(frame, nothing, nothing)).astype(np.uint8)
        rows.append([*pictures, dark] if moved else pictures)
        arrows.append(moved)
    titles = ["first frame", "who is alive", *networks]
    titles += ["steps of its parts"] if arrows[0] else []
    figure = tile(rows, titles, [clip.name for clip in clips], height=2.1)
    axes = np.array(figure.axes).reshape(len(clips), -1)
    for axis, clip, moved in zip(axes[:, -1], clips, arrows, strict=True):
        if moved:
            _steps(axis, moved)
            _true_steps(axis, clip)
    return figure


def write_examples(figure: Figure, path: Path) -> None:
    """Writes the figure as WebP: as PNG its frames take eight times the room in git."""
    how = {"format": "webp", "dpi": 80, "pil_kwargs": {"quality": 85}}
    write_atomically(path, lambda temporary: figure.savefig(temporary, **how))


def _true_steps(axis: Axes, clip: Clip) -> None:
    """An arrow for each true joint that moved: from where it would be, had it stayed."""
    stem, truth = clip.scored_frames()[-1], read_truth(clip)
    ends = truth.joints[truth.stems.index(stem)][truth.alive].reshape(-1, 2)
    steps = truth.steps(stem)[truth.alive].reshape(-1, 2)
    far = np.linalg.norm(steps, axis=1) >= MOVING
    scale = axis.images[0].get_array().shape[0] / truth.size[0]
    _arrows(axis, scale * ends[far], scale * steps[far], color="white", width=0.008)


def _steps(axis: Axes, found: Segmentation) -> None:
    """An arrow for each cell that belongs to a person and moved with its part."""
    height, width = axis.images[0].get_array().shape[:2]
    h, w = found.part_masks.shape[-2:]
    rows, columns = np.mgrid[:h, :w].reshape(2, -1)
    part = found.part_masks.argmax(0).ravel()
    steps = found.part_steps[part, rows, columns] * (width, height)
    ends = np.stack([(columns + 0.5) * width / w, (rows + 0.5) * height / h], 1)
    y, x = ends.astype(int).T[::-1]
    # as for true joints: what moved by less than `MOVING` of 240 lines rests
    shown = found.probability[y, x] > SHOWN_ABOVE
    shown &= np.linalg.norm(steps, axis=1) >= MOVING * height / 240
    _arrows(axis, ends[shown], steps[shown], color="#f0e442", width=0.005)


def _arrows(axis: Axes, ends: np.ndarray, steps: np.ndarray, **look: object) -> None:
    how = {"angles": "xy", "scale_units": "xy", "scale": 1, "pivot": "tip"}
    axis.set(autoscale_on=False)  # what points out of the frame does not widen it
    axis.quiver(*ends.T, *steps.T, **how, **look)
