"""Where the network fails: worst frames and clips, kinds of error, and what the failures have in
common.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pdnet.base.files import need
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import read_tree
from pdnet.data.overlays import overlay_errors, overlay_mask
from pdnet.data.skeleton import PARTS_PER_PERSON
from pdnet.experiments.statistics import holm, inside_clips, signed_rank, smallest_p
from pdnet.metrics.evaluator import read_prediction
from pdnet.metrics.region_contour import tolerance
from pdnet.report.figures import style, tile

WORST_SHARE = 0.1
FACTORS = {
    "motion": "change of the true mask since the frame before (1 - IoU)",
    "size": "people's share of the frame",
    "people": "people (rendered truth), or separate regions of the mask",
    "cut": "hidden body parts (rendered truth), or outline on the frame's edge (share)",
}


def frame_table(data: Path, results: Path, set_name: str = "val") -> pd.DataFrame:
    """A row per scored frame: clip, frame, J, F, J&F, the shares of missed, false and boundary
    error, and `FACTORS`.

    The errors are shares of the union of mask and truth; `boundary` is what of them lies within the
    contour tolerance.
    """
    scores = json.loads(need(results / f"per-frame_results-{set_name}.json").read_text())
    clips = {clip.name: clip for clip in read_tree(data).clips(set_name)}
    rows = []
    for name, values in scores.items():
        clip = clips[name]
        for stem, j, f in zip(values["frames"], values["J"], values["F"], strict=True):
            truth = read_mask(clip.mask(stem))
            found = read_prediction(
                results / "predictions" / name / f"{stem}.png", truth.shape, None
            )
            before = read_mask(clip.mask(clip.frames[max(0, clip.frames.index(stem) - 1)]))
            labels = clip.parts(stem)
            rows.append(
                {"clip": name, "frame": stem, "J": j, "F": f, "J&F": (j + f) / 2}
                | _errors(found, truth)
                | frame_factors(truth, before, read_labels(labels) if labels.is_file() else None)
            )
    return pd.DataFrame(rows)


def _errors(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    radius = tolerance(*truth.shape)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    rim = cv2.morphologyEx(truth.astype(np.uint8), cv2.MORPH_GRADIENT, kernel) > 0
    union = max(1, np.count_nonzero(found | truth))
    return {
        "missed": np.count_nonzero(truth & ~found & ~rim) / union,
        "false": np.count_nonzero(found & ~truth & ~rim) / union,
        "boundary": np.count_nonzero((found ^ truth) & rim) / union,
    }


def frame_factors(
    truth: np.ndarray, before: np.ndarray, labels: np.ndarray | None
) -> dict[str, float]:
    """`FACTORS` of a frame by its true mask, that of the annotated frame before, and the rendered
    truth of its parts where there is one.
    """
    union = max(1, np.count_nonzero(truth | before))
    if labels is None:
        people = cv2.connectedComponents(truth.astype(np.uint8))[0] - 1
        edge = np.concatenate([truth[0], truth[-1], truth[:, 0], truth[:, -1]])
        outline = cv2.morphologyEx(
            truth.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
        )
        cut = edge.sum() / max(1, np.count_nonzero(outline))
    else:
        seen = np.unique(labels[labels > 0])
        people = len(np.unique((seen - 1) // PARTS_PER_PERSON))
        cut = 1 - len(seen) / max(1, people * PARTS_PER_PERSON)
    return {
        "motion": 1 - np.count_nonzero(truth & before) / union,
        "size": float(truth.mean()),
        "people": float(people),
        "cut": float(cut),
    }


def worst_table(frames: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """The worst frames by J&F, per cent."""
    columns = ["J&F", "J", "F", "missed", "false", "boundary"]
    table = frames.sort_values("J&F").head(count).set_index(["clip", "frame"])[columns]
    return (100 * table).round(1)


def worst_figure(
    data: Path,
    results: Path,
    frames: pd.DataFrame,
    *,
    count: int = 4,
    set_name: str = "val",
) -> Figure:
    """Frame, truth and error map of the worst frame of each of the worst clips."""
    worst = frames.loc[frames.groupby("clip")["J&F"].idxmin()].sort_values("J&F").head(count)
    clips = {clip.name: clip for clip in read_tree(data).clips(set_name)}
    rows, labels = [], []
    for row in worst.to_dict("records"):
        clip = clips[row["clip"]]
        frame, truth = read_frame(clip.frame(row["frame"])), read_mask(clip.mask(row["frame"]))
        found = read_prediction(
            results / "predictions" / clip.name / f"{row['frame']}.png", truth.shape, None
        )
        rows.append([frame, overlay_mask(frame, truth), overlay_errors(frame, found, truth)])
        labels.append(f"{clip.name}\nframe {row['frame']}, J&F {100 * row['J&F']:.0f}")
    return tile(rows, ("frame", "truth", "green hit, orange missed, pink false"), labels)


def kinds_figure(frames: pd.DataFrame) -> Figure:
    """How much of each clip's error is missed, false or boundary."""
    style()
    shares = frames.groupby("clip")[["missed", "false", "boundary"]].mean().mul(100)
    shares = shares.loc[shares.sum(axis=1).sort_values().index]
    figure, axis = plt.subplots(figsize=(9, 0.4 * len(shares) + 1.4), layout="constrained")
    left = np.zeros(len(shares))
    for kind in shares:
        axis.barh(shares.index, shares[kind], left=left, label=kind)
        left += shares[kind]
    axis.set(xlabel="pixels in error (% of the union of mask and truth)")
    axis.legend()
    return figure


def factors_figure(frames: pd.DataFrame) -> Figure:
    """J and F of every frame against each factor, with the mean over clips of the rank correlation
    inside them.
    """
    style()
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    for axis, (name, meaning) in zip(axes.flat, FACTORS.items(), strict=True):
        for measure in "JF":
            values = 100 * frames[measure]
            sns.scatterplot(frames, x=name, y=values, s=14, alpha=0.6, label=measure, ax=axis)
        rhos = inside_clips(frames, name, "J&F")
        said = "the same in all frames of a clip"
        if rhos:
            said = f"rho = {np.mean(rhos):+.2f} inside {len(rhos)} clip(s)"
        axis.set(xlabel=meaning, ylabel="J, F (%)", title=f"{name}: {said}")
        axis.xaxis.label.set_size(9)
        if name == "people":
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def in_common(frames: pd.DataFrame) -> pd.DataFrame:
    """What goes with bad frames: each factor's rank correlation with J&F inside clips, tested
    across clips.

    Returns:
        a row per factor: mean correlation, clips that it could be asked in, Wilcoxon's p over
            them corrected
        after Holm for the factors, and the smallest p that so many clips can give.
    """
    rhos = {name: inside_clips(frames, name, "J&F") for name in FACTORS}
    tests = [signed_rank(values) for values in rhos.values()]
    rows = []
    for (name, values), p_value in zip(rhos.items(), holm(tests), strict=True):
        mean = f"{np.mean(values):+.2f}" if values else "the same in all frames of a clip"
        tested = not np.isnan(p_value)
        said = {
            "p (Holm)": f"{p_value:.3f}" if tested else "too few clips to test",
            "smallest possible p": f"{smallest_p(len(values)):.3f}" if tested else "",
        }
        rows.append({"": name, "rank correlation with J&F": mean, "clips": len(values), **said})
    return pd.DataFrame(rows).set_index("")


def worst_kinds(frames: pd.DataFrame) -> pd.DataFrame:
    """Kinds of error in the worst tenth of each clip's frames and in its others, mean over clips,
    per cent.

    They are parts of what J counts, so a test would only say that bad frames are bad.
    """
    kinds = ["missed", "false", "boundary"]
    worst, others = [], []
    for _, clip in frames.groupby("clip"):
        ordered = clip.sort_values("J&F")
        cut = max(1, round(WORST_SHARE * len(clip)))
        worst.append(ordered.head(cut)[kinds].mean())
        others.append(ordered.iloc[cut:][kinds].mean())
    columns = {"worst tenth of each clip": worst, "its other frames": others}
    means = {title: pd.DataFrame(values).mean() for title, values in columns.items()}
    return (100 * pd.DataFrame(means)).round(1)
