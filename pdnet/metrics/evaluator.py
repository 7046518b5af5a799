"""Scoring a folder of masks against a data set, as the MVPS evaluator does; its result files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdnet.base.files import write_json, write_table
from pdnet.base.parallel import each
from pdnet.data.images import has_palette, read_labels, read_mask
from pdnet.data.layout import (
    MASK_SUFFIXES,
    SHOWN_PROBLEMS,
    Clip,
    images_by_stem,
    read_tree,
    twins,
)
from pdnet.errors import InputError
from pdnet.metrics.region_contour import COLUMNS, ClipScore, frame_scores

BINARY = (0, 1, 255, 65535)  # values a binary mask may hold; the last takes 16 bits
MASK, GREY, EITHER = "mask", "grey", "either"  # what a prediction is taken for
CHUNK = 40  # frames that a worker scores at a time
WORTH_WORKERS = 200  # fewer frames are scored sooner than workers start


@dataclass(frozen=True)
class Chunk:
    """Frames of a clip that a worker scores: the two masks of each, and how to read the first."""

    clip: str
    predictions: tuple[Path, ...]
    truths: tuple[Path, ...]
    threshold: float | None
    nonzero: bool


def read_prediction(
    path: Path, size: tuple[int, int], threshold: float | None = None, *, nonzero: bool = False
) -> np.ndarray:
    """A predicted mask, (H, W) bool.

    A picture is a mask where no pixel, or every pixel, or every pixel but those at 0 holds one
    value, and that value is 1, 255 or 65535: 0/1 and 0/255 in 8 or 16 bits, one bit, palette
    indices 0/1. With a threshold any other positive value will do if there are pixels at 0 beside
    it; a picture that holds one other value alone is grey. What is no mask is grey, in shares of
    255, or of 65535 where it has 16 bits.

    Args:
        path: PNG.
        size: (H, W) of the annotation.
        threshold: in 0..1, on the shares of a grey picture; a mask is itself at any threshold. None
            refuses grey. The official evaluator casts grey to foreground, so that a probability of
            0.4 % counts.
        nonzero: as the official evaluator does, take all that is not 0 as foreground.

    Raises:
        InputError: missing, damaged, another size, grey without a threshold, or several palette
            indices with one.
    """
    return _read(path, size, threshold, nonzero)[0]


def _read(
    path: Path, size: tuple[int, int], threshold: float | None, nonzero: bool
) -> tuple[np.ndarray, str]:
    """The mask of `read_prediction`, and whether it was one, grey, or might have been either: a
    mask that the threshold would cut away were it grey.
    """
    labels = read_labels(path)
    if labels.shape != size:
        raise InputError(
            f"{path}: prediction is {labels.shape[1]}x{labels.shape[0]}, its annotation "
            f"{size[1]}x{size[0]}; "
            "resize the probability before the threshold, not the mask after it"
        )
    foreground = labels > 0
    if nonzero:
        return foreground, MASK
    peak = labels.max(initial=0)
    marked = np.count_nonzero(foreground)
    # 0/1 and 0/255 are both in use; anything between means that nobody cut the probability
    one_value = peak == 0 or np.count_nonzero(labels == peak) == marked
    if threshold is None:
        if one_value and peak in BINARY:
            return foreground, MASK
        raise InputError(
            f"{path}: several or grey values (peak {peak}), not a binary mask; give --threshold "
            "0.5 to cut grey at one half, or --foreground nonzero to take all that is not 0"
        )
    cut = threshold * np.iinfo(labels.dtype).max
    if one_value and (peak in BINARY or marked < labels.size):
        return foreground, EITHER if 0 < peak <= cut else MASK
    if has_palette(path):
        raise InputError(
            f"{path}: palette indices up to {peak}, no grey to cut; leave --threshold out and give "
            "--foreground nonzero"
        )
    return labels > cut, GREY


def _score(job: Chunk) -> list[tuple[float, float, str]]:
    """J and F of every frame of a job, and what its prediction was taken for."""
    values = []
    for path, annotation in zip(job.predictions, job.truths, strict=True):
        truth = read_mask(annotation)
        prediction, kind = _read(path, truth.shape, job.threshold, job.nonzero)
        values.append((*frame_scores(prediction, truth), kind))
    return values


def score_folder(
    predictions: Path,
    root: Path,
    set_name: str = "val",
    *,
    include_first_last: bool = False,
    threshold: float | None = None,
    nonzero: bool = False,
    workers: int = 0,
) -> dict[str, ClipScore]:
    """Scores every clip of a split.

    Args:
        predictions: `<clip>/<frame>.png`, binary at the annotation's size.
        root: data set in the MVPS layout.
        set_name: `train` or `val`.
        include_first_last: score those frames too.
        threshold, nonzero: see `read_prediction`; not both.
        workers: processes, 0 for all cores.

    Returns:
        clip name -> its scores, in the order of the split list.

    Raises:
        InputError: missing predictions (up to 20 named), two files for one frame, masks among grey
            predictions that the threshold would cut away, and whatever `read_prediction` refuses.
    """
    if threshold is not None and (nonzero or not 0 <= threshold <= 1):
        raise InputError(
            f"--threshold {threshold}: expected a share in 0..1, without --foreground nonzero"
        )
    if not predictions.is_dir():
        raise InputError(f"{predictions}: no such folder of predictions")
    clips = read_tree(root).clips(set_name)
    frames = {clip.name: _annotated(clip, include_first_last) for clip in clips}
    truths = _files(root / "Annotations" / "480p", frames)
    given = _files(predictions, frames)
    jobs: list[Chunk] = []
    for name, stems in frames.items():
        for start in range(0, len(stems), CHUNK):
            chunk = slice(start, start + CHUNK)
            jobs.append(Chunk(name, given[name][chunk], truths[name][chunk], threshold, nonzero))
    if sum(len(stems) for stems in frames.values()) < WORTH_WORKERS:
        workers = workers or 1
    scored = each(_score, jobs, "score", workers=workers, unit="chunk")
    _refuse_a_mixture(jobs, scored)
    values: dict[str, list[tuple[float, float]]] = {name: [] for name in frames}
    for job, rows in zip(jobs, scored, strict=True):
        values[job.clip] += [(j, f) for j, f, _ in rows]
    return {name: ClipScore(frames[name], *np.array(rows).T) for name, rows in values.items()}


def _annotated(clip: Clip, include_first_last: bool) -> tuple[str, ...]:
    """The frames of a clip that count."""
    if not clip.frames:
        raise InputError(f"{clip.name}: no annotations in {clip.root}/Annotations/480p")
    return clip.scored_frames(include_first_last)


def _files(folder: Path, frames: dict[str, tuple[str, ...]]) -> dict[str, tuple[Path, ...]]:
    """The mask of every frame below `folder`, by clip."""
    files: dict[str, tuple[Path, ...]] = {}
    missing: list[Path] = []
    for name, stems in frames.items():
        there = images_by_stem(folder / name, MASK_SUFFIXES)
        if found := twins(there):
            raise InputError(found[0])
        missing += [folder / name / f"{stem}.png" for stem in stems if stem not in there]
        files[name] = tuple(there[stem][0] for stem in stems if stem in there)
    if missing:
        shown = [str(path) for path in missing[:SHOWN_PROBLEMS]]
        raise InputError("\n".join([f"{folder}: {len(missing)} prediction(s) missing", *shown]))
    return files


def _refuse_a_mixture(jobs: list[Chunk], scored: list[list[tuple[float, float, str]]]) -> None:
    """Among probabilities a picture of 0 and 1 is more likely a faint one than a mask."""
    kinds: dict[str, Path] = {}
    for job, rows in zip(jobs, scored, strict=True):
        for path, (*_, kind) in zip(job.predictions, rows, strict=True):
            kinds.setdefault(kind, path)
    if GREY in kinds and EITHER in kinds:
        raise InputError(
            f"{kinds[EITHER]}: a mask, or faint grey as {kinds[GREY]} is? It holds 0 and one value "
            "below the threshold; cut the probabilities before you store them"
        )


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
