"""The study of motion: whole trainings on casts, where looks cannot decide; every row with its own
reference, with an unrelated one, and by its encoder's own head.

It can be stopped at any time and goes on; `shard` lets several machines share it. What is recorded
stays when one training is repeated or a row is added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pdnet.base.files import file_hash, need, value_hash, write_table, write_text
from pdnet.base.imports import code_hash
from pdnet.base.manifest import bring
from pdnet.base.parallel import each
from pdnet.config import FEATURES, Config, study_configs
from pdnet.data.layout import SCORED_ON, data_hash, read_tree
from pdnet.errors import InputError
from pdnet.experiments.alive import oracle_row
from pdnet.experiments.seeds import side_by_side
from pdnet.experiments.study_measures import Rows, measure, measure_series, rounded
from pdnet.experiments.study_tables import write_imbalance, write_summary
from pdnet.experiments.variants import Flows, network_to_score, rows_once, train_once
from pdnet.sample.cast_series import LEVELS, cast_series, series_units
from pdnet.sources.clips import cast_clips
from pdnet.sources.trees import Clips, composed
from pdnet.training.state import WATCHING

Configs = Mapping[str, Mapping[int, Config]]  # row -> seed -> parameters
Training = tuple[str, int, Config]  # row, seed, parameters
MEASURED = ("clips", "curves", "members", "imbalance")  # a table each
PARAMETERS = "parameters.txt"  # of what was trained and scored in a folder
TRAININGS = "trainings.csv"  # which trainings the tables hold, by parameters and checkpoint


@dataclass(frozen=True)
class StudyFolders:
    """Where the study finds and leaves its files.

    Attributes:
        data: rendered casts.
        work: checkpoints, resumable states and scores, `<row>/<seed>`.
        out: tables.
    """

    data: Path
    work: Path
    out: Path

    @property
    def series(self) -> Path:
        """The imbalance series on casts."""
        return self.data.with_name(f"{self.data.name}-imbalance")

    @property
    def features(self) -> Path:
        """Where the maps of a frozen encoder are kept."""
        return self.work / FEATURES.name


def trainings(
    configs: Configs, shard: tuple[int, int] = (1, 1), rows: Sequence[str] = ()
) -> list[Training]:
    """What this machine is to train: every `shard[1]`-th training of the rows (all without any
    named), from the `shard[0]`-th on.

    Raises:
        InputError: a row that the study has not.
    """
    for name in rows:
        if name not in configs:
            known = ", ".join(configs)
            raise InputError(f"--row: '{name[:40]}' is no row of the study; known: {known}")
    every: list[Training] = []
    for name, seeds in configs.items():
        if name in rows or not rows:
            every += [(name, seed, config) for seed, config in seeds.items()]
    number, machines = shard
    return every[number - 1 :: machines]


def render(config: Config, places: StudyFolders) -> None:
    """Brings the casts and the imbalance series on them; what is there already stays."""
    scripts = cast_series(LEVELS, seed=config.seed)
    names = {"train": [], "val": [script.name for script in scripts]}
    trees = {places.data: cast_clips(config), places.series: Clips(series_units(scripts), names)}
    for root, clips in trees.items():
        what = f"render {root.name}"
        bring(root, composed({what: clips}), what, workers=config.machine.workers)


def _train_and_score(training: Training, *, places: StudyFolders, flows: Flows) -> None:
    name, seed, config = training
    folder = places.work / name / str(seed)
    (folder / PARAMETERS).unlink(missing_ok=True)  # it is there when the rest is theirs
    how = {"run_name": f"{name} {seed}", "parent": None, "features": places.features}
    train_once(config, places.data, folder, **how)
    score_once(config, folder, places, flows)
    write_text(folder / PARAMETERS, parameters_hash(config))


def score_once(config: Config, folder: Path, places: StudyFolders, flows: Flows) -> None:
    """Scores the checkpoint in `folder` unless done with the same options, data and code."""
    checkpoint = folder / "pdnet.safetensors"
    said = {
        "checkpoint": file_hash(checkpoint),
        "evaluate": config.evaluate.model_dump(mode="json"),
        "data": [data_hash(root, SCORED_ON) for root in (places.data, places.series)],
        "code": code_hash("pdnet.experiments.study_measures"),
    }

    def score() -> Rows:
        network = network_to_score(config, checkpoint, places.features)
        rows = measure(network, places.data, config.evaluate, flows)
        return rows | {"imbalance": measure_series(network, places.series, config.evaluate)}

    rows_once(folder / "study.json", said, score)


def write_study(configs: Configs, places: StudyFolders) -> list[str]:
    """Writes `clips.csv`, `curves.csv`, `members.csv`, `imbalance.csv` and `oracle.csv` of all
    trainings of `study_configs` that are done here, or recorded with the same parameters, and
    `trainings.csv`, which says which these are.

    Returns:
        the trainings that are neither, as `row seed`.
    """
    recorded = _recorded(places.out)
    tables: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in MEASURED}
    held, missing = [], []
    for name, seed, config in trainings(configs):
        said = {"variant": name, "seed": str(seed), "parameters": parameters_hash(config)}
        known = _here(places.work / name / str(seed), said["parameters"])
        if known is None:
            known = recorded.get(tuple(said.values()))
        if known is None:
            missing.append(f"{name} {seed}")
            continue
        checkpoint, rows = known
        held.append({**said, "checkpoint": checkpoint})
        for kind in MEASURED:
            tables[kind] += [{"variant": name, "seed": seed, **row} for row in rows[kind]]
    for kind, values in tables.items():
        write_table(places.out / f"{kind}.csv", values)
    write_table(places.out / TRAININGS, held)
    rows = [rounded(oracle_row(clip)) for clip in read_tree(places.data).clips("val")]
    write_table(places.out / "oracle.csv", rows)
    return missing


def parameters_hash(config: Config) -> str:
    """Of what a training's numbers depend on beside code: 16 hex digits.

    Defaults are left out: a parameter that the project gets later, and that is off, leaves what was
    recorded valid. Whoever changes a default changes what a record means, and records anew.
    """
    groups = ("data", "preprocess", "model", "loss", "train", "evaluate")
    how = {"mode": "json", "exclude_defaults": True}
    said = {name: getattr(config, name).model_dump(**how) for name in groups}
    for watching in WATCHING:
        said["train"].pop(watching, None)
    return value_hash({**said, "seed": config.seed})[:16]


def _here(folder: Path, parameters: str) -> tuple[str, Rows] | None:
    """A training's checkpoint, as SHA-256, and rows, if it was done in this folder with these
    parameters.
    """
    known = folder / PARAMETERS
    if not known.is_file() or known.read_text() != parameters:
        return None
    rows = json.loads((folder / "study.json").read_text())["rows"]
    return file_hash(folder / "pdnet.safetensors"), rows


def _recorded(out: Path) -> dict[tuple[str, str, str], tuple[str, Rows]]:
    """Row, seed and parameters of the trainings that the tables hold -> checkpoint and rows, word
    by word.
    """
    if not (out / TRAININGS).is_file():
        return {}
    rows: dict[tuple[str, str], Rows] = {}
    for kind in MEASURED:
        for row in _words(out / f"{kind}.csv"):
            place = (row.pop("variant"), row.pop("seed"))
            rows.setdefault(place, {kind: [] for kind in MEASURED})[kind].append(row)
    return {
        (one["variant"], one["seed"], one["parameters"]): (
            one["checkpoint"],
            rows[one["variant"], one["seed"]],
        )
        for one in _words(out / TRAININGS)
    }


def _words(path: Path) -> list[dict[str, str]]:
    table = pd.read_csv(need(path, "pdnet study"), dtype=str, keep_default_na=False)
    return table.to_dict("records")


def run_study(
    params: Path,
    places: StudyFolders,
    shard: tuple[int, int] = (1, 1),
    rows: Sequence[str] = (),
) -> list[str]:
    """The study from rendering to tables; see `trainings` and `write_study`.

    Raises:
        InputError: `study.run` names no row, or has not one that is asked for.
    """
    configs = study_configs(params)
    if not configs:
        raise InputError("study.run: empty; name the variants that are to be trained")
    mine = trainings(configs, shard, rows)
    # the rows differ in network and training, not in the casts
    first = next(iter(next(iter(configs.values())).values()))
    render(first, places)
    work = partial(_train_and_score, places=places, flows=Flows(places.data))
    each(work, mine, "study", workers=side_by_side(first.machine), unit="training")
    missing = write_study(configs, places)
    if len(missing) < len(trainings(configs)):
        write_summary(places.out, list(configs))
        write_imbalance(places.out, list(configs))
    return missing
