"""Work on every core with one progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_all_start_methods, get_context
from typing import TypeVar

from tqdm import tqdm

# a plain fork inherits the locks of OpenCV's, torch's and MLflow's threads and may hang
START_METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress(items: Iterable[Item], what: str, total: int | None = None, unit: str = "it") -> Iterable[Item]:
    """A progress bar with rate and time left; quiet in a log file (one line every half minute)."""
    return tqdm(items, desc=what, total=total, unit=unit, mininterval=0.5, dynamic_ncols=True)


def each(
    work: Callable[[Item], Result], items: Sequence[Item], what: str, workers: int = 0, unit: str = "it"
) -> list[Result]:
    """Runs `work` on every item in `workers` processes (0: all cores); results in the order of the items.

    Memory is bounded: at most a few items per worker are in flight. The first error ends the work.
    """
    workers = min(workers or cores(), len(items))
    if workers <= 1:
        return [work(item) for item in progress(items, what, unit=unit)]
    results: dict[int, Result] = {}
    with (
        ProcessPoolExecutor(workers, get_context(START_METHOD), _one_thread) as pool,
        tqdm(total=len(items), desc=what, unit=unit, mininterval=0.5, dynamic_ncols=True) as bar,
    ):
        waiting = {}
        queue = iter(enumerate(items))
        try:
            for index, item in queue:
                waiting[pool.submit(work, item)] = index
                if len(waiting) >= 4 * workers:
                    _collect(waiting, results, bar)
            while waiting:
                _collect(waiting, results, bar)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[i] for i in range(len(items))]


def _collect(waiting: dict, results: dict, bar: tqdm) -> None:
    future = next(as_completed(waiting))
    results[waiting.pop(future)] = future.result()
    bar.update()


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
