"""data/casts, docs/study: the study of motion, which is no part of `dvc repro`: it takes hours and
its results are recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pdnet.base.lock import only_writer
from pdnet.config import CASTS, CHECKPOINT, STUDY_WORK
from pdnet.data.layout import read_tree
from pdnet.experiments.record import PARAMETERS, read_shard
from pdnet.experiments.study import StudyFolders, run_study
from pdnet.report.study import write_figures
from pdnet.report.study_examples import EXAMPLES, examples, write_examples

SHOWN = ("no-ipda", "full", "ours")  # rows whose masks are drawn
EVERY = 6  # of the evaluated casts one is drawn


def run(params: Path, out: Path, shard: str = "1/1", rows: Sequence[str] = ()) -> list[str]:
    """Trains, scores, writes the tables and draws them.

    Args:
        params: parameter file.
        out: folder for the tables.
        shard: `2/3` does the second third of the trainings.
        rows: whose trainings; all of `study.run` without any named.

    Returns:
        the trainings that are neither done nor recorded, as `row seed`.
    """
    part = read_shard(shard)
    places = StudyFolders(data=CASTS, work=STUDY_WORK, out=out)
    with only_writer(STUDY_WORK):
        missing = run_study(params, places, part, rows)
    if (out / "summary.md").is_file():
        write_figures(out)
    _draw_examples(places)
    return missing


def _draw_examples(places: StudyFolders) -> None:
    """`examples`, if a training of each row that it shows is here; else it stays as recorded."""
    trained = {name: sorted((places.work / name).glob(f"*/{PARAMETERS}")) for name in SHOWN}
    if all(trained.values()):
        checkpoints = {name: notes[0].with_name(CHECKPOINT.name) for name, notes in trained.items()}
        clips = read_tree(places.data).clips("val")[::EVERY]
        write_examples(examples(checkpoints, clips), places.out / EXAMPLES)
