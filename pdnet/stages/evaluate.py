"""data/480p, models/pdnet.safetensors -> results: masks and scores of the evaluation clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pdnet.base.execution import execution, stage_run
from pdnet.base.files import file_hash
from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
from pdnet.base.run_text import admitted, markdown_table
from pdnet.base.tracking import Run, tracked
from pdnet.config import CHECKPOINT, RESULTS, WORKING, Config
from pdnet.data.layout import SCORED_ON, data_hash, read_tree
from pdnet.data.overlays import sheet
from pdnet.inference.evaluate import Evaluation, evaluate
from pdnet.inference.pictures import scored_picture
from pdnet.metrics.region_contour import ClipScore
from pdnet.model.checkpoint import load_network
from pdnet.model.device import seed_everything, take_machine

SHOWN_FRAMES = 4  # of the worst and of the best
TABLE_COLUMNS = ("J&F-Mean", "J-Mean", "F-Mean")


class ScoredFrame(NamedTuple):
    """A frame that MLflow shows: of which series, at which place in it, with which J."""

    series: str
    step: int
    j: float
    clip: str
    stem: str


def run(
    config: Config, data: Path = WORKING, checkpoint: Path = CHECKPOINT, out: Path = RESULTS
) -> Evaluation:
    """Predicts, scores and tracks."""
    seed_everything(config.seed)
    network = load_network(checkpoint).to(take_machine(config.machine))
    vouch(data)
    whole = execution(config.model_dump(mode="json"))
    with whole as above, stage_run(above, "evaluate") as own:
        with only_writer(out):
            evaluation = evaluate(network, data, out, options=config.evaluate, seed=config.seed)
        own.data(config.profile, data_hash(data, SCORED_ON), data, "evaluation")
        for name in ("methods.csv", f"per-sequence_results-{config.evaluate.set}.csv"):
            own.file(out / name)
        shown = _shown_frames(evaluation.scores)
        pictures = _pictures(shown, config, data=data, out=out)
        with _training_of(checkpoint, above.experiment) as training:
            for each in (own, training, above):
                _track(each, evaluation, shown)
            for key, step, picture in pictures:
                training.picture(picture, key, step)
                above.picture(picture, key, step)
    return evaluation


def _training_of(checkpoint: Path, experiment: str) -> AbstractContextManager[Run]:
    """The run that trained a checkpoint, if this store has it."""
    same = f"tags.checkpoint = '{file_hash(checkpoint)}'"
    return tracked(Run(experiment, same=same, finished=True))


def _track(run: Run, evaluation: Evaluation, shown: Sequence[ScoredFrame]) -> None:
    """Scores in per cent, the clips' too, speed, and the tables as the run's text."""
    named = {f"test/{admitted(name)}": value for name, value in evaluation.metrics.items()}
    for clip, score in evaluation.scores.items():
        named[f"test clips/{admitted(clip)}"] = 100 * score.row()["J&F-Mean"]
    for name, value in evaluation.speed.items():
        if name.startswith("fps"):
            named[f"timing/{name}"] = value
    run.metrics(0, **named)
    run.describe(_text(evaluation, shown))


def _text(evaluation: Evaluation, shown: Sequence[ScoredFrame]) -> str:
    """Methods, clips and the frames that are shown, in per cent, as Markdown."""
    clips = {name: score.row() for name, score in evaluation.scores.items()}
    frames = {f"{one.series} {one.step}: {one.clip} {one.stem}": {"J": one.j} for one in shown}
    tables = [
        markdown_table("method", evaluation.rows, TABLE_COLUMNS),
        markdown_table("clip", clips, TABLE_COLUMNS),
        markdown_table("frame", frames, ("J",)),
    ]
    return "\n\n".join(tables)


def _shown_frames(scores: Mapping[str, ClipScore]) -> list[ScoredFrame]:
    """The frames with the least J, then those with the largest."""
    frames = []
    for name, score in scores.items():
        frames += [(float(j), name, stem) for stem, j in zip(score.frames, score.j, strict=True)]
    frames.sort()
    worst = [ScoredFrame("worst", i, *frame) for i, frame in enumerate(frames[:SHOWN_FRAMES])]
    best = [ScoredFrame("best", i, *frame) for i, frame in enumerate(frames[::-1][:SHOWN_FRAMES])]
    return worst + best


def _pictures(
    shown: Sequence[ScoredFrame], config: Config, *, data: Path, out: Path
) -> list[tuple[str, int, np.ndarray]]:
    """Series, step and picture of each: hits green, missed orange, false pink."""
    clips = {clip.name: clip for clip in read_tree(data).clips(config.evaluate.set)}
    pictures = []
    for one in shown:
        picture = scored_picture(clips[one.clip], one.stem, out / "predictions")
        pictures.append((f"{one.series} frames", one.step, sheet([[picture]])))
    return pictures
