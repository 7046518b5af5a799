"""What the study of motion comes to: a row a variant, with intervals, tests and an oracle."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pdnet.experiments.statistics import (
    bootstrap_interval,
    holm,
    mean_interval,
    paired,
    smallest_p,
)
from pdnet.experiments.tables import write_table_files

BASE = "no-ipda"  # what every row is compared with: looks alone
MEASURE = "J&F"
# columns of `clips.csv` that are means over clips and seeds -> the table's, factor, decimals
MEANS = {
    "head J&F": ("by its encoder's head", 100, 1),
    "calibration_error": ("calibration error", 100, 1),
    "correlation": ("steps: correlation", 1, 2),
    "end_point_error": ("steps: error (px)", 1, 1),
    "nmi": ("parts: NMI", 1, 2),
    "over_time": ("parts: identity", 1, 2),
}
# shares of pixels of all clips together: found, of how many
SHARES = {
    "people found": ("people_found", "people"),
    "resting parts found": ("resting_found", "resting"),
    "figures taken for people": ("figures_taken", "figures"),
}


def write_summary(out: Path, order: list[str]) -> pd.DataFrame:
    """Writes `summary` as Markdown, CSV and LaTeX from the study's CSV files.

    Args:
        out: folder of the study's tables.
        order: of the rows; those without a training are left out.
    """
    rows, curves = pd.read_csv(out / "clips.csv"), pd.read_csv(out / "curves.csv")
    oracle = pd.read_csv(out / "oracle.csv")
    names = [name for name in order if (rows["variant"] == name).any()]
    table = pd.DataFrame(
        {name: _row(rows[rows.variant == name], curves[curves.variant == name]) for name in names}
    ).T
    against = _against_base(rows, names)
    table = table.join(pd.DataFrame(against).T)
    best = {MEASURE: f"{100 * oracle[MEASURE].mean():.1f}"}
    table.loc["oracle: who moved, by true joints"] = pd.Series(best)
    table = table.fillna("").rename_axis("row")
    write_table_files(table, out / "summary", _note(rows, oracle))
    return table


def _row(rows: pd.DataFrame, curves: pd.DataFrame) -> dict[str, str]:
    values = _clips_by_seeds(rows, MEASURE)
    low, high = mean_interval(values)
    row = {MEASURE: f"{values.to_numpy().mean():.1f}", "95 % interval": f"{low:.1f} to {high:.1f}"}
    row |= _unrelated(rows)
    mean_curve = curves.groupby("threshold")["J"].mean()
    row["J"] = f"{100 * rows['J'].mean():.1f}"
    row["J, best threshold"] = f"{100 * mean_curve.max():.1f} ({mean_curve.idxmax():.2f})"
    for title, (part, whole) in SHARES.items():
        row[title] = f"{100 * rows[part].sum() / max(rows[whole].sum(), 1):.1f}"
    for column, (title, factor, decimals) in MEANS.items():
        if column in rows and rows[column].notna().any():
            row[title] = f"{factor * rows[column].mean():.{decimals}f}"
    return row


def _unrelated(rows: pd.DataFrame) -> dict[str, str]:
    """J&F with another clip's first frame as reference, and what the right one is worth."""
    column = f"unrelated {MEASURE}"
    if column not in rows or rows[column].isna().all():
        return {}
    own, other = _clips_by_seeds(rows, MEASURE), _clips_by_seeds(rows, column)
    difference, p_value = paired(own.mean(axis=1), other.mean(axis=1))
    said = f"{difference:+.1f} (p = {p_value:.3f})"
    return {
        "with an unrelated reference": f"{other.to_numpy().mean():.1f}",
        "its own is worth": said,
    }


def _against_base(rows: pd.DataFrame, names: list[str]) -> dict[str, dict[str, str]]:
    """Difference of each row to looks alone, tested across clips, corrected for their number."""
    if BASE not in names:
        return {}
    base = _clips_by_seeds(rows[rows.variant == BASE], MEASURE)
    others = {
        name: _clips_by_seeds(rows[rows.variant == name], MEASURE) for name in names if name != BASE
    }
    tests = [paired(value.mean(axis=1), base.mean(axis=1)) for value in others.values()]
    corrected = holm([p_value for _, p_value in tests])
    said = {}
    for (name, value), (difference, _), p_value in zip(
        others.items(), tests, corrected, strict=True
    ):
        low, high = bootstrap_interval(value.to_numpy(), base.reindex(value.index).to_numpy())
        said[name] = {
            f"vs {BASE}": f"{difference:+.1f}",
            "95 % interval of that": f"{low:+.1f} to {high:+.1f}",
            "p (Holm)": f"{p_value:.4f}",
        }
    return said


def _clips_by_seeds(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """In per cent: a row a clip, a column a seed."""
    return rows.pivot(index="clip", columns="seed", values=column) * 100


def _note(rows: pd.DataFrame, oracle: pd.DataFrame) -> str:
    clips = rows["clip"].nunique()
    seeds = rows.groupby("variant")["seed"].nunique()
    least, most = seeds.min(), seeds.max()
    count = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"Whole trainings on casts, {count} seed(s) a row, {clips} clips of casts that none saw; "
        "J, F and shares of pixels in per cent. Intervals: bootstrap over clips and seeds. p: "
        f"Wilcoxon's signed-rank test across clips, corrected after Holm for the rows; {clips} "
        f"clips can give none below {smallest_p(clips):.1e} before that. The best threshold is "
        "chosen on the same clips: an upper bound. Resting parts: less than a pixel of motion "
        "while their person moves elsewhere. Steps: the parts' own against the true joints' of "
        "limbs that moved three pixels or more. In "
        f"{100 * oracle['decided'].mean():.0f} % of the frames every person has moved."
    )
