"""The recorded study of motion as pictures, from its tables alone: scores, who is found by how far
he moved, thresholds, and the imbalance series.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdnet.base.files import need
from pdnet.experiments.alive import MOTION_BINS
from pdnet.experiments.statistics import mean_interval
from pdnet.experiments.study_tables import MEASURE, OF_SERIES, clips_by_seeds, imbalance_shares
from pdnet.report.figures import save, style

UNRELATED = f"unrelated {MEASURE}"
# rows of `scores` alone: curves of more than a few rows can't be told apart
SCORES_ALONE = (
    "geometric",
    "geometric-area",
    "three-parts",
    "eight-parts",
    "ours-unspread",
    "ours-untold",
)
GREY = (0.45, 0.45, 0.45)
ALT = {
    "scores": "J&F of each row of the study with its interval, with its own and with an unrelated "
    "first frame, and the oracle's",
    "motion": "share of people's pixels seen as person against the motion of their body part, and "
    "of figures' pixels, a bar a row of the study",
    "thresholds": "J against the threshold on the probability, a curve a row of the study",
    "imbalance": "people found, figures taken for people and J near the limbs against the speed of "
    "the arms, a curve with its band a row of the study",
}


@dataclass(frozen=True)
class Recorded:
    """The study's tables.

    Attributes:
        clips, curves, imbalance, oracle: its CSV files (`pdnet.experiments.study.write_study`).
    """

    clips: pd.DataFrame
    curves: pd.DataFrame
    imbalance: pd.DataFrame
    oracle: pd.DataFrame

    def names(self) -> list[str]:
        """Its rows, in the tables' order."""
        return list(self.clips["variant"].unique())

    def colours(self) -> dict[str, tuple]:
        """Row -> its colour in every figure, without those that `scores` alone shows."""
        names = [name for name in self.names() if name not in SCORES_ALONE]
        return dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))


def recorded(folder: Path) -> Recorded:
    """Reads the study's tables.

    Raises:
        InputError: one is missing.
    """
    names = [field.name for field in fields(Recorded)]
    return Recorded(
        **{name: pd.read_csv(need(folder / f"{name}.csv", "pdnet study")) for name in names}
    )


def write_figures(folder: Path) -> None:
    """Writes `scores`, `motion`, `thresholds` and `imbalance` as PNG and SVG beside the study's CSV
    files in `folder`.
    """
    study = recorded(folder)
    for name, draw in DRAWN.items():
        save(draw(study), folder, name, alt=ALT[name])


def scores(study: Recorded) -> Figure:
    """J&F of each row, filled with its own reference and hollow with an unrelated one; a line for
    its interval, a small point a seed.
    """
    style()
    rows, names, colours = study.clips, study.names(), study.colours()
    figure = Figure(figsize=(8, 1.2 + 0.45 * len(names)), layout="constrained")
    axis = figure.subplots()
    for place, name in enumerate(names):
        own, colour = rows[rows.variant == name], colours.get(name, GREY)
        values = clips_by_seeds(own, MEASURE)
        low, high = mean_interval(values)
        axis.plot([low, high], [place, place], color=colour, lw=2)
        axis.scatter(values.mean(), [place] * values.shape[1], color=colour, s=12, alpha=0.6)
        axis.scatter(values.to_numpy().mean(), place, color=colour, s=70, zorder=3)
        if UNRELATED in own and own[UNRELATED].notna().any():
            other = clips_by_seeds(own, UNRELATED).to_numpy().mean()
            axis.scatter(other, place, facecolor="none", edgecolor=colour, s=70, zorder=3)
    oracle = 100 * study.oracle[MEASURE].mean()
    axis.axvline(oracle, color="0.4", ls="--")
    axis.annotate("oracle ", (oracle, 0.5), xycoords=("data", "axes fraction"), ha="right")
    axis.set(yticks=range(len(names)), yticklabels=names, xlabel="J&F (%)")
    axis.set_title("filled: its own first frame; hollow: another clip's", fontsize=10)
    axis.invert_yaxis()
    return figure


def found_by_motion(study: Recorded) -> Figure:
    """Share of people's pixels that is found, by how far their body part moved; on the left the
    share of figures that is taken for people.
    """
    style()
    rows, colours = study.clips, study.colours()
    bins = [f"{low:g} to {high:g}" for low, high in pairwise(MOTION_BINS[:-1])]
    bins.append(f"over {MOTION_BINS[-2]:g}")
    kinds = {"figures": ("figures_taken", "figures")}
    kinds |= {name: (f"motion_{i}_found", f"motion_{i}") for i, name in enumerate(bins)}
    figure = Figure(figsize=(9, 4), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(colours)
    for index, (name, colour) in enumerate(colours.items()):
        own = rows[rows.variant == name]
        shares = [100 * own[part].sum() / max(own[of].sum(), 1) for part, of in kinds.values()]
        places = np.arange(len(kinds)) + (index + 0.5) * width - 0.4
        axis.bar(places, shares, width, color=colour, label=name)
    axis.axvline(0.5, color="0.4", ls="--")
    axis.set(xticks=range(len(kinds)), xticklabels=list(kinds), ylim=(0, 100))
    axis.set(xlabel="motion of the body part against the scene (pixels of 240 lines)")
    axis.set_ylabel("seen as person (%)")
    axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def thresholds(study: Recorded) -> Figure:
    """J over the threshold on the probability."""
    style()
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for name, colour in study.colours().items():
        curves = study.curves[study.curves.variant == name]
        mean = 100 * curves.groupby("threshold")["J"].mean()
        axis.plot(mean.index, mean, color=colour, label=name)
    axis.axvline(0.5, color="0.4", ls="--")
    axis.set(xlabel="threshold", ylabel="J (%)", ylim=(0, 100))
    axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def imbalance(study: Recorded) -> Figure:
    """People found, figures taken and J near the limbs as the arms move faster while the torso
    rests; bands: bootstrap over scenes and seeds.
    """
    style()
    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, len(OF_SERIES))
    shares = imbalance_shares(study.imbalance)
    for axis, measure in zip(axes, OF_SERIES, strict=True):
        for name, colour in study.colours().items():
            _band(axis, shares[shares.variant == name], measure, colour, name)
        axis.set(xlabel="speed of the arms", title=f"{measure} (%)", ylim=(0, 100))
    axes[-1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _band(axis: Axes, rows: pd.DataFrame, measure: str, colour: tuple, name: str) -> None:
    levels, means, ends = [], [], []
    for level, of_level in rows.groupby("level"):
        values = of_level.pivot(index="scene", columns="seed", values=measure)
        levels.append(level)
        means.append(values.to_numpy().mean())
        ends.append(mean_interval(values))
    axis.plot(levels, means, color=colour, label=name, marker="o", ms=4)
    low, high = zip(*ends, strict=True)
    axis.fill_between(levels, low, high, color=colour, alpha=0.15, lw=0)


DRAWN = {
    "scores": scores,
    "motion": found_by_motion,
    "thresholds": thresholds,
    "imbalance": imbalance,
}
