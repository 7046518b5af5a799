"""Tables 3, 4 and 5 with uncertainty, and what the imbalance experiment says: Markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from pdnet.base.files import write_text
from pdnet.config import Config, load_config, variant_configs
from pdnet.errors import InputError
from pdnet.experiments.names import COMPARED, CONTROL, NAMES
from pdnet.experiments.paper import PAPER_TABLE_3, PAPER_TABLE_4, PAPER_TABLE_5
from pdnet.experiments.statistics import SIGNIFICANT, paired, verdict

MEASURES = ("J&F", "J", "F")
STABILITY = {
    "warped_iou": ("warped IoU", 100),
    "flicker": ("flicker", 1),
}  # column of the rows -> of the tables, factor
DIFFERS = "differs from the paper in"
SLOPES = (
    "full against",
    "gain at rest",
    "gain at the fastest",
    "slope per level",
    "± over seeds",
    "p",
    "",
)


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
    """In what a run is unlike the paper's (MVPS, ResNet-50 at 480x480, 60 epochs): data, backbone, input, steps."""
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
    paper: dict[str, tuple[float, ...]],
    differs: dict[str, str],
) -> pd.DataFrame:
    """A row per variant, per cent: mean ± standard deviation over seeds, difference to `full`, test, paper.

    Args:
        clips: rows variant, seed, clip, J, F, J&F, warped_iou in shares, flicker per 100 frames.
        variants: rows of the table, in order; those that were not run are left out.
        paper: the paper's J&F, J, F.
        differs: variant -> what sets its numbers apart from the paper's.
    """
    per_clip = clips.groupby(["variant", "clip"])["J&F"].mean() * 100
    per_seed = clips.groupby(["variant", "seed"])[list(MEASURES)].mean() * 100
    stability = clips.groupby("variant")[list(STABILITY)].mean()
    have = set(clips.variant)
    rows = []
    for name in (v for v in variants if v in have):
        seeds = per_seed.loc[name]
        row = {"variant": NAMES.get(name, name)}
        row |= {
            m: f"{seeds[m].mean():.1f} ± {seeds[m].std(ddof=1) if len(seeds) > 1 else 0:.1f}"
            for m in MEASURES
        }
        row |= {
            title: f"{factor * stability[s][name]:.1f}" for s, (title, factor) in STABILITY.items()
        }
        row |= dict.fromkeys(("vs full", "p", ""), "")
        if name != "full" and "full" in have:
            difference, p_value = paired(per_clip[name], per_clip["full"])
            spread = (
                float(np.hypot(seeds["J&F"].std(), per_seed.loc["full"]["J&F"].std()))
                if len(seeds) > 1
                else 0.0
            )
            row |= {
                "vs full": f"{difference:+.1f}",
                "p": "" if np.isnan(p_value) else f"{p_value:.3f}",
                "": verdict(difference, p_value, spread),
            }
        row["paper J&F"] = f"{paper[name][0]:.1f}" if name in paper else "not in it"
        row[DIFFERS] = differs[name]
        rows.append(row)
    return pd.DataFrame(rows).fillna("").set_index("variant")


def references_table(rows: pd.DataFrame, differs: str) -> pd.DataFrame:
    """Table 5: reference policies at test time of one trained network, per cent."""
    policies = rows.groupby("policy", sort=False)
    table = policies[list(MEASURES)].mean().mul(100).round(1)
    for name, (title, factor) in STABILITY.items():
        table[title] = (factor * policies[name].mean()).round(1)
    first = rows[rows.policy == "first"].set_index("clip")["J&F"] * 100
    tests = {
        policy: paired(group.set_index("clip")["J&F"] * 100, first)
        for policy, group in policies
        if policy != "first"
    }
    table["vs first"] = [
        _tested(*tests[policy]) if policy in tests else "" for policy in table.index
    ]
    table["paper"] = [PAPER_TABLE_5.get(p, "not in it") for p in table.index]
    table[DIFFERS] = differs
    return table


def _tested(difference: float, p_value: float) -> str:
    return f"{difference:+.1f} ({'too few clips to test' if np.isnan(p_value) else f'p = {p_value:.3f}'})"


def reference_use(rows: pd.DataFrame, control: str) -> str:
    """Does the network use its reference? `first` against the control, whose reference shows another clip."""
    scores = rows.set_index("clip").groupby("policy")["J&F"]
    change, p_value = paired(scores.get_group(control) * 100, scores.get_group("first") * 100)
    said = f"With another clip's frame as reference the J&F of the main training changes by {_tested(change, p_value)}"
    if np.isnan(p_value):
        return f"{said}."
    used = p_value < SIGNIFICANT and change < 0
    return f"{said}: it {'uses' if used else 'makes no measurable use of'} motion."


def imbalance_gains(rows: pd.DataFrame, ours: str = "full") -> pd.DataFrame:
    """Gain of `ours` in J near the limbs, per cent: columns other, seed, level, gain (mean over scenes)."""
    means = rows.groupby(["variant", "seed", "level"])["J_limbs"].mean().mul(100).unstack("variant")
    gains = means.drop(columns=ours).rsub(means[ours], axis=0)
    return gains.melt(var_name="other", value_name="gain", ignore_index=False).reset_index()


def imbalance_slopes(rows: pd.DataFrame) -> pd.DataFrame:
    """Does the gain grow with imbalance? Slope of gain over level per seed, its mean, spread, and a t-test against 0."""
    gains, table = imbalance_gains(rows), []
    for other, gain in gains.groupby("other"):
        slopes = [np.polyfit(group.level, group.gain, 1)[0] for _, group in gain.groupby("seed")]
        p_value = stats.ttest_1samp(slopes, 0).pvalue if len(slopes) > 1 else float("nan")
        mean = float(np.mean(slopes))
        if np.isnan(p_value) or p_value >= SIGNIFICANT:
            says = "no trend beyond the spread of the seeds"
        else:
            says = (
                "the gain grows with imbalance" if mean > 0 else "the gain shrinks with imbalance"
            )
        deviation = float(np.std(slopes, ddof=1)) if len(slopes) > 1 else 0.0
        table.append(
            {
                "full against": NAMES.get(other, other),
                "gain at rest": gain[gain.level == gain.level.min()].gain.mean(),
                "gain at the fastest": gain[gain.level == gain.level.max()].gain.mean(),
                "slope per level": mean,
                "± over seeds": deviation,
                "p": p_value,
                "": says,
            }
        )
    return pd.DataFrame(table, columns=SLOPES).set_index("full against").round(3)


def write_table_files(table: pd.DataFrame, path: Path, note: str) -> None:
    """Writes `path`.md, .csv and .tex; the first and the last with a note on how the numbers came about."""
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
        out: folder for `table3`, `table4`, `table5`, `ours`, `imbalance` and `conclusion.txt`.
    """
    config = load_config(params)
    run, note = config.ablation.run, how_trained(config)
    differs = {}
    for name in run:
        one_seed = next(iter(variant_configs(params, name).values()))
        differs[name] = differs_from_paper(one_seed)
    clips = read_variants(variants, "clips", run)
    groups = {"table3": PAPER_TABLE_3, "table4": PAPER_TABLE_4}
    for name, paper in groups.items():
        write_table_files(ablation_table(clips, list(paper), paper, differs), out / name, note)
    of_the_paper = {*PAPER_TABLE_3, *PAPER_TABLE_4}
    ours = [name for name in run if name == "full" or name not in of_the_paper]
    if len(ours) > 1:
        write_table_files(ablation_table(clips, ours, {}, differs), out / "ours", note)
    policies = pd.read_csv(references)
    table5 = references_table(policies, differs_from_paper(config))
    write_table_files(table5, out / "table5", "The network of the main training.")
    slopes = imbalance_slopes(read_variants(variants, "imbalance", run))
    write_table_files(slopes, out / "imbalance", note)
    write_text(out / "conclusion.txt", f"{conclusion(slopes)} {reference_use(policies, CONTROL)}\n")


def conclusion(slopes: pd.DataFrame) -> str:
    """The imbalance experiment in a sentence per comparison."""
    if slopes.empty:
        return f"Not compared: of {', '.join(COMPARED)} only one was run."
    return " ".join(
        f"Against '{other}' the gain near the limbs is {row['gain at rest']:+.1f} at rest and "
        f"{row['gain at the fastest']:+.1f} at the fastest limbs: {row['']} (p = {row['p']:.2f})."
        for other, row in slopes.iterrows()
    )


def how_trained(config: Config) -> str:
    """How the variants of a table were trained, tested and how often."""
    short = ", ".join(f"{name} = {value}" for name, value in config.ablation.set.items())
    trained = (
        f"Short trainings, for comparison with each other only ({short})"
        if short
        else "Whole trainings"
    )
    return f"{trained}; {len(config.ablation.seeds)} seeds. p: Wilcoxon signed-rank test across clips, means over seeds."
