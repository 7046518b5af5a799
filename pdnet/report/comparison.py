"""Figure 7: methods side by side on chosen frames; any folder of masks can be added by its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.data.overlays import overlay_errors, overlay_mask
from pdnet.errors import InputError
from pdnet.experiments.names import PREDICTIONS, TITLES
from pdnet.inference.baselines import HELD_STILL
from pdnet.metrics.evaluator import overall, read_prediction, score_folder
from pdnet.metrics.region_contour import COLUMNS
from pdnet.metrics.stability import clip_flows, mean_stability
from pdnet.report.figures import tile


def chosen_frames(
    clips: Sequence[Clip], count: int, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Clip -> frame to show: those given, else the middle frame of the first `count` clips.

    Raises:
        InputError: a given clip or frame does not exist.
    """
    known = {clip.name: clip for clip in clips}
    if not given:
        return {clip.name: clip.frames[len(clip.frames) // 2] for clip in clips[:count]}
    for name, stem in given.items():
        if name not in known or stem not in known[name].frames:
            raise InputError(f"{name}/{stem}: no such annotated frame; clips: {', '.join(known)}")
    return dict(given)


def _mask(folder: Path, clip: Clip, stem: str, size: tuple[int, int]) -> np.ndarray:
    return read_prediction(folder / clip.name / f"{stem}.png", size, None)


def compared_folders(compared: Path) -> dict[str, Path]:
    """Row of Tables 1 and 2 -> its masks, for the methods that were trained here.

    Args:
        compared: `results/comparison`, a folder a method.
    """
    folders = {title: compared / name / PREDICTIONS for name, title in TITLES.items()}
    return {title: folder for title, folder in folders.items() if folder.is_dir()}


def methods_figure(
    data: Path, methods: Mapping[str, Path], frames: Mapping[str, str], set_name: str = "val"
) -> Figure:
    """A column per chosen frame: frame, truth, then each method's errors.

    Args:
        data: working copy.
        methods: name -> folder of masks `<clip>/<frame>.png`; the first also gives the row held
            still.
        frames: clip -> frame.
        set_name: split.
    """
    clips = {clip.name: clip for clip in read_tree(data).clips(set_name)}
    # the first method's own first mask is held still: how much is tracking worth to it?
    still, columns = next(iter(methods.values())), []
    for name, stem in frames.items():
        clip = clips[name]
        frame, truth = read_frame(clip.frame(stem)), read_mask(clip.mask(stem))
        column = [frame, overlay_mask(frame, truth)]
        column += [
            overlay_errors(frame, _mask(folder, clip, stem, truth.shape), truth)
            for folder in methods.values()
        ]
        column.append(overlay_errors(frame, _mask(still, clip, clip.frames[0], truth.shape), truth))
        columns.append(column)
    labels = ["frame", "truth", *methods, HELD_STILL.replace(" held", "\nheld")]
    titles = [f"{name}\n{stem}" for name, stem in frames.items()]
    return tile(list(zip(*columns, strict=True)), titles, labels, height=1.8)


def kinds_of_clips(data: Path, set_name: str = "val") -> pd.DataFrame:
    """A row a clip: what kind it is. `size`: mean share of the frame that people take, per cent;
    `motion`: mean flow of their pixels from annotated frame to annotated frame, per cent of the
    diagonal; `halves` say on which side of the median a clip lies.
    """
    rows = []
    for clip in read_tree(data).clips(set_name):
        masks = [read_mask(clip.mask(stem)) for stem in clip.frames]
        lengths = [np.linalg.norm(flow.astype(np.float32), axis=2) for flow in clip_flows(clip)]
        moved = [
            float(length[mask].mean())
            for length, mask in zip(lengths, masks[1:], strict=True)
            if mask.any()
        ]
        diagonal = float(np.hypot(*masks[0].shape))
        size = 100 * float(np.mean([mask.mean() for mask in masks]))
        motion = 100 * float(np.mean(moved or [0.0])) / diagonal
        rows.append({"clip": clip.name, "size": size, "motion": motion})
    table = pd.DataFrame(rows).set_index("clip")
    for value, (low, high) in {"size": ("small", "large"), "motion": ("slow", "fast")}.items():
        above = table[value] > table[value].median()
        table[f"{value} half"] = np.where(above, f"{high} people", f"{low} people")
    return table.round(2)


def wins_figure(scores: pd.DataFrame, kinds: pd.DataFrame, ours: str = "PDNet") -> Figure:
    """J&F of each method less that of `ours`, clip by clip and as means over kinds of clip: blue
    where the method wins, red where it loses.

    Args:
        scores: a row a clip, a column a method, per cent.
        kinds: of `kinds_of_clips`.
        ours: the column that is held against.
    """
    gains = scores.drop(columns=ours).sub(scores[ours], axis=0)
    means = {}
    for column in ("size half", "motion half"):
        for kind, names in kinds.groupby(column).groups.items():
            means[f"mean of {kind} ({len(names)})"] = gains.loc[list(names)].mean()
    means[f"mean of all ({len(gains)})"] = gains.mean()
    shown = pd.concat([gains, pd.DataFrame(means).T])
    size = (1.1 * len(shown.columns) + 4, 0.4 * len(shown) + 1.5)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    how = {"cmap": "RdBu", "center": 0, "annot": True, "fmt": "+.1f"}
    sns.heatmap(shown, ax=axis, cbar_kws={"label": f"J&F less {ours}'s (points)"}, **how)
    axis.axhline(len(gains), color="black", linewidth=2)
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="x", rotation=30)
    return figure


def methods_table(data: Path, methods: Mapping[str, Path], set_name: str = "val") -> pd.DataFrame:
    """J and F of each folder of masks in per cent, with temporal stability; the last row is the
    truth's stability.
    """
    clips = read_tree(data).clips(set_name)
    flows = {clip.name: clip_flows(clip) for clip in clips}
    rows = {}
    for name, folder in {**methods, "truth": None}.items():
        stability = mean_stability(clips, flows, folder)
        scores = (
            overall(score_folder(folder, data, set_name))
            if folder
            else dict.fromkeys(COLUMNS, float("nan"))
        )
        rows[name] = {c: round(100 * v, 1) for c, v in scores.items()}
        rows[name] |= {
            "warped IoU": round(100 * stability["warped_iou"], 1),
            "flicker": round(stability["flicker"], 1),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
