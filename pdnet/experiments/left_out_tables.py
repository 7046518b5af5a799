"""What trainings without one clip come to: a row a variant, over the clips that were left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pdnet.experiments.statistics import inside_clips, mean_interval, signed_rank, smallest_p
from pdnet.experiments.study_tables import (
    BASE,
    MEASURE,
    clips_by_seeds,
    gains_over_looks,
    of_unrelated,
)
from pdnet.experiments.tables import write_table_files


def read_clips(out: Path) -> pd.DataFrame:
    """Rows of `clips.csv`, in shares: variant, clip (the one that was left out), seed, scores."""
    return pd.read_csv(out / "clips.csv").rename(columns={"left_out": "clip"})


def write_summary(out: Path, order: list[str]) -> pd.DataFrame:
    """Writes `summary` as Markdown, CSV and LaTeX from `clips.csv` and `frames.csv`.

    Args:
        out: folder of the tables.
        order: of the rows; those without a training are left out.
    """
    rows, frames = read_clips(out), pd.read_csv(out / "frames.csv")
    names = [name for name in order if (rows["variant"] == name).any()]
    table = pd.DataFrame({name: _row(rows[rows.variant == name]) for name in names}).T
    by_row = {name: clips_by_seeds(rows[rows.variant == name], MEASURE) for name in names}
    for gained in (gains_over_looks(by_row, f"vs {BASE}"), _with_imbalance(frames, names)):
        table = table.join(pd.DataFrame(gained).T)
    table = table.fillna("").rename_axis("row")
    write_table_files(table, out / "summary", _note(rows))
    return table


def _row(rows: pd.DataFrame) -> dict[str, str]:
    values = clips_by_seeds(rows, MEASURE)
    low, high = mean_interval(values)
    return {
        MEASURE: f"{values.to_numpy().mean():.1f}",
        "95 % interval": f"{low:.1f} to {high:.1f}",
        "J": f"{100 * rows['J'].mean():.1f}",
        "F": f"{100 * rows['F'].mean():.1f}",
        "taken beside people": f"{100 * rows['taken'].mean():.0f}",
        **of_unrelated(rows),
    }


def _with_imbalance(frames: pd.DataFrame, names: list[str]) -> dict[str, dict[str, str]]:
    """Whether a row's gain in J on looks alone grows with a frame's motion imbalance."""
    by_frame = ["left_out", "frame"]
    means = frames.groupby([*by_frame, "variant"]).J.mean().unstack("variant")
    if BASE not in means:
        return {}
    imbalance = frames.groupby(by_frame).imbalance.first()
    said = {}
    for name in names:
        if name == BASE:
            continue
        gain = (means[name] - means[BASE]).rename("gain")
        table = pd.concat([gain, imbalance], axis=1).dropna().rename_axis(["clip", "frame"])
        found = inside_clips(table.reset_index(), "imbalance", "gain")
        if found:
            p_value = signed_rank(found)
            tested = "" if np.isnan(p_value) else f", p = {p_value:.2f}"
            value = f"{np.mean(found):+.2f} ({len(found)} clips{tested})"
            said[name] = {"gain with imbalance (rank correlation)": value}
    return said


def _note(rows: pd.DataFrame) -> str:
    clips, seeds = rows["clip"].nunique(), rows.groupby("variant")["seed"].nunique()
    least, most = seeds.min(), seeds.max()
    count = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"Whole trainings on all clips but one, which is scored; {clips} clips, {count} seed(s) a "
        "row and clip; per cent, means over clips. Taken beside people: pixels taken for people "
        "that are nobody, as a share of the people's. Intervals: bootstrap over clips and seeds. "
        "p: Wilcoxon's signed-rank test across clips, that of the gain corrected after Holm for "
        f"the rows; {clips} clips can give none below {smallest_p(clips):.1e} before that. Gain "
        "with imbalance: Spearman's correlation, inside clips, of a frame's gain in J on "
        f"{BASE} with the spread of its flow inside people over the mean."
    )
