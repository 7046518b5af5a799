"""Cases, verdicts, and how they are run: each from its own seed, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
from typer.testing import CliRunner

from pdnet.cli import app

LONGEST = 30  # seconds; a case that takes longer hangs
MOST_LINES = 25  # of an error: a list of up to 20 problems, and what stands around it
VERDICTS = ("right", "refused", "wrong", "lost", "traceback", "hang")
BAD = VERDICTS[2:]

# One case: draws what it does, does it in an empty folder, and says `right` or `refused`.
Surface = Callable[[np.random.Generator, Path], str]


class Wrong(AssertionError):
    """Status 0 and a wrong result, or a refusal that is no clear line."""


class Lost(AssertionError):
    """A file of the user's was changed or removed."""


class Hang(BaseException):
    """A case took longer than `LONGEST`; no `except Exception` may swallow it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case; its surface, number and seed make it again."""

    surface: str
    number: int
    verdict: str
    told: str = ""


def call(*arguments: object) -> tuple[int, str]:
    """The command line in this process: exit status and all output; an exception comes through."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def refused(status: int, output: str) -> str:
    """Checks that an error is what a user can read.

    Raises:
        Wrong: another status than 2, a traceback, no `error:` line, or an endless one.
    """
    lines = [line for line in output.replace("\r", "\n").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "Error", "│", "Usage"))]
    if status != 2 or "Traceback" in output or not errors:
        raise Wrong(f"status {status}: {output[-300:]}")
    if len(lines) > MOST_LINES or max(map(len, lines)) > 2000:
        raise Wrong(f"an error of {len(lines)} lines, {len(output)} characters: {output[:200]}")
    return "refused"


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file below a folder with its content, links with where they lead."""
    found: dict[str, bytes | str] = {}
    for place, folders, names in os.walk(folder):
        for name in [*names, *folders]:
            path = Path(place) / name
            if path.is_symlink():
                found[str(path.relative_to(folder))] = os.readlink(path)
            elif path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@contextmanager
def keeps(folder: Path) -> Iterator[None]:
    """Nothing in a folder changes inside the block.

    Raises:
        Lost: it does.
    """
    before = contents(folder)
    yield
    after = contents(folder)
    for path, content in before.items():
        if after.get(path) != content:
            raise Lost(f"{folder / path} was {'changed' if path in after else 'removed'}")


def run_case(name: str, surface: Surface, number: int, seed: int) -> Outcome:
    """Runs one case and judges it."""
    rng = np.random.default_rng((seed, *name.encode(), number))
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    home = Path.cwd()
    try:
        with _alarm(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Outcome(name, number, surface(rng, folder))
    except Hang:
        return Outcome(name, number, "hang", f"more than {LONGEST} s")
    except Lost as error:
        return Outcome(name, number, "lost", str(error))
    except Wrong as error:
        return Outcome(name, number, "wrong", str(error))
    except Exception:
        return Outcome(name, number, "traceback", traceback.format_exc()[-1500:])
    finally:
        os.chdir(home)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alarm() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def table(outcomes: list[Outcome]) -> str:
    """How many cases of each surface ended how."""
    counts = Counter((outcome.surface, outcome.verdict) for outcome in outcomes)
    surfaces = list(dict.fromkeys(outcome.surface for outcome in outcomes))
    lines = [" ".join([f"{'surface':22s}", f"{'cases':>7s}", *(f"{v:>9s}" for v in VERDICTS)])]
    for surface in surfaces:
        row = [counts[surface, verdict] for verdict in VERDICTS]
        lines.append(" ".join([f"{surface:22s}", f"{sum(row):7d}", *(f"{n:9d}" for n in row)]))
    row = [sum(counts[surface, verdict] for surface in surfaces) for verdict in VERDICTS]
    lines.append(" ".join([f"{'all':22s}", f"{sum(row):7d}", *(f"{n:9d}" for n in row)]))
    return "\n".join(lines)
