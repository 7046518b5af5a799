"""Tables 1 and 2: our interactions, the masks of others, and what the paper reports, each row
marked as what it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from pdnet.config import ComparisonConfig, Config, load_config, method_configs
from pdnet.data.images import read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.errors import InputError
from pdnet.experiments.names import TITLES
from pdnet.experiments.paper import PAPER_TABLE_1, PAPER_TABLE_2
from pdnet.experiments.statistics import (
    FEWEST_CLIPS,
    bootstrap_interval,
    holm,
    mean_interval,
    paired,
    smallest_p,
)
from pdnet.experiments.tables import differs_from_paper, write_table_files
from pdnet.metrics.evaluator import score_folder
from pdnet.metrics.region_contour import COLUMNS
from pdnet.metrics.saliency import absolute_error, structure_measure
from pdnet.metrics.stability import clip_flows, mean_stability

OURS = "ipda"
MEASURE = "J&F-Mean"
NATIVE, SCORED, REPORTED = "native", "scored masks", "reported"
# rows' column -> the table's, its factor and its decimals
VALUES = {
    **{name: (name.removesuffix("-Mean"), 100, 1) for name in COLUMNS},
    "S": ("S", 1, 3),
    "MAE": ("MAE", 1, 3),
    "warped_iou": ("warped IoU", 100, 1),
    "flicker": ("flicker", 1, 1),
}
INTERVAL, AGAINST, AGAINST_INTERVAL, P_VALUE = (
    "95 % interval",
    "vs PDNet",
    "95 % interval of that",
    "p (Holm)",
)


def write_comparison(params: Path, data: Path, methods: Path, out: Path) -> None:
    """Writes `comparison` (the table), `pairs` (every two rows against each other) and `clips` (by
    clip) as Markdown, CSV and LaTeX.

    Args:
        params: parameter file.
        data: working copy, on which the masks of others are scored.
        methods: a folder a method, by `experiments.compare`.
        out: for the files.

    Raises:
        InputError: a method was not run, or on other clips; a folder of masks lacks some, or bears
            the name of a row of ours.
    """
    config = load_config(params)
    rows = read_methods(methods, config.comparison)
    clips = {clip.name for clip in read_tree(data).clips(config.evaluate.set)}
    for name in config.comparison.run:
        if set(rows[rows.method == TITLES[name]]["clip"]) != clips:
            raise InputError(
                f"{methods / name}/clips.csv: not of the clips in {data}, list "
                f"'{config.evaluate.set}'; `dvc repro compare@{name}` scores again"
            )
    others = external_rows(config, data)
    rows = pd.concat([rows, others], ignore_index=True)
    costs = {name: _facts(methods / name) for name in config.comparison.run}
    table = comparison_table(rows, costs, paper_rows(config.data.source))
    one_seed = next(iter(method_configs(params, OURS).values()))
    note = _note(config, differs_from_paper(one_seed), rows["clip"].nunique())
    write_table_files(table, out / "comparison", note)
    write_table_files(pairs_table(rows), out / "pairs", note)
    write_table_files(clips_table(rows), out / "clips", note)


def read_methods(folder: Path, options: ComparisonConfig) -> pd.DataFrame:
    """Rows method, kind, seed, clip, values of the methods that the profile runs."""
    tables = []
    for name in options.run:
        file = _made(folder / name / "clips.csv")
        # a clip may be called 01
        table = pd.read_csv(file, dtype={"clip": str})
        tables.append(table.assign(method=TITLES[name], kind=NATIVE))
    return pd.concat(tables, ignore_index=True)


def _made(file: Path) -> Path:
    """A file of a method's folder; that of a method that was left out holds nothing."""
    if not file.is_file() or file.stat().st_size <= 1:
        raise InputError(f"{file}: not there; `dvc repro compare@{file.parent.name}` makes it")
    return file


def external_rows(config: Config, data: Path) -> pd.DataFrame:
    """Rows of the same kind of the folders of masks under `comparison.external`; S-measure and MAE
    are those of binary masks.
    """
    options, rows = config.evaluate, []
    clips = {clip.name: clip for clip in read_tree(data).clips(options.set)}
    for name, place in config.comparison.external.items():
        if name in TITLES.values():
            raise InputError(
                f"comparison.external: '{name}' is the title of a row of ours; give another name"
            )
        folder = Path(place).expanduser()
        how = {"include_first_last": options.include_first_last}
        for clip, score in score_folder(folder, data, options.set, **how).items():
            whole, flows = clips[clip], {clip: clip_flows(clips[clip])}
            row = {"method": name, "kind": SCORED, "seed": 0, "clip": clip, **score.row()}
            row |= _maps(whole, folder, score.frames) | mean_stability([whole], flows, folder)
            rows.append(row)
    return pd.DataFrame(rows)


def _maps(clip: Clip, folder: Path, stems: Sequence[str]) -> dict[str, float]:
    """Mean S-measure and MAE of binary masks."""
    structure, error = 0.0, 0.0
    for stem in stems:
        truth = read_mask(clip.mask(stem))
        found = read_mask(folder / clip.name / f"{stem}.png").astype(float)
        structure += structure_measure(found, truth) / len(stems)
        error += absolute_error(found, truth) / len(stems)
    return {"S": structure, "MAE": error}


def paper_rows(source: str) -> pd.DataFrame:
    """What the paper reports: its Table 2 beside PP-HumanSeg14K, else its Table 1 (MVPS)."""
    table, columns = PAPER_TABLE_1, list(COLUMNS)
    if source == "pp_humanseg14k":
        table, columns = PAPER_TABLE_2, ["J&F-Mean", "J-Mean", "F-Mean"]
    rows = pd.DataFrame.from_dict(table, orient="index", columns=columns)
    rows = rows.rename(columns={name: VALUES[name][0] for name in columns})
    return rows.map("{:.1f}".format).assign(row=REPORTED)


def comparison_table(
    rows: pd.DataFrame, costs: dict[str, dict[str, float]], paper: pd.DataFrame
) -> pd.DataFrame:
    """A row a method: means over clips and seeds, J&F with its interval over both, its difference
    to PDNet, costs; then the paper's rows.

    Args:
        rows: method, kind, seed, clip, values in shares.
        costs: interaction -> `compare.facts`.
        paper: `paper_rows`.
    """
    against = _against_ours(rows)
    table = []
    for method, of_method in rows.groupby("method", sort=False):
        by_seed = of_method.groupby("seed")[list(VALUES)].mean().mean()
        row = {"method": method, "row": of_method["kind"].iloc[0]}
        for column, (title, factor, decimals) in VALUES.items():
            row[title] = f"{factor * by_seed[column]:.{decimals}f}"
            if column == MEASURE:
                low, high = mean_interval(_clips_by_seeds(of_method))
                row[INTERVAL] = f"{low:.1f} to {high:.1f}"
        table.append(row | against[method])
    names = {TITLES[name]: cost for name, cost in costs.items()}
    whole = pd.DataFrame(table).set_index("method")
    for column, (title, decimals) in {
        "parameters": ("parameters (M)", 2),
        "live_parameters": ("of these live (M)", 2),
        "gmacs": ("GMACs", 2),
        "memory_mib": ("memory (MiB)", 1),
    }.items():
        unit = 1e6 if title.endswith("(M)") else 1
        texts = []
        for method in whole.index:
            value = names.get(method, {}).get(column)
            texts.append("" if value is None else f"{value / unit:.{decimals}f}")
        whole[title] = texts
    return pd.concat([whole, paper.rename_axis("method")]).fillna("")


def _against_ours(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Difference of each method to PDNet, tested across clips, corrected for their number."""
    ours = _clips_by_seeds(rows[rows.method == TITLES[OURS]])
    said = {TITLES[OURS]: dict.fromkeys((AGAINST, AGAINST_INTERVAL, P_VALUE), "")}
    values = {
        name: _clips_by_seeds(group)
        for name, group in rows.groupby("method", sort=False)
        if name != TITLES[OURS]
    }
    tests = [paired(value.mean(axis=1), ours.mean(axis=1)) for value in values.values()]
    corrected = holm([p_value for _, p_value in tests])
    for (name, value), (difference, _), p_value in zip(
        values.items(), tests, corrected, strict=True
    ):
        low, high = bootstrap_interval(value.to_numpy(), ours.reindex(value.index).to_numpy())
        said_p = _p_text(p_value, len(value))
        texts = (f"{difference:+.1f}", f"{low:+.1f} to {high:+.1f}", said_p)
        said[name] = dict(zip((AGAINST, AGAINST_INTERVAL, P_VALUE), texts, strict=True))
    return said


def _p_text(p_value: float, clips: int) -> str:
    if not pd.isna(p_value):
        return f"{p_value:.3f}"
    return "too few clips" if clips < FEWEST_CLIPS else "no difference"


def _clips_by_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """J&F in per cent: a row a clip, a column a seed."""
    return rows.pivot(index="clip", columns="seed", values=MEASURE) * 100


def pairs_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Every two methods: difference of J&F (row less column), p across clips after Holm for all
    pairs in brackets.
    """
    means = {
        name: _clips_by_seeds(group).mean(axis=1)
        for name, group in rows.groupby("method", sort=False)
    }
    names = list(means)
    # each below the diagonal: row less column
    pairs = [(a, b) for b, a in combinations(names, 2)]
    tests = [paired(means[a], means[b]) for a, b in pairs]
    corrected = holm([p_value for _, p_value in tests])
    table = pd.DataFrame("", index=pd.Index(names, name="method"), columns=names)
    for (a, b), (difference, _), p_value in zip(pairs, tests, corrected, strict=True):
        table.loc[a, b] = f"{difference:+.1f} ({_p_text(p_value, len(means[a]))})"
    return table


def clips_table(rows: pd.DataFrame) -> pd.DataFrame:
    """J&F in per cent of each clip, mean over seeds: where each method wins or loses."""
    values = rows.pivot_table(index="clip", columns="method", values=MEASURE, sort=False) * 100
    return values[list(dict.fromkeys(rows.method))].round(1)


def _facts(folder: Path) -> dict[str, float]:
    return json.loads(_made(folder / "facts.json").read_text())


def _note(config: Config, differs: str, clips: int) -> str:
    options = config.comparison
    short = ", ".join(f"{name} = {value}" for name, value in options.set.items())
    trained = f"short trainings ({short})" if short else "whole trainings"
    return (
        f"Native rows: one encoder, one data set, one protocol (first annotated frame as "
        f"reference, or flow to the next annotated frame by {config.flow.method}), {trained}, "
        f"{len(options.seeds)} seed(s); they are no reproductions of the named methods, whose "
        f"interaction alone is theirs. They differ from the paper in {differs}. Reported rows are "
        f"the paper's, on its data. Intervals: bootstrap over {clips} clips and the seeds. p: "
        f"Wilcoxon's signed-rank test across clips, corrected after Holm; {clips} clips can give "
        f"none below {smallest_p(clips):.3f} before that. GMACs and memory are a frame's, its "
        "reference's memory at hand."
    )
