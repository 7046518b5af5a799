"""Faults at every write: each file is the old one or the new one, and a second run mends all.

A shim stands in front of the system calls by which files come into being. It counts them in a run
without faults; then the n-th one fails (a full disk) or the process dies there (a kill).
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pdnet.base.files import write_text
from pdnet.base.lock import only_writer
from pdnet.base.manifest import Unit, bring, recipe
from pdnet.errors import InputError
from tests.attack.core import Lost, Wrong, contents

CALLS = ("replace", "unlink", "mkdir", "rmdir", "symlink")  # and `open` for writing
OPEN = io.open
FULL, KILL = "full disk", "kill"
KILLED = 137


class Shim:
    """Counts calls, and breaks one of them.

    Args:
        at: number of the call that breaks.
        how: `FULL` raises, `KILL` ends the process at once, with half a file where one was opened.
        inside: only paths below this folder count.
    """

    def __init__(self, at: int, how: str, inside: Path) -> None:
        self.at, self.how, self.inside, self.count = at, how, str(inside), 0

    def breaks(self) -> bool:
        """One call more; True where it is the one."""
        self.count += 1
        return self.count - 1 == self.at

    def call(self, real: Callable[..., Any], counts: Callable[..., bool]) -> Callable[..., Any]:
        """The call behind the shim; `counts` tells from its arguments whether it is one of ours."""

        def shimmed(*args: Any, **kwargs: Any) -> Any:
            if not counts(*args, **kwargs) or not self.breaks():
                return real(*args, **kwargs)
            if self.how == FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))
            if real is OPEN:
                stream = real(*args, **kwargs)
                stream.write(b"half" if "b" in args[1] else "half")
                stream.flush()
            os._exit(KILLED)

        return shimmed

    def named(self, path: Any, *_: Any, **__: Any) -> bool:
        """Calls whose first argument is a path."""
        return str(path).startswith(self.inside)

    def written(self, path: Any, mode: Any = "r", *_: Any, **__: Any) -> bool:
        """Openings for writing."""
        return self.named(path) and isinstance(mode, str) and any(c in mode for c in "wax+")


@contextmanager
def shim(at: int, how: str, inside: Path) -> Iterator[Shim]:
    """Stands in front of the calls inside the block."""
    guard = Shim(at, how, inside)
    before = {name: getattr(os, name) for name in CALLS}
    for name, call in before.items():
        setattr(os, name, guard.call(call, guard.named))
    io.open = guard.call(OPEN, guard.written)
    try:
        yield guard
    finally:
        io.open = OPEN
        for name, call in before.items():
            setattr(os, name, call)


def dies(work: Callable[[], None], at: int, inside: Path) -> bool:
    """Runs work in a child that is killed at a call; False where it had fewer calls."""
    child = os.fork()
    if child == 0:
        try:
            with shim(at, KILL, inside):
                work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == KILLED


def broken(work: Callable[[], None], *, at: int, how: str, folder: Path) -> str:
    """Does work that breaks at a call: `right` where it had fewer calls, or died; `refused` where
    it said so.
    """
    if how == KILL:
        dies(work, at, folder)
        return "right"
    try:
        with shim(at, FULL, folder):
            work()
    except (InputError, OSError):
        return "refused"
    return "right"


def write_unit(root: Path, path: str, text: str) -> None:
    """Makes a unit's file."""
    write_text(root / path, text)


def _units(rng: np.random.Generator) -> list[Unit]:
    names = rng.permutation(["a/1", "a/2", "b/c/3", "b/4"])[: rng.integers(0, 5)]
    texts = rng.choice(["one", "two"], len(names))
    pairs = [(str(name), str(text)) for name, text in zip(names, texts, strict=True)]
    return [Unit((name,), recipe(text), write_unit, (name, text)) for name, text in pairs]


def tree_faults(rng: np.random.Generator, folder: Path) -> str:
    """A tree goes from one set of recipes to another, and breaks on the way."""
    root, cold = folder / "tree", folder / "cold"
    before, after = _units(rng), _units(rng)
    bring(root, before, "before", workers=1)
    bring(cold, after, "cold", workers=1)

    def work() -> None:
        bring(root, after, "after", workers=1)

    at, how = int(rng.integers(0, 40)), str(rng.choice([FULL, KILL]))
    verdict = broken(work, at=at, how=how, folder=folder)
    work()
    if _content(root) != _content(cold):
        raise Wrong(f"{how} at call {at}: the tree is not a cold rebuild's")
    return verdict


def _content(root: Path) -> dict[str, bytes | str]:
    return {path: content for path, content in contents(root).items() if path != ".manifest"}


def file_faults(rng: np.random.Generator, folder: Path) -> str:
    """One file is written over, and breaks on the way."""
    text = "new" * int(rng.integers(1, 5000))
    target = folder / "results" / "file.txt"
    write_text(target, "old")

    def work() -> None:
        write_text(target, text)

    at, how = int(rng.integers(0, 5)), str(rng.choice([FULL, KILL]))
    verdict = broken(work, at=at, how=how, folder=folder)
    if target.read_text() not in ("old", text):
        raise Lost(f"{how} at call {at}: neither the old file nor the new one")
    with only_writer(target.parent):
        work()
    left = sorted(path.name for path in target.parent.iterdir())
    if left != ["file.txt"] or target.read_text() != text:
        raise Wrong(f"{how} at call {at}: the next writer leaves {left}")
    return verdict
