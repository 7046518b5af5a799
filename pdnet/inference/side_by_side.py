"""Segmenters on the same frames, in one process, in turn: how well and how fast each does.

A frame by each, then the next: whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import torch

from pdnet.base.parallel import progress
from pdnet.config import EvaluateConfig
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip, Tree
from pdnet.errors import InputError
from pdnet.inference.near import Begin, Masks, film_masks
from pdnet.inference.peers import PeerNetwork
from pdnet.inference.people import Cutter
from pdnet.inference.score import MEANS
from pdnet.metrics.region_contour import ClipScore, frame_scores
from pdnet.model import PDNet

FEWEST_FRAMES = 3  # of a clip: the first and the last are not scored


def our_way(network: PDNet, options: EvaluateConfig) -> Begin:
    """A network of ours, with the first frame as reference, as `pdnet segment` goes about it."""
    how = {"threshold": options.threshold, "people": options.people, "look": options.look}
    return film_masks(network, **how)


def peers_way(network: PeerNetwork) -> Begin:
    """A peer, which looks at each frame by itself."""

    def begin(_: np.ndarray) -> Masks:
        cut = Cutter(network.peer.people, threshold=network.peer.threshold)
        return lambda frame: cut.mask(network.probability(frame))

    return begin


def chosen_clips(tree: Tree, names: Sequence[str]) -> list[Clip]:
    """The named clips; without names the evaluation list.

    Raises:
        InputError: no such clip.
    """
    if not names:
        return list(tree.clips("val"))
    known = {clip.name: clip for clip in tree.every_clip()}
    for name in names:
        if name not in known:
            raise InputError(f"{tree.root}: no clip '{name}'; known: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]


def side_by_side(
    ways: Mapping[str, Begin], clips: Sequence[Clip], *, frames: int | None = None
) -> dict[str, Any]:
    """Measures every way on every clip, with one thread.

    Args:
        ways: name -> segmenter.
        clips: with masks.
        frames: at most so many of a clip, from its beginning: some ways look at what was before.

    Returns:
        `ways`: name -> J&F, J and F (per cent, mean over clips; of the frames that were gone
        through, the first and last are left out), `cpu_ms` and `wall_ms` of the median frame from
        the decoded picture to the mask at its size (first frames, which prepare, left out), and
        `clips` -> J&F, J and F; `frames`: how many were scored; `processor`.

    Raises:
        InputError: a clip with fewer than three frames, or what a peer says of its output.
    """
    stems = {clip.name: clip.frames[:frames] for clip in clips}
    for name, of_clip in stems.items():
        if len(of_clip) < FEWEST_FRAMES:
            raise InputError(
                f"{name}: {len(of_clip)} frame(s), at least {FEWEST_FRAMES} are wanted"
            )
    scores: dict[str, dict[str, ClipScore]] = {name: {} for name in ways}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    total = sum(len(of_clip) for of_clip in stems.values())
    with one_thread(), progress(None, "frames", total=total, unit="frame") as bar:
        for clip in clips:
            values = _clip(ways, clip, stems[clip.name], times=times, done=bar.update)
            for name, rows in values.items():
                j, f = np.array(rows).T
                scores[name][clip.name] = ClipScore(stems[clip.name][1:-1], j, f)
    return {
        "ways": {name: _summary(scores[name], times[name]) for name in ways},
        "frames": sum(len(of_clip) - 2 for of_clip in stems.values()),
        "processor": platform.machine(),
    }


def _clip(
    ways: Mapping[str, Begin],
    clip: Clip,
    stems: Sequence[str],
    *,
    times: Mapping[str, list[tuple[float, float]]],
    done: Callable[[], object],
) -> dict[str, list[tuple[float, float]]]:
    """J and F of each way's scored frames; each frame's seconds are appended to `times`."""
    first = read_frame(clip.frame(stems[0]))
    masks = {name: begin(first) for name, begin in ways.items()}
    values: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for stem in stems:
        frame, truth = read_frame(clip.frame(stem)), read_mask(clip.mask(stem))
        if frame.shape[:2] != truth.shape:
            raise InputError(f"{clip.mask(stem)}: of another size than its frame")
        for name, mask_of in masks.items():
            cpu, wall = time.process_time(), time.perf_counter()
            mask = mask_of(frame)
            seconds = (time.process_time() - cpu, time.perf_counter() - wall)
            if stem != stems[0]:
                times[name].append(seconds)
            if stem not in (stems[0], stems[-1]):
                values[name].append(frame_scores(mask, truth))
        done()
    return values


def _summary(
    scores: Mapping[str, ClipScore], times: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    rows = {clip: score.row() for clip, score in scores.items()}
    by_clip = {clip: {m: 100 * row[m] for m in MEANS} for clip, row in rows.items()}
    means = {m: float(np.mean([row[m] for row in by_clip.values()])) for m in MEANS}
    cpu, wall = 1000 * np.median(np.array(times), axis=0)
    return {**means, "cpu_ms": float(cpu), "wall_ms": float(wall), "clips": by_clip}


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV and torch compute on one core: what a thread more is worth is another question, and
    threads that wait for each other on a busy machine are no answer to it.
    """
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def table(result: Mapping[str, Any]) -> str:
    """The measurements as text, best first."""
    ways = sorted(result["ways"].items(), key=lambda item: -item[1]["J&F-Mean"])
    width = max(len("segmenter"), *(len(name) for name, _ in ways))
    lines = [f"{'segmenter':{width}s}   J&F     J     F  frames/s (CPU)  frames/s (clock)"]
    for name, row in ways:
        scores = " ".join(f"{row[measure]:5.1f}" for measure in MEANS)
        fps = f"{1000 / row['cpu_ms']:15.1f} {1000 / row['wall_ms']:17.1f}"
        lines.append(f"{name:{width}s} {scores} {fps}")
    clips = len(next(iter(result["ways"].values()))["clips"])
    lines.append(
        f"{clips} clip(s), {result['frames']} frames scored, one thread, {result['processor']}"
    )
    return "\n".join(lines)
