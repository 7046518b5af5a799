"""A short attack, with every test run; `make attack` is the long one."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.attack import kills
from tests.attack.core import BAD, Outcome, keeps, refused, run_case, table
from tests.attack.surfaces import SURFACES

SEED = 1  # not that of the long run


def bad(outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.verdict in BAD]


@pytest.mark.parametrize("name", SURFACES)
def test_a_short_attack_finds_nothing(name):
    surface, weight = SURFACES[name]
    outcomes = [run_case(name, surface, number, SEED) for number in range(1 + int(2 * weight))]
    assert not bad(outcomes), table(outcomes)


def test_killed_stages_of_data_give_the_same_hashes():
    outcomes = kills.attack(3, SEED, ("download", "preprocess"))
    assert len(outcomes) == 6 and not bad(outcomes), table(outcomes)


def removes(rng: np.random.Generator, folder: Path) -> str:
    (folder / "mine").touch()
    with keeps(folder):
        (folder / "mine").unlink()
    return "right"


def stumbles(rng: np.random.Generator, folder: Path) -> str:
    raise KeyError("a bug")


def shouts(rng: np.random.Generator, folder: Path) -> str:
    return refused(2, "Traceback (most recent call last):\nKeyError")


def sleeps(rng: np.random.Generator, folder: Path) -> str:
    time.sleep(60)
    return "right"


@pytest.mark.parametrize(
    ("surface", "verdict"),
    [(removes, "lost"), (stumbles, "traceback"), (shouts, "wrong"), (sleeps, "hang")],
)
def test_the_attack_sees_what_it_looks_for(monkeypatch, surface, verdict):
    monkeypatch.setattr("tests.attack.core.LONGEST", 1)
    assert run_case("x", surface, 0, 0).verdict == verdict
