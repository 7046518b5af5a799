"""The study of motion: whole trainings on casts, where looks cannot decide; every row with its own
reference, with an unrelated one, and by its encoder's own head.

It can be stopped at any time and goes on; `shard` lets several machines share it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pdnet.base.files import file_hash, value_hash, write_table, write_text
from pdnet.base.imports import code_hash
from pdnet.base.manifest import bring
from pdnet.base.parallel import progress
from pdnet.config import FEATURES, Config, study_configs
from pdnet.data.layout import SCORED_ON, data_hash, read_tree
from pdnet.errors import InputError
from pdnet.experiments.alive import oracle_row
from pdnet.experiments.seeds import with_each_seed
from pdnet.experiments.study_measures import Rows, measure, measure_series, rounded
from pdnet.experiments.study_tables import write_imbalance, write_summary
from pdnet.experiments.variants import Flows, known_under, network_to_score, train_once
from pdnet.sample.cast_series import LEVELS, cast_series, series_units
from pdnet.sources.clips import cast_clips
from pdnet.sources.trees import Clips, composed

Configs = Mapping[str, Mapping[int, Config]]  # row -> seed -> parameters


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


def trainings(configs: Configs, shard: tuple[int, int] = (1, 1)) -> list[tuple[str, dict]]:
    """Rows, with seeds and their parameters, that this machine is to train: every `shard[1]`-th
    training of `study_configs`, from the `shard[0]`-th on.
    """
    number, machines = shard
    place, mine = 0, []
    for name, seeds in configs.items():
        chosen = {}
        for seed, config in seeds.items():
            if place % machines == number - 1:
                chosen[seed] = config
            place += 1
        if chosen:
            mine.append((name, chosen))
    return mine


def render(config: Config, places: StudyFolders) -> None:
    """Brings the casts and the imbalance series on them; what is there already stays."""
    scripts = cast_series(LEVELS, seed=config.seed)
    names = {"train": [], "val": [script.name for script in scripts]}
    trees = {places.data: cast_clips(config), places.series: Clips(series_units(scripts), names)}
    for root, clips in trees.items():
        what = f"render {root.name}"
        bring(root, composed({what: clips}), what, workers=config.machine.workers)


def run_row(name: str, configs: Mapping[int, Config], places: StudyFolders) -> None:
    """Trains and scores one row with these seeds; what is done is not done again."""
    how = {"name": name, "places": places, "flows": Flows(places.data)}
    with_each_seed(partial(_train_and_score, **how), configs, name)


def _train_and_score(
    of_seed: tuple[int, Config], *, name: str, places: StudyFolders, flows: Flows
) -> None:
    seed, config = of_seed
    folder = places.work / name / str(seed)
    how = {"run_name": f"{name} {seed}", "parent": None, "features": places.features}
    train_once(config, places.data, folder, **how)
    score_once(config, folder, places, flows)


def score_once(config: Config, folder: Path, places: StudyFolders, flows: Flows) -> None:
    """Scores the checkpoint in `folder` unless done with the same options, data and code."""
    checkpoint = folder / "pdnet.safetensors"
    said = {
        "checkpoint": file_hash(checkpoint),
        "evaluate": config.evaluate.model_dump(mode="json"),
        "data": [data_hash(root, SCORED_ON) for root in (places.data, places.series)],
        "code": code_hash("pdnet.experiments.study_measures"),
    }
    key, note = value_hash(said), folder / "study.json"
    if known_under(note, key) is None:
        network = network_to_score(config, checkpoint, places.features)
        rows = measure(network, places.data, config.evaluate, flows)
        rows["imbalance"] = measure_series(network, places.series, config.evaluate)
        # not sorted: the order of a row's values is that of the tables' columns
        write_text(note, json.dumps({"key": key, "rows": rows}))


def write_study(configs: Configs, places: StudyFolders) -> list[str]:
    """Writes `clips.csv`, `curves.csv`, `members.csv`, `imbalance.csv` and `oracle.csv` of all
    trainings of `study_configs` that are done.

    Returns:
        the trainings that are not, as `row seed`.
    """
    tables: Rows = {"clips": [], "curves": [], "members": [], "imbalance": []}
    missing = []
    for name, seeds in configs.items():
        for seed in seeds:
            note = places.work / name / str(seed) / "study.json"
            if not note.is_file():
                missing.append(f"{name} {seed}")
                continue
            rows = json.loads(note.read_text())["rows"]
            for kind, values in rows.items():
                tables[kind] += [{"variant": name, "seed": seed, **row} for row in values]
    for kind, values in tables.items():
        write_table(places.out / f"{kind}.csv", values)
    rows = [rounded(oracle_row(clip)) for clip in read_tree(places.data).clips("val")]
    write_table(places.out / "oracle.csv", rows)
    return missing


def run_study(params: Path, places: StudyFolders, shard: tuple[int, int] = (1, 1)) -> list[str]:
    """The study from rendering to tables; see `write_study`.

    Raises:
        InputError: `study.run` names no row.
    """
    configs = study_configs(params)
    if not configs:
        raise InputError("study.run: empty; name the variants that are to be trained")
    mine = trainings(configs, shard)
    # the rows differ in network and training, not in the casts
    first = next(iter(next(iter(configs.values())).values()))
    render(first, places)
    for name, seeds in progress(mine, "study", unit="row"):
        run_row(name, seeds, places)
    missing = write_study(configs, places)
    if mine:
        write_summary(places.out, list(configs))
        write_imbalance(places.out, list(configs))
    return missing
