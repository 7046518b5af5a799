"""Figures 2 to 4: what is in a data set, and how complex its scenes are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pdnet.base.parallel import cores, progress
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import SETS, Clip, read_tree
from pdnet.data.overlays import overlay_mask
from pdnet.metrics.texture import glcm_entropy
from pdnet.report.failures import FACTORS, frame_factors
from pdnet.report.figures import style, tile

LENGTH_MARGIN = 5  # frames beside the shortest and the longest clip in the figure of lengths


def clip_list(data: Path) -> pd.DataFrame:
    """A row per clip: split, category, clip, annotated frames."""
    tree, rows = read_tree(data), []
    for split in SETS:
        for clip in tree.sets[split]:
            about = {"split": split, "category": clip.category or "(none)", "clip": clip.name}
            rows.append(about | {"frames": len(clip.frames)})
    return pd.DataFrame(rows)


def category_figure(data: Path) -> Figure:
    """Figure 2: clips and annotated frames of each category."""
    rows = clip_list(data)
    style()
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained", sharey=True)
    for axis, (title, values) in zip(
        axes,
        (
            ("clips", rows.groupby(["category", "split"]).size()),
            ("annotated frames", rows.groupby(["category", "split"]).frames.sum()),
        ),
        strict=True,
    ):
        table = values.rename(title).reset_index()
        sns.barplot(table, y="category", x=title, hue="split", hue_order=SETS, ax=axis)
        axis.set(ylabel="", xlabel=title)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def examples_figure(data: Path, count: int = 7) -> Figure:
    """An example of each category: first and middle frame, and the middle frame's mask."""
    clips: dict[str, Clip] = {}
    for clip in read_tree(data).every_clip():
        clips.setdefault(clip.category or clip.name, clip)
    rows = []
    for clip in list(clips.values())[:count]:
        first, middle = clip.frames[0], clip.frames[len(clip.frames) // 2]
        frame = read_frame(clip.frame(middle))
        rows.append(
            [
                read_frame(clip.frame(first)),
                frame,
                overlay_mask(frame, read_mask(clip.mask(middle))),
            ]
        )
    return tile(rows, ("first frame", "middle frame", "mask"), list(clips)[:count], height=1.7)


def frames_figure(data: Path) -> Figure:
    """Annotated frames per clip."""
    style()
    rows = clip_list(data)
    figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
    sns.histplot(
        rows,
        x="frames",
        hue="split",
        hue_order=SETS,
        multiple="stack",
        discrete=True,
        ax=axis,
    )
    # room beside the bars: clips of one length would fill the picture with one bar
    ends = (rows.frames.min() - LENGTH_MARGIN, rows.frames.max() + LENGTH_MARGIN)
    axis.set(xlabel="annotated frames in a clip", ylabel="clips", xlim=(max(0, ends[0]), ends[1]))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def people_table(data: Path) -> pd.DataFrame:
    """A row an annotated frame of every clip: split, clip, and `failures.FACTORS` (people, their
    share of the frame, motion, hidden body parts).
    """
    tree, rows = read_tree(data), []
    for split in SETS:
        for clip in tree.clips(split):
            before = read_mask(clip.mask(clip.frames[0]))
            for stem in clip.frames:
                truth, labels = read_mask(clip.mask(stem)), clip.parts(stem)
                parts = read_labels(labels) if labels.is_file() else None
                about = {"split": split, "clip": clip.name}
                rows.append(about | frame_factors(truth, before, parts))
                before = truth
    return pd.DataFrame(rows)


def people_figure(rows: pd.DataFrame) -> Figure:
    """How many people, how large, how they move and what of them is hidden, over all annotated
    frames; shares of each split's frames.
    """
    style()
    figure, axes = plt.subplots(2, 2, figsize=(11, 6.4), layout="constrained")
    for axis, (name, meaning) in zip(axes.flat, FACTORS.items(), strict=True):
        how = {"discrete": True, "shrink": 0.8} if name == "people" else {"bins": 15}
        sns.histplot(
            rows,
            x=name,
            hue="split",
            hue_order=SETS,
            stat="proportion",
            common_norm=False,
            multiple="dodge",
            legend=axis is axes[0, 0],
            ax=axis,
            **how,
        )
        axis.set(xlabel=meaning, ylabel="share of the frames", title=name)
        axis.xaxis.label.set_size(9)
        if name == "people":
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def clip_entropy(clip: Clip) -> float:
    """Mean GLCM entropy of a clip's annotated frames, bits."""
    return float(
        np.mean(
            [
                glcm_entropy(cv2.cvtColor(read_frame(clip.frame(s)), cv2.COLOR_RGB2GRAY))
                for s in clip.frames
            ]
        )
    )


def entropies(data: Path, name: str) -> pd.DataFrame:
    """Rows data set, clip, entropy (bits) of every clip of a tree."""
    clips = read_tree(data).every_clip()
    with ThreadPoolExecutor(cores()) as pool:  # reading and counting let go of Python's lock
        values = list(
            progress(
                pool.map(clip_entropy, clips),
                f"GLCM entropy of {name}",
                total=len(clips),
                unit="clip",
            )
        )
    return pd.DataFrame({"data set": name, "clip": [c.name for c in clips], "entropy": values})


def entropy_figure(rows: pd.DataFrame) -> Figure:
    """Figure 3: distribution of the clips' entropy in each data set."""
    style()
    figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
    sns.histplot(
        rows,
        x="entropy",
        hue="data set",
        stat="density",
        common_norm=False,
        bins=15,
        element="step",
        ax=axis,
    )
    axis.set(xlabel="mean GLCM entropy of a clip (bits)", ylabel="density of clips")
    return figure
