"""Tables 3, 4 and 5 with uncertainty, and what the imbalance experiment says: Markdown, CSV and
LaTeX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from pdnet.base.files import write_text
from pdnet.config import Config, load_config, variant_configs
from pdnet.errors import InputError
from pdnet.experiments.names import COMPARED, CONTROL, NAMES, scene_of
from pdnet.experiments.paper import PAPER_TABLE_3, PAPER_TABLE_4, PAPER_TABLE_5
from pdnet.experiments.statistics import (
    SIGNIFICANT,
    bootstrap_interval,
    holm,
    paired,
    smallest_p,
    verdict,
)

MEASURES = ("J&F", "J", "F")
STABILITY = {
    "warped_iou": ("warped IoU", 100),
    "flicker": ("flicker", 1),
}  # column of the rows -> of the tables, factor
DIFFERS = "differs from the paper in"
INTERVAL_TITLE, P_TITLE, VERDICT = "95 % interval", "p (Holm)", "verdict"
COMPARISON = ("vs full", INTERVAL_TITLE, P_TITLE, VERDICT)
CONTROL_COLUMNS = ("scene", "gain at rest", "gain at the fastest", "mean gain", "± over seeds")
SLOPES = (
    "full against",
    "gain at rest",
    "gain at the fastest",
    "slope per level",
    "± over seeds",
    P_TITLE,
    VERDICT,
)
# decimals of the numbers in `SLOPES`
SLOPES_DECIMALS = {
    "gain at rest": 1,
    "gain at the fastest": 1,
    "slope per level": 2,
    "± over seeds": 2,
    P_TITLE: 3,
}


def read_variants(folder: Path, table: str, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows of variants: `<folder>/<variant>/<table>.csv`, empty files left out.

    Args:
        folder: of all variants.
        table: clips, frames, imbalance or parts.
        names: of the variants; None takes every folder there is.

    Raises:
        InputError: there is none.
    """
    files = [
        path
        for path in sorted(folder.glob(f"*/{table}.csv"))
        if path.stat().st_size > 1 and (names is None or path.parent.name in names)
    ]
    if not files:
        raise InputError(f"{folder}: no {table}.csv of any variant; `dvc repro` makes them")
    return pd.concat([pd.read_csv(path, dtype={"frame": str}) for path in files], ignore_index=True)


def differs_from_paper(config: Config) -> str:
    """In what a run is unlike the paper's (MVPS, ResNet-50 at 480x480, 60 epochs): data, backbone,
    input, steps.
    """
    train, model = config.train, config.model
    steps = (
        f"{train.epochs} epochs"
        if train.steps_per_epoch is None
        else f"{train.epochs * train.steps_per_epoch} video steps"
    )
    said = {
        f"data {config.data.source}": config.data.source != "mvps",
        model.backbone: model.backbone != "resnet50",
        "x".join(str(side) for side in model.input_size): tuple(model.input_size) != (480, 480),
        steps + (" on a frozen encoder" if train.freeze_encoder else ""): steps != "60 epochs"
        or train.freeze_encoder,
    }
    return ", ".join(text for text, differs in said.items() if differs) or "nothing known"


def ablation_table(
    clips: pd.DataFrame,
    variants: Sequence[str],
    *,
    paper: Mapping[str, tuple[float, ...]],
    differs: Mapping[str, str],
) -> pd.DataFrame:
    """A row per variant, per cent: mean ± standard deviation over seeds, difference to `full`,
    test, paper.

    Args:
        clips: rows variant, seed, clip, J, F, J&F, warped_iou in shares, flicker per 100 frames.
        variants: rows of the table, in order; those that were not run are left out.
        paper: the paper's J&F, J, F.
        differs: variant -> what sets its numbers apart from the paper's.
    """
    have = [name for name in variants if name in set(clips.variant)]
    compared = [name for name in have if name != "full"]
    against = _against_full(clips, compared)
    stability = clips.groupby("variant")[list(STABILITY)].mean()
    rows = []
    for name in have:
        seeds = _by_seed(clips, name)
        row = {"variant": NAMES.get(name, name)}
        for measure in MEASURES:
            row[measure] = f"{seeds[measure].mean():.1f} ± {_spread(seeds[measure]):.1f}"
        for column, (title, factor) in STABILITY.items():
            row[title] = f"{factor * stability[column][name]:.1f}"
        row |= against.get(name, dict.fromkeys(COMPARISON, ""))
        known = (f"{value:.1f}" for value in paper[name]) if name in paper else ("",) * 3
        row |= {f"paper {measure}": text for measure, text in zip(MEASURES, known, strict=True)}
        row[DIFFERS] = differs[name]
        rows.append(row)
    return pd.DataFrame(rows).set_index("variant")


def _by_seed(clips: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Mean over clips of each seed's J&F, J and F, per cent."""
    return clips[clips.variant == variant].groupby("seed")[list(MEASURES)].mean() * 100


def _spread(values: pd.Series) -> float:
    """Standard deviation over seeds; 0 of one."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _clips_by_seeds(clips: pd.DataFrame, variant: str) -> pd.DataFrame:
    """J&F in per cent: a row a clip, a column a seed."""
    rows = clips[clips.variant == variant]
    return rows.pivot(index="clip", columns="seed", values="J&F") * 100


def _against_full(clips: pd.DataFrame, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Each variant's difference to `full`: `COMPARISON`, p-values corrected for their number."""
    if "full" not in set(clips.variant):
        return {}
    full, full_spread = _clips_by_seeds(clips, "full"), _spread(_by_seed(clips, "full")["J&F"])
    values = {name: _clips_by_seeds(clips, name) for name in names}
    tests = [paired(value.mean(axis=1), full.mean(axis=1)) for value in values.values()]
    corrected = holm([p_value for _, p_value in tests])
    said = {}
    for (name, value), (difference, _), p_value in zip(
        values.items(), tests, corrected, strict=True
    ):
        # paired: clips that only one of them has cannot be compared
        both = full.reindex(value.index).dropna()
        interval = bootstrap_interval(value.loc[both.index].to_numpy(), both.to_numpy())
        # of a difference of two independent means
        spread = float(np.hypot(_spread(_by_seed(clips, name)["J&F"]), full_spread))
        texts = (
            f"{difference:+.1f}",
            _interval(interval, len(both)),
            _p_value(p_value),
            verdict(difference, p_value, spread),
        )
        said[name] = dict(zip(COMPARISON, texts, strict=True))
    return said


def _interval(ends: tuple[float, float], clips: int) -> str:
    """An interval over clips takes several of them."""
    return f"{ends[0]:+.1f} to {ends[1]:+.1f}" if clips > 1 else ""


def _p_value(p_value: float) -> str:
    return "" if np.isnan(p_value) else f"{p_value:.3f}"


def references_table(rows: pd.DataFrame, differs: str) -> pd.DataFrame:
    """Table 5: reference policies at test time of one trained network, per cent.

    Its intervals are over clips alone: there is one training.
    """
    policies = rows.groupby("policy", sort=False)
    table = policies[list(MEASURES)].mean().mul(100).round(1)
    for name, (title, factor) in STABILITY.items():
        table[title] = (factor * policies[name].mean()).round(1)
    values = {policy: group.set_index("clip")["J&F"] * 100 for policy, group in policies}
    first = values.pop("first")
    tests = {policy: paired(value, first) for policy, value in values.items()}
    corrected = dict(zip(tests, holm([p_value for _, p_value in tests.values()]), strict=True))
    columns: dict[str, list[str]] = {"vs first": [], INTERVAL_TITLE: [], P_TITLE: []}
    for policy in table.index:
        texts = ("", "", "")
        if policy in tests:
            value = values[policy].reindex(first.index)
            ends = bootstrap_interval(value.to_numpy()[:, None], first.to_numpy()[:, None])
            difference, p_value = tests[policy][0], corrected[policy]
            said = _p_value(p_value) or "too few clips to test"
            texts = (f"{difference:+.1f}", _interval(ends, len(first)), said)
        for title, text in zip(columns, texts, strict=True):
            columns[title].append(text)
    table = table.assign(**columns)
    table["paper"] = [PAPER_TABLE_5.get(policy, "not in it") for policy in table.index]
    table[DIFFERS] = differs
    return table


def _tested(difference: float, p_value: float) -> str:
    said = f"p = {p_value:.3f}"
    if np.isnan(p_value):
        said = "too few clips to test"
    return f"{difference:+.1f} ({said})"


def reference_use(rows: pd.DataFrame, control: str) -> str:
    """Does the network use its reference? `first` against the control, whose reference shows
    another clip.
    """
    scores = rows.set_index("clip").groupby("policy")["J&F"]
    change, p_value = paired(scores.get_group(control) * 100, scores.get_group("first") * 100)
    said = (
        "With another clip's frame as reference the J&F of the main training changes by "
        f"{_tested(change, p_value)}"
    )
    if np.isnan(p_value):
        return f"{said}."
    used = p_value < SIGNIFICANT and change < 0
    return f"{said}: it {'uses' if used else 'makes no measurable use of'} motion."


def imbalance_gains(rows: pd.DataFrame, ours: str = "full") -> pd.DataFrame:
    """Gain of `ours` in J near the limbs, per cent: columns other, seed, level, gain (mean over
    scenes).
    """
    means = rows.groupby(["variant", "seed", "level"])["J_limbs"].mean().mul(100).unstack("variant")
    gains = means.drop(columns=ours).rsub(means[ours], axis=0)
    return gains.melt(var_name="other", value_name="gain", ignore_index=False).reset_index()


def imbalance_slopes(rows: pd.DataFrame) -> pd.DataFrame:
    """Does the gain grow with imbalance? Slope of gain over level, a t-test over seeds against 0.

    Returns:
        a row per network that `full` is held against: gain at both ends, mean slope, its standard
        deviation over seeds, p corrected for the number of rows, and what may be said.
    """
    others = list(imbalance_gains(rows).groupby("other"))
    slopes = [_slopes(gain) for _, gain in others]
    tests = [_against_zero(values) for values in slopes]
    table = []
    for (other, gain), values, p_value in zip(others, slopes, holm(tests), strict=True):
        mean = float(np.mean(values))
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        texts = (
            NAMES.get(other, other),
            gain[gain.level == gain.level.min()].gain.mean(),
            gain[gain.level == gain.level.max()].gain.mean(),
            mean,
            deviation,
            p_value,
            _trend(mean, p_value),
        )
        table.append(dict(zip(SLOPES, texts, strict=True)))
    return pd.DataFrame(table, columns=SLOPES).set_index("full against").round(SLOPES_DECIMALS)


def _slopes(gain: pd.DataFrame) -> list[float]:
    """Slope of gain over level of each seed."""
    return [float(np.polyfit(group.level, group.gain, 1)[0]) for _, group in gain.groupby("seed")]


def _against_zero(values: Sequence[float]) -> float:
    return float(stats.ttest_1samp(values, 0).pvalue) if len(values) > 1 else float("nan")


def _trend(mean: float, p_value: float) -> str:
    if np.isnan(p_value) or p_value >= SIGNIFICANT:
        return "no trend beyond the spread of the seeds"
    return "the gain grows with imbalance" if mean > 0 else "the gain shrinks with imbalance"


def control_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What the right reference is worth, scene by scene: `full` against itself with another scene's
    frame.

    Returns:
        a row per scene: gain in J near the limbs at rest, at the fastest limbs, mean over
            levels, its standard
        deviation over seeds; empty where the control was not run.
    """
    control = f"full-{CONTROL}"
    known = rows.assign(scene=rows["clip"].map(scene_of))
    table = []
    for scene, group in known[known.variant.isin(["full", control])].groupby("scene"):
        values = group.pivot(index=["seed", "level"], columns="variant", values="J_limbs")
        if control not in values:
            continue
        gain = (100 * (values["full"] - values[control])).rename("gain").reset_index()
        seeds = gain.groupby("seed").gain.mean()
        ends = [gain[gain.level == end].gain.mean() for end in (gain.level.min(), gain.level.max())]
        row = (scene.rpartition("/")[2], *ends, seeds.mean(), _spread(seeds))
        table.append(dict(zip(CONTROL_COLUMNS, row, strict=True)))
    return pd.DataFrame(table, columns=CONTROL_COLUMNS).set_index("scene").round(1)


def control_sentence(table: pd.DataFrame) -> str:
    """In how many scenes the right reference helps; nothing where the control was not run."""
    if table.empty:
        return ""
    helps = table.index[table["mean gain"] > table["± over seeds"]]
    where = f" ({', '.join(helps)})" if len(helps) else ""
    return (
        "The right reference is worth more near the limbs than another scene's beyond the "
        "spread of the "
        f"seeds in {len(helps)} of {len(table)} scenes{where}."
    )


def write_table_files(table: pd.DataFrame, path: Path, note: str) -> None:
    """Writes `path`.md, .csv and .tex; the first and the last with a note on how the numbers came
    about. What sets all rows alike apart from the paper is said once, in the note.
    """
    if DIFFERS in table and table[DIFFERS].nunique() == 1:
        note += f" Every row differs from the paper in: {table[DIFFERS].iloc[0]}."
        table = table.drop(columns=DIFFERS)
    write_text(path.with_suffix(".csv"), table.to_csv())
    write_text(path.with_suffix(".md"), f"{table.to_markdown(disable_numparse=True)}\n\n{note}\n")
    write_text(
        path.with_suffix(".tex"),
        f"% {note}\n" + table.reset_index().to_latex(index=False, escape=True),
    )


def write_tables(params: Path, variants: Path, references: Path, out: Path) -> None:
    """Tables 3, 4 and 5, our own variants and the imbalance experiment, as Markdown, CSV and LaTeX.

    Args:
        params: parameter file.
        variants: results of the ablation, a folder a variant.
        references: `references.csv`, a row per policy and clip.
        out: folder for `table3`, `table4`, `table5`, `ours`, `imbalance`, `control` and
            `conclusion.txt`.
    """
    config = load_config(params)
    run = config.ablation.run
    clips = read_variants(variants, "clips", run)
    note = f"{how_trained(config)} {how_tested(clips['clip'].nunique())}"
    differs = {}
    for name in run:
        one_seed = next(iter(variant_configs(params, name).values()))
        differs[name] = differs_from_paper(one_seed)
    of_the_paper = {*PAPER_TABLE_3, *PAPER_TABLE_4}
    ours = [name for name in run if name == "full" or name not in of_the_paper]
    groups = {"table3": (list(PAPER_TABLE_3), PAPER_TABLE_3)}
    groups["table4"] = (list(PAPER_TABLE_4), PAPER_TABLE_4)
    if len(ours) > 1:
        groups["ours"] = (ours, {})
    for name, (rows, paper) in groups.items():
        table = ablation_table(clips, rows, paper=paper, differs=differs)
        write_table_files(table, out / name, note)

    policies = pd.read_csv(references)
    table5 = references_table(policies, differs_from_paper(config))
    about = (
        f"The network of the main training. {how_tested(policies['clip'].nunique(), seeds=False)}"
    )
    write_table_files(table5, out / "table5", about)
    limbs = read_variants(variants, "imbalance", run)
    slopes, control = imbalance_slopes(limbs), control_table(limbs)
    about = (
        f"{how_trained(config)} p: t-test over seeds, corrected after Holm for the table's rows."
    )
    write_table_files(slopes, out / "imbalance", about)
    write_table_files(control, out / "control", how_trained(config))
    said = [conclusion(slopes), control_sentence(control), reference_use(policies, CONTROL)]
    write_text(out / "conclusion.txt", " ".join(text for text in said if text) + "\n")


def conclusion(slopes: pd.DataFrame) -> str:
    """The imbalance experiment in a sentence per comparison."""
    if slopes.empty:
        return f"Not compared: of {', '.join(COMPARED)} only one was run."
    sentences = []
    for other, row in slopes.iterrows():
        rest, fastest = row["gain at rest"], row["gain at the fastest"]
        sentences.append(
            f"Against '{other}' the gain near the limbs is {rest:+.1f} at rest and "
            f"{fastest:+.1f} at the "
            f"fastest limbs: {row[VERDICT]} (p = {row[P_TITLE]:.2f}, corrected)."
        )
    return " ".join(sentences)


def how_trained(config: Config) -> str:
    """How the variants of a table were trained, how often, and what their spread is a spread of."""
    options = config.ablation
    short = ", ".join(f"{name} = {value}" for name, value in options.set.items())
    trained = "Whole trainings"
    if short:
        trained = f"Short trainings, for comparison with each other only ({short})"
    spread = "± is the standard deviation over them"
    if options.set.get("train.freeze_encoder"):
        spread += ", of heads on one trained encoder: whole trainings differ by more"
    return f"{trained}; {len(options.seeds)} seeds, {spread}."


def how_tested(clips: int, seeds: bool = True) -> str:
    """What the p-values and intervals of a table are, and how small a p its clips can give."""
    over = "clips and seeds" if seeds else "clips"
    means = ", means over seeds" if seeds else ""
    return (
        f"p: Wilcoxon's signed-rank test across {clips} clips{means}, corrected after Holm for "
        "the table's "
        f"comparisons; so many clips can give no uncorrected p below {smallest_p(clips):.3f}. "
        f"Interval: bootstrap over {over}."
    )
