"""Trainings without one clip as a picture: what each row scores on each clip that it never saw."""

from __future__ import annotations

from pathlib import Path

import seaborn as sns
from matplotlib.figure import Figure

from pdnet.experiments.left_out_tables import read_clips
from pdnet.experiments.study_tables import MEASURE, clips_by_seeds
from pdnet.report.figures import save, style

ALT = (
    "J&F of each row on each clip that was left out, filled with its own first frame and hollow "
    "with another clip's"
)


def write_figure(folder: Path) -> None:
    """Writes `scores` as PNG and SVG beside the CSV files in `folder`."""
    save(scores(folder), folder, "scores", alt=ALT)


def scores(folder: Path) -> Figure:
    """J&F of each row on each clip, mean over seeds: filled with its own first frame, hollow with
    another clip's.
    """
    style()
    rows = read_clips(folder)
    names = list(rows["variant"].unique())
    clips = sorted(rows["clip"].unique())
    figure = Figure(figsize=(9, 1.2 + 0.4 * len(clips)), layout="constrained")
    axis = figure.subplots()
    colours = sns.color_palette("colorblind", len(names))
    for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
        own = rows[rows.variant == name]
        apart = 0.5 * ((number + 0.5) / len(names) - 0.5)
        for measure, face in ((MEASURE, colour), (f"unrelated {MEASURE}", "none")):
            if measure not in own or own[measure].isna().all():
                continue
            means = clips_by_seeds(own, measure).mean(axis=1)
            places = [clips.index(clip) + apart for clip in means.index]
            label = name if measure == MEASURE else None
            axis.scatter(means, places, facecolor=face, edgecolor=colour, s=36, label=label)
    axis.set(yticks=range(len(clips)), yticklabels=clips, xlabel="J&F (%)", xlim=(0, 100))
    axis.set_title("filled: its own first frame; hollow: another clip's", fontsize=10)
    axis.invert_yaxis()
    axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
