"""Work on every core, with a progress bar, and what it took."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import current_process, get_context, parent_process
from typing import Any, TypeVar

from tqdm import tqdm

from pdnet.errors import InputError

PR_SET_PDEATHSIG = 1  # of Linux's prctl
# A plain fork inherits the locks of OpenCV's, torch's and MLflow's threads and may hang; a fork
# server's children don't die with the command, and would write on after it was killed.
START_METHOD = "spawn"
BEHIND = 8  # calls that may wait for the disk at a time, so that memory stays bounded

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> float:
    """GiB: the most that tensors took on the GPU, or this process on a CPU."""
    import torch

    if torch.cuda.is_available():
        # what the allocator gave out, not what the driver reserved
        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    # kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def progress(
    items: Iterable[Item] | None,
    what: str,
    *,
    total: int | None = None,
    unit: str = "it",
    **more: Any,
) -> tqdm:
    """A progress bar with rate and time left; in a log file a line every half minute instead of a
    moving one.

    Args:
        items: to go through, or None to call `update` by hand.
        what: is done.
        total: items, if their length is unknown.
        unit: of the items.
        more: what else tqdm takes.
    """
    every = 0.5 if sys.stderr.isatty() else 30.0
    how = {"mininterval": every, "dynamic_ncols": True, "position": _line(), **more}
    return tqdm(items, desc=what, total=total, unit=unit, **how)


def _line() -> int | None:
    """On which line below the command's own bar a worker's stands; None leaves it to tqdm."""
    if parent_process() is None:
        return None
    numbers = re.findall(r"\d+", current_process().name)
    return int(numbers[-1]) if numbers else None


def end_bars() -> None:
    """Ends every progress bar, each on a line of its own: before an error is written."""
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.close()


def each(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    what: str,
    *,
    workers: int = 0,
    unit: str = "it",
    done: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Runs `work` on every item in `workers` processes (0: all cores); results in the order of the
    items.

    Memory is bounded: at most a few items per worker are in flight. The first error ends the work.
    `done` gets each result here, in the calling process, as soon as it is there.
    """
    workers = min(workers or cores(), len(items))
    if workers <= 1:
        return [_told(work(item), done) for item in progress(items, what, unit=unit)]
    results: dict[int, Result] = {}
    with (
        ProcessPoolExecutor(workers, get_context(START_METHOD), _one_thread) as pool,
        progress(None, what, total=len(items), unit=unit) as bar,
    ):
        # a bounded queue: 54,000 jobs at once would hold their results and arguments in memory
        waiting: dict[Future, int] = {}
        try:
            for index, item in enumerate(items):
                waiting[pool.submit(work, item)] = index
                if len(waiting) >= 4 * workers:
                    _collect(waiting, results, bar, done)
            while waiting:
                _collect(waiting, results, bar, done)
        except BrokenProcessPool as error:
            raise InputError(
                f"{what}: a worker process was killed, perhaps for memory; set workers to 1"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[i] for i in range(len(items))]


def _collect(
    waiting: dict[Future, int],
    results: dict,
    bar: tqdm,
    done: Callable[[Result], None] | None,
) -> None:
    future = next(as_completed(waiting))
    # raises here what the worker raised, so that the first error ends the work
    results[waiting.pop(future)] = _told(future.result(), done)
    bar.update()


def _told(result: Result, done: Callable[[Result], None] | None) -> Result:
    if done is not None:
        done(result)
    return result


@contextmanager
def behind() -> Iterator[Callable[..., None]]:
    """A block whose function has calls done in a thread beside this one, in the order in which they
    are given: whoever computes the next mask need not wait until the last one is safely on disk. It
    waits itself where `BEHIND` calls wait.

    All have ended when the block has. The first error of a call comes out of the next call that is
    given, of one of the `BEHIND` next, or of the block's end; another error of the block goes
    before.
    """
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(1) as thread:

        def call(work: Callable[..., object], *args: Any) -> None:
            while waiting and (waiting[0].done() or len(waiting) == BEHIND):
                waiting.popleft().result()
            waiting.append(thread.submit(work, *args))

        yield call
    for one in waiting:
        one.result()


def _one_thread() -> None:
    die_with_parent()
    import cv2

    # the pool has a process a core already: threads inside them would only wait for each other
    cv2.setNumThreads(1)


def die_with_parent() -> None:
    """Ties a worker process to its command, after whose death it must not write on; Linux alone
    offers this.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_process().pid:
            os._exit(1)  # it was killed before we asked
