"""What the study of motion comes to: a row a variant, with intervals, tests and an oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from pdnet.experiments.part_motion import OF_NETWORK, OF_TRUTH, correlation
from pdnet.experiments.statistics import (
    bootstrap_interval,
    holm,
    mean_interval,
    paired,
    pooled_interval,
    smallest_p,
)
from pdnet.experiments.tables import write_table_files

BASE = "no-ipda"  # what every row is compared with: looks alone
MEASURE = "J&F"
OF_SERIES = ("people found", "figures taken", "J near limbs")
# row -> the row that it changes by one thing
CHANGED = {
    "geometric": "full",
    "geometric-area": "full",
    "one-part": "full",
    "three-parts": "full",
    "eight-parts": "full",
    "ours-unmatched": "ours",
    "ours-unspread": "ours",
    "ours-untold": "ours",
    "ours-longer": "ours",
    "ours-steps": "ours-longer",
}
POWER = 2.8  # standard errors: a difference of so many is significant four times of five
# columns of `clips.csv` that are means over clips and seeds -> the table's, factor, decimals
MEANS = {
    "head J&F": ("by its encoder's head", 100, 1),
    "calibration_error": ("calibration error", 100, 1),
    "nmi": ("parts: NMI", 1, 2),
    "over_time": ("parts: identity", 1, 2),
}
# shares of pixels of all clips together: found, of how many
SHARES = {
    "people found": ("people_found", "people"),
    "resting parts found": ("resting_found", "resting"),
    "figures taken for people": ("figures_taken", "figures"),
}
# likewise, with another clip's first frame as reference
UNRELATED_SHARES = {
    "people found then": SHARES["people found"],
    "figures taken then": SHARES["figures taken for people"],
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
    members = pd.read_csv(out / "members.csv")
    table["told apart (AUC)"] = pd.Series(
        {name: f"{told_apart(members[members.variant == name]):.2f}" for name in names}
    )
    by_row = {name: clips_by_seeds(rows[rows.variant == name], MEASURE) for name in names}
    against = gains_over_looks(by_row, f"vs {BASE}")
    for gained in (against, gains_by_a_change(by_row)):
        table = table.join(pd.DataFrame(gained).T)
    best = {MEASURE: f"{100 * oracle[MEASURE].mean():.1f}"}
    table.loc["oracle: who moved, by true joints"] = pd.Series(best)
    table = table.fillna("").rename_axis("row")
    write_table_files(table, out / "summary", _note(rows, oracle))
    return table


def told_apart(members: pd.DataFrame) -> float:
    """The chance that a network gives a person who has moved a higher probability than a figure
    (the area under the ROC curve): 0.5 knows nothing. Mean over seeds.
    """
    areas = []
    for _, of_seed in members.groupby("seed"):
        people = of_seed[of_seed.alive & of_seed.moved].probability
        figures = of_seed[~of_seed.alive].probability
        higher = stats.mannwhitneyu(people, figures).statistic
        areas.append(higher / (len(people) * len(figures)))
    return float(np.mean(areas))


def imbalance_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `imbalance.csv` in per cent: variant, seed, scene, level and `OF_SERIES`."""
    shares = rows[["variant", "seed", "scene", "level"]].copy()
    found, taken, limbs = OF_SERIES
    shares[found] = 100 * rows["people_found"] / rows["people"].clip(lower=1)
    shares[taken] = 100 * rows["figures_taken"] / rows["figures"].clip(lower=1)
    shares[limbs] = 100 * rows["J_limbs"]
    return shares


def write_imbalance(out: Path, order: list[str]) -> pd.DataFrame:
    """Writes `imbalance-summary` as Markdown, CSV and LaTeX: what is found at rest and at the
    fastest arms, and how much more near the limbs than by looks alone.

    Args:
        out: folder of the study's tables.
        order: of the rows; those without a training are left out.
    """
    shares = imbalance_shares(pd.read_csv(out / "imbalance.csv"))
    names = [name for name in order if (shares.variant == name).any()]
    ends = {"at rest": shares.level.min(), "fastest": shares.level.max()}
    table = {name: _at_both_ends(shares[shares.variant == name], ends) for name in names}
    at_speed = {
        name: shares[(shares.variant == name) & (shares.level == ends["fastest"])].pivot(
            index="scene", columns="seed", values=OF_SERIES[-1]
        )
        for name in names
    }
    for name, gain in gains_over_looks(at_speed, f"{OF_SERIES[-1]} vs {BASE}, fastest").items():
        low, high = _interval(at_speed[name], at_speed[BASE])
        table[name] |= gain | {"would be seen from": f"{POWER * (high - low) / (2 * 1.96):.1f}"}
    framed = pd.DataFrame(table).T.fillna("").rename_axis("row")
    write_table_files(framed, out / "imbalance-summary", _imbalance_note(shares))
    return framed


def _at_both_ends(rows: pd.DataFrame, ends: dict[str, float]) -> dict[str, str]:
    said = {}
    for measure in OF_SERIES:
        means = rows.groupby("level")[measure].mean()
        said |= {f"{measure}, {when}": f"{means[level]:.1f}" for when, level in ends.items()}
    return said


def gains_over_looks(values: dict[str, pd.DataFrame], title: str) -> dict[str, dict[str, str]]:
    """Each row's gain over looks alone, tested across clips, corrected for the number of rows.

    Args:
        values: row -> clips by seeds.
        title: of the gain's column.
    """
    if BASE not in values:
        return {}
    tested = _tested(values, {name: BASE for name in values if name != BASE})
    return {
        name: {
            title: f"{gain:+.1f}",
            "95 % interval of that": f"{low:+.1f} to {high:+.1f}",
            "p (Holm)": f"{p_value:.2g}",
        }
        for name, (gain, low, high, p_value) in tested.items()
    }


def gains_by_a_change(values: dict[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    """What a row gains on the one that it changes by one thing (`CHANGED`), tested likewise."""
    pairs = {name: CHANGED[name] for name in values if CHANGED.get(name) in values}
    return {
        name: {"by its one change": f"{gain:+.1f} on {of} ({low:+.1f} to {high:+.1f}, p = {p:.2g})"}
        for (name, of), (gain, low, high, p) in zip(
            pairs.items(), _tested(values, pairs).values(), strict=True
        )
    }


def _tested(
    values: dict[str, pd.DataFrame], pairs: dict[str, str]
) -> dict[str, tuple[float, float, float, float]]:
    """Row -> its gain on the other of its pair, both ends of the gain's interval, and p across
    clips, corrected for the number of pairs.
    """
    tests = [
        paired(values[name].mean(axis=1), values[of].mean(axis=1)) for name, of in pairs.items()
    ]
    corrected = holm([p_value for _, p_value in tests])
    return {
        name: (gain, *_interval(values[name], values[of]), p_value)
        for (name, of), (gain, _), p_value in zip(pairs.items(), tests, corrected, strict=True)
    }


def _interval(values: pd.DataFrame, base: pd.DataFrame) -> tuple[float, float]:
    return bootstrap_interval(values.to_numpy(), base.reindex(values.index).to_numpy())


def _imbalance_note(shares: pd.DataFrame) -> str:
    scenes, seeds = shares.scene.nunique(), shares.groupby("variant").seed.nunique().min()
    return (
        f"{scenes} scenes, {seeds} seed(s) a row; people's torsos rest and their arms move at "
        f"{shares.level.min():g} to {shares.level.max():g} times their speed, beside figures; per "
        "cent, means over scenes. At rest nothing tells a person from a figure. Intervals: "
        "bootstrap over scenes and seeds; p: Wilcoxon's signed-rank test across scenes, corrected "
        f"after Holm; {scenes} scenes can give none below {smallest_p(scenes):.1e} before that. "
        "Would be seen from: the difference that these scenes and seeds show four times of five."
    )


def _row(rows: pd.DataFrame, curves: pd.DataFrame) -> dict[str, str]:
    values = clips_by_seeds(rows, MEASURE)
    low, high = mean_interval(values)
    row = {MEASURE: f"{values.to_numpy().mean():.1f}", "95 % interval": f"{low:.1f} to {high:.1f}"}
    if unrelated := of_unrelated(rows):
        row |= unrelated | _taken_then(rows)
    mean_curve = curves.groupby("threshold")["J"].mean()
    row["J"] = f"{100 * rows['J'].mean():.1f}"
    row["J, best threshold"] = f"{100 * mean_curve.max():.1f} ({mean_curve.idxmax():.2f})"
    for title, (part, whole) in SHARES.items():
        row[title] = f"{100 * rows[part].sum() / max(rows[whole].sum(), 1):.1f}"
    for column, (title, factor, decimals) in MEANS.items():
        if column in rows and rows[column].notna().any():
            row[title] = f"{factor * rows[column].mean():.{decimals}f}"
    return row | _steps(rows)


def _steps(rows: pd.DataFrame) -> dict[str, str]:
    """How far limbs are said to have moved, over those of all clips together: correlation with the
    true steps, also with another clip's first frame as reference, and error.
    """
    if "products" not in rows or rows["products"].isna().all():
        return {}
    error = rows["end_point_error"].mul(rows["limbs"]).sum() / rows["limbs"].sum()
    said = {"steps: error (px)": f"{error:.1f}"}
    for title, prefix in (("steps: correlation", ""), ("steps: correlation then", "unrelated ")):
        columns = [*OF_TRUTH, *(f"{prefix}{name}" for name in OF_NETWORK)]
        by_seed = [of.sort_values("clip")[columns].fillna(0) for _, of in rows.groupby("seed")]
        sums = np.stack(by_seed, 1)  # (clips, seeds, columns)
        low, high = pooled_interval(sums, correlation)
        said[title] = f"{correlation(sums.sum(0)).mean():.2f} ({low:.2f} to {high:.2f})"
    return said


def of_unrelated(rows: pd.DataFrame) -> dict[str, str]:
    """J&F with another clip's first frame as reference, and what the right one is worth; nothing
    where none was looked at.
    """
    column = f"unrelated {MEASURE}"
    if column not in rows or rows[column].isna().all():
        return {}
    own, other = clips_by_seeds(rows, MEASURE), clips_by_seeds(rows, column)
    difference, p_value = paired(own.mean(axis=1), other.mean(axis=1))
    tested = "" if np.isnan(p_value) else f" (p = {p_value:.3f})"
    return {
        "with an unrelated reference": f"{other.to_numpy().mean():.1f}",
        "its own is worth": f"{difference:+.1f}{tested}",
    }


def _taken_then(rows: pd.DataFrame) -> dict[str, str]:
    """Whom a row takes for people with another clip's first frame as reference."""
    said = {}
    for title, (part, whole) in UNRELATED_SHARES.items():
        then = rows[f"unrelated {part}"]
        said[title] = f"{100 * then.sum() / max(rows[whole].sum(), 1):.1f}"
    return said


def clips_by_seeds(rows: pd.DataFrame, column: str) -> pd.DataFrame:
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
        "Wilcoxon's signed-rank test across clips, corrected after Holm for the tests of a "
        f"column; {clips} clips can give none below {smallest_p(clips):.1e} before that. By its "
        "one change: what it gains on the row that it changes by one thing. The best threshold is "
        "chosen on the same clips: an upper bound. Resting parts: less than a pixel of motion "
        "while their person moves elsewhere. Steps: the parts' own against the true joints' of "
        "limbs that moved three pixels or more, over all limbs of the clips (mean over seeds, "
        "interval over clips and seeds); then: with another clip's first frame. Told apart: the "
        "chance that somebody who has moved gets a higher mean probability than a figure; 0.5 "
        "knows nothing. In "
        f"{100 * oracle['decided'].mean():.0f} % of the frames every person has moved."
    )
