"""The study of motion: whole trainings on casts, where looks cannot decide; every row with its own
reference, with an unrelated one, and by its encoder's own head.

It can be stopped at any time and goes on; `shard` lets several machines share it. What is recorded
stays when one training is repeated or a row is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pdnet.base.files import write_table
from pdnet.base.imports import code_hash
from pdnet.base.manifest import bring
from pdnet.base.parallel import each
from pdnet.config import Config, study_configs
from pdnet.data.layout import SCORED_ON, data_hash, read_tree
from pdnet.errors import InputError
from pdnet.experiments.alive import oracle_row
from pdnet.experiments.record import KeyedTraining, Record, rounded, share_of
from pdnet.experiments.seeds import side_by_side
from pdnet.experiments.study_measures import measure, measure_series
from pdnet.experiments.study_tables import write_imbalance, write_summary
from pdnet.experiments.variants import Flows, Rows
from pdnet.model import PDNet
from pdnet.sample.cast_series import LEVELS, cast_series, series_units
from pdnet.sources.clips import cast_clips
from pdnet.sources.trees import Clips, composed


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
    def record(self) -> Record:
        """The tables, one for each kind of what is measured."""
        kinds = ("clips", "curves", "members", "imbalance")
        return Record(self.out, self.work, ("variant", "seed"), kinds)


def trainings(params: Path) -> list[KeyedTraining]:
    """Every training of the study: its rows with each seed.

    Raises:
        InputError: `study.run` names no row.
    """
    configs = study_configs(params)
    if not configs:
        raise InputError("study.run: empty; name the variants that are to be trained")
    every = []
    for name, seeds in configs.items():
        every += [KeyedTraining((name, str(seed)), config) for seed, config in seeds.items()]
    return every


def render(config: Config, places: StudyFolders) -> None:
    """Brings the casts and the imbalance series on them; what is there already stays."""
    scripts = cast_series(LEVELS, seed=config.seed)
    names = {"train": [], "val": [script.name for script in scripts]}
    trees = {places.data: cast_clips(config), places.series: Clips(series_units(scripts), names)}
    for root, clips in trees.items():
        what = f"render {root.name}"
        bring(root, composed({what: clips}), what, workers=config.machine.workers)


def _train_and_score(training: KeyedTraining, *, places: StudyFolders, flows: Flows) -> None:
    options = training.config.evaluate

    def score(network: PDNet) -> Rows:
        rows = measure(network, places.data, options, flows)
        return rows | {"imbalance": measure_series(network, places.series, options)}

    said = {
        "data": [data_hash(root, SCORED_ON) for root in (places.data, places.series)],
        "code": code_hash("pdnet.experiments.study_measures"),
    }
    places.record.train_and_score(training, places.data, said, score)


def write_study(every: Sequence[KeyedTraining], places: StudyFolders) -> list[str]:
    """Writes the tables of all trainings that are done or recorded, and `oracle.csv`.

    Returns:
        names of the others, see `Record.write`.
    """
    missing = places.record.write(every)
    rows = [rounded(oracle_row(clip)) for clip in read_tree(places.data).clips("val")]
    write_table(places.out / "oracle.csv", rows)
    return missing


def run_study(
    params: Path,
    places: StudyFolders,
    shard: tuple[int, int] = (1, 1),
    rows: Sequence[str] = (),
) -> list[str]:
    """The study from rendering to tables; see `share_of` and `write_study`.

    Raises:
        InputError: `study.run` names no row, or has not one that is asked for.
    """
    every = trainings(params)
    mine = share_of(every, shard, rows)
    # the rows differ in network and training, not in the casts
    config = every[0].config
    render(config, places)
    work = partial(_train_and_score, places=places, flows=Flows())
    each(work, mine, "study", workers=side_by_side(config.machine), unit="training")
    missing = write_study(every, places)
    if len(missing) < len(every):
        order = list(dict.fromkeys(training.key[0] for training in every))
        write_summary(places.out, order)
        write_imbalance(places.out, order)
    return missing
