"""What the report notebook shows: tables of results beside the paper's, ranked clips, learning
curves.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from pdnet.base.files import need
from pdnet.config import checked
from pdnet.data.layout import read_tree
from pdnet.experiments.paper import PAPER_TABLE_1
from pdnet.inference.pictures import clip_row
from pdnet.metrics.region_contour import COLUMNS
from pdnet.model.checkpoint import load_network
from pdnet.report.figures import style, tile
from pdnet.report.people import Chosen, threshold_figure, watch

OURS_IN_PAPER = "PDNet (paper)"


def results_table(results: Path, data_name: str) -> pd.DataFrame:
    """Our rows and the reader's rows in per cent, with the paper's Table 1 below; `data` says what
    each was measured on.
    """
    ours = pd.read_csv(need(results / "methods.csv")).set_index("method") * 100
    stability = pd.read_csv(need(results / "stability.csv")).set_index("method")
    ours["warped IoU"], ours["flicker"] = stability.warped_iou * 100, stability.flicker
    ours.insert(0, "data", data_name)
    paper = pd.DataFrame.from_dict(PAPER_TABLE_1, orient="index", columns=list(COLUMNS))
    paper.insert(0, "data", "MVPS test set")
    table = pd.concat([ours, paper]).rename_axis("method")
    # what nobody measured is an empty cell
    return table.map(lambda value: value if isinstance(value, str) else _number(value))


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1f}"


def in_words(results: Path, data_name: str) -> str:
    """Our J&F beside the best row without a network and beside the paper's, in a sentence each."""
    scores = 100 * pd.read_csv(need(results / "methods.csv")).set_index("method")["J&F-Mean"]
    ours, others = scores.iloc[0], scores.iloc[1:]
    paper = PAPER_TABLE_1[OURS_IN_PAPER][list(COLUMNS).index("J&F-Mean")]
    said = (
        f"PDNet reaches J&F {ours:.1f} on the evaluation clips of '{data_name}', "
        f"{ours - others.max():+.1f} against the best row without a network "
        f"({others.idxmax()}, {others.max():.1f}). The paper reports {paper:.1f} on the MVPS test "
        "set"
    )
    if data_name == "paper":
        return f"{said}: a difference of {ours - paper:+.1f}."
    return f"{said}: other data, so the two cannot be compared."


def stability_note(results: Path) -> str:
    """The ceiling of temporal stability: the true masks' own values, in a sentence."""
    truth = pd.read_csv(need(results / "stability.csv")).set_index("method").loc["truth"]
    return (
        f"The true masks' own values: warped IoU {100 * truth.warped_iou:.1f} %, "
        f"flicker {truth.flicker:.1f} per 100 frames."
    )


def clip_table(results: Path, set_name: str = "val") -> pd.DataFrame:
    """Per-clip results in per cent, best first."""
    table = (
        pd.read_csv(need(results / f"per-sequence_results-{set_name}.csv")).set_index("Sequence")
        * 100
    )
    return table.sort_values("J&F-Mean", ascending=False).round(1)


def clip_figure(results: Path, set_name: str = "val") -> Figure:
    """J and F of every clip, frame by frame, as box plots."""
    scores = json.loads(need(results / f"per-frame_results-{set_name}.json").read_text())
    rows: list[tuple[str, str, float]] = []
    for name, score in scores.items():
        for measure in "JF":
            rows += [(name, measure, 100 * value) for value in score[measure]]
    frame = pd.DataFrame(rows, columns=["clip", "measure", "value (%)"])
    style()
    order = list(clip_table(results, set_name).index)
    figure, axis = plt.subplots(figsize=(9, 0.5 * len(order) + 1.5), layout="constrained")
    sns.boxplot(
        frame,
        y="clip",
        x="value (%)",
        hue="measure",
        order=order,
        ax=axis,
        fliersize=2,
        linewidth=0.8,
    )
    axis.set(title="J and F of every scored frame", xlim=(0, 102), ylabel="")
    return figure


def curves_figure(models: Path) -> Figure:
    """Training loss per video step and validation J&F per epoch."""
    history = pd.read_csv(need(models / "history.csv"))
    validation = pd.read_csv(need(models / "validation.csv"))
    video = history[history.kind == "video"]
    style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    smooth = video.set_index("step").total.rolling(9, min_periods=1).median()
    left.plot(video.step, video.total, alpha=0.25, lw=0.8, color="C0", label="step")
    left.plot(smooth.index, smooth, color="C0", label="median of 9")
    left.set(title="training loss, video steps", xlabel="step", ylabel="loss", yscale="log")
    left.legend()
    if "J&F-Mean" in validation:
        for column, name in (("J&F-Mean", "J&F"), ("J-Mean", "J"), ("F-Mean", "F")):
            right.plot(validation.epoch + 1, 100 * validation[column], marker="o", ms=4, label=name)
        right.legend()
    right.set(title="held-back training clips", xlabel="epoch", ylabel="mean (%)", ylim=(0, 100))
    return figure


def threshold_curve(
    data: Path, checkpoint: Path, *, threshold: float, people: str = "all", set_name: str = "val"
) -> Figure:
    """J&F of each evaluation clip against the threshold; the one in use is marked."""
    cutting = checked("evaluate", threshold=threshold, people=people)
    chosen = Chosen(load_network(checkpoint), cutting, {})
    return threshold_figure(watch(chosen, read_tree(data).clips(set_name)), threshold)


def clips_figure(
    data: Path,
    checkpoint: Path,
    results: Path,
    *,
    which: str,
    count: int,
    threshold: float,
    people: str = "all",
    set_name: str = "val",
) -> Figure:
    """The `best` or `worst` clips: their median frame by J&F with truth, errors and part map.

    Args:
        data: working copy.
        checkpoint: trained network.
        results: of the evaluation.
        which: `best` or `worst`.
        count: how many clips.
        threshold: on the probability.
        people: whose masks, as in the evaluation.
        set_name: split.
    """
    table = clip_table(results, set_name)
    names = list(table.index[:count] if which == "best" else table.index[::-1][:count])
    scores = json.loads(need(results / f"per-frame_results-{set_name}.json").read_text())
    clips = {clip.name: clip for clip in read_tree(data).clips(set_name)}
    network = load_network(checkpoint)
    cutting = checked("evaluate", threshold=threshold, people=people)
    rows, labels = [], []
    for name in names:
        both = (np.array(scores[name]["J"]) + np.array(scores[name]["F"])) / 2
        # the clip's worst frame where we look for failures, a typical one where we look at
        # successes
        pick = int(np.argmin(both)) if which == "worst" else int(np.argsort(both)[len(both) // 2])
        index = clips[name].frames.index(scores[name]["frames"][pick])
        rows.append(clip_row(network, clips[name], index, cutting))
        labels.append(f"{name}\nframe {clips[name].frames[index]}, J&F {100 * both[pick]:.1f}")
    return tile(rows, ("frame", "truth", "green hit, orange missed, pink false", "parts"), labels)
