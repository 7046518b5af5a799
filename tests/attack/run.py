"""Many cases on every core."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from pdnet.base.parallel import START_METHOD, cores, die_with_parent, progress
from tests.attack.core import Outcome, run_case
from tests.attack.surfaces import SURFACES

BLOCK = 20  # cases that a worker takes at a time


def run_block(name: str, first: int, count: int, seed: int) -> list[Outcome]:
    """Some cases of a surface, one after another."""
    # what the cases and their C libraries say would bury the bar that counts
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    return [run_case(name, SURFACES[name][0], first + i, seed) for i in range(count)]


def attack(names: Sequence[str], cases: int, seed: int) -> list[Outcome]:
    """About this many cases, shared out to the surfaces by their weights."""
    weights = {name: SURFACES[name][1] for name in names}
    whole = sum(weights.values())
    blocks = []
    for name, weight in weights.items():
        count = max(1, round(cases * weight / whole))
        blocks += [
            (name, first, min(BLOCK, count - first), seed) for first in range(0, count, BLOCK)
        ]
    outcomes: list[Outcome] = []
    total = sum(block[2] for block in blocks)
    with (
        ProcessPoolExecutor(cores(), get_context(START_METHOD), die_with_parent) as pool,
        progress(None, "attack", total=total, unit="case") as bar,
    ):
        for future in as_completed([pool.submit(run_block, *block) for block in blocks]):
            outcomes += future.result()
            bar.update(len(future.result()))
    return sorted(outcomes, key=lambda outcome: (outcome.surface, outcome.number))
