"""Scoring a folder of masks against a data set, as the MVPS evaluator does; its result files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdnet.base.files import write_json, write_table
from pdnet.base.parallel import each
from pdnet.data.images import read_labels, read_mask
from pdnet.data.layout import SHOWN_PROBLEMS, Clip, read_tree
from pdnet.errors import InputError
from pdnet.metrics.region_contour import COLUMNS, ClipScore, frame_scores

BINARY = (0, 1, 255)  # values a binary mask may hold
CHUNK = 40  # frames that a worker scores at a time
WORTH_WORKERS = 200  # fewer frames are scored sooner than workers start


@dataclass(frozen=True)
class Chunk:
    """Frames of a clip that a worker scores."""

    clip: Clip
    predictions: Path
    frames: tuple[str, ...]
    threshold: float | None


def read_prediction(path: Path, size: tuple[int, int], threshold: float | None) -> np.ndarray:
    """A predicted mask, (H, W) bool.

    Args:
        path: PNG.
        size: (H, W) of the annotation.
        threshold: on value / 255 for grey predictions; None refuses them. The official evaluator
            casts grey to foreground, so that a probability of 0.4 % counts.

    Raises:
        InputError: missing, damaged, another size, or grey without a threshold.
    """
    labels = read_labels(path)
    if labels.shape != size:
        raise InputError(
            f"{path}: prediction is {labels.shape[1]}x{labels.shape[0]}, its annotation "
            f"{size[1]}x{size[0]}; "
            "resize the probability before the threshold, not the mask after it"
        )
    if threshold is not None:
        return labels > threshold * 255
    foreground = labels > 0
    peak = labels.max(initial=0)
    # 0/1 and 0/255 are both in use; anything between means that nobody cut the probability
    several_values = np.count_nonzero(labels == peak) != np.count_nonzero(foreground)
    if peak not in BINARY or (peak > 0 and several_values):
        raise InputError(
            f"{path}: grey values (peak {peak}), not a binary mask; give --threshold 0.5 to cut "
            "at one half"
        )
    return foreground


def _score(job: Chunk) -> list[tuple[float, float]]:
    """J and F of every frame of a job."""
    values = []
    for stem in job.frames:
        truth = read_mask(job.clip.mask(stem))
        prediction = read_prediction(
            job.predictions / job.clip.name / f"{stem}.png", truth.shape, job.threshold
        )
        values.append(frame_scores(prediction, truth))
    return values


def score_folder(
    predictions: Path,
    root: Path,
    set_name: str = "val",
    *,
    include_first_last: bool = False,
    threshold: float | None = None,
    workers: int = 0,
) -> dict[str, ClipScore]:
    """Scores every clip of a split.

    Args:
        predictions: `<clip>/<frame>.png`, binary at the annotation's size.
        root: data set in the MVPS layout.
        set_name: `train` or `val`.
        include_first_last: score those frames too.
        threshold: see `read_prediction`.
        workers: processes, 0 for all cores.

    Returns:
        clip name -> its scores, in the order of the split list.

    Raises:
        InputError: missing predictions (up to 20 named) and whatever `read_prediction` refuses.
    """
    if not predictions.is_dir():
        raise InputError(f"{predictions}: no such folder of predictions")
    clips = read_tree(root).clips(set_name)
    for clip in clips:
        if not clip.frames:
            raise InputError(f"{clip.name}: no annotations in {root}/Annotations/480p")
    frames = {clip.name: clip.scored_frames(include_first_last) for clip in clips}
    paths: list[Path] = []
    for name, stems in frames.items():
        paths += [predictions / name / f"{stem}.png" for stem in stems]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        shown = [str(path) for path in missing[:SHOWN_PROBLEMS]]
        raise InputError(
            "\n".join([f"{predictions}: {len(missing)} prediction(s) missing", *shown])
        )
    jobs: list[Chunk] = []
    for clip in clips:
        stems = frames[clip.name]
        chunks = [stems[start : start + CHUNK] for start in range(0, len(stems), CHUNK)]
        jobs += [Chunk(clip, predictions, chunk, threshold) for chunk in chunks]
    if len(paths) < WORTH_WORKERS:
        workers = workers or 1
    values: dict[str, list[tuple[float, float]]] = {name: [] for name in frames}
    for job, scored in zip(
        jobs, each(_score, jobs, "score", workers=workers, unit="chunk"), strict=True
    ):
        values[job.clip.name] += scored
    return {name: ClipScore(frames[name], *np.array(scored).T) for name, scored in values.items()}


def overall(scores: dict[str, ClipScore]) -> dict[str, float]:
    """Mean over clips of every column."""
    rows = [score.row() for score in scores.values()]
    return {name: float(np.mean([row[name] for row in rows])) for name in COLUMNS}


def write_results(scores: dict[str, ClipScore], out: Path, set_name: str) -> None:
    """Writes the official evaluator's two CSV files (six decimals) and a JSON with per-frame
    values.
    """
    write_table(out / f"global_results-{set_name}.csv", [_six_decimals(overall(scores))])
    rows = {name: score.row() for name, score in scores.items()}
    sequences = [{"Sequence": name, **_six_decimals(row)} for name, row in rows.items()]
    write_table(out / f"per-sequence_results-{set_name}.csv", sequences)
    frames = {
        name: {
            "frames": list(score.frames),
            "J": score.j.tolist(),
            "F": score.f.tolist(),
            **rows[name],
        }
        for name, score in scores.items()
    }
    write_json(out / f"per-frame_results-{set_name}.json", frames)


def _six_decimals(row: dict[str, float]) -> dict[str, str]:
    return {name: f"{row[name]:.6f}" for name in COLUMNS}
