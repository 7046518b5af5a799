"""Recorded trainings: tables of what whole trainings scored, so that one can be repeated, or a row
added, without the others.

A training has a key: its row, and what tells the trainings of a row apart (a seed, a clip). Several
machines can share the trainings; what was recorded with the same parameters stays word by word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pdnet.base.files import file_hash, need, value_hash, write_table, write_text
from pdnet.config import FEATURES, Config
from pdnet.errors import InputError
from pdnet.experiments.variants import Rows, network_to_score, rows_once, train_once
from pdnet.model import PDNet
from pdnet.model.checkpoint import weights_hash
from pdnet.training.state import WATCHING

PARAMETERS = "parameters.txt"  # of what was trained and scored in a folder
SCORES = "scores.json"  # what was measured of it
DECIMALS = 5  # of recorded shares
TRAININGS = "trainings.csv"  # which trainings the tables hold, by parameters and weights


class KeyedTraining(NamedTuple):
    """A training that is to be recorded.

    Attributes:
        key: its row, then what tells the row's trainings apart.
        config: its parameters.
    """

    key: tuple[str, ...]
    config: Config

    @property
    def name(self) -> str:
        """For people."""
        return " ".join(self.key)


def read_shard(text: str) -> tuple[int, int]:
    """`2/3` -> (2, 3): the second third of the trainings.

    Raises:
        InputError: it is no such part.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise InputError(f"--shard: '{text[:40]}' is no part such as 1/2")
    return int(match[1]), int(match[2])


def refuse_others(rows: Sequence[str], known: Sequence[str]) -> None:
    """Refuses a row that is asked for and is not there.

    Raises:
        InputError: there is no such row.
    """
    for name in rows:
        if name not in known:
            raise InputError(f"--row: '{name[:40]}' is no row; known: {', '.join(known)}")


def share_of(
    trainings: Sequence[KeyedTraining], shard: tuple[int, int] = (1, 1), rows: Sequence[str] = ()
) -> list[KeyedTraining]:
    """What this machine is to train: every `shard[1]`-th training of the rows (all without any
    named), from the `shard[0]`-th on.

    Raises:
        InputError: there is no such row.
    """
    known = list(dict.fromkeys(training.key[0] for training in trainings))
    refuse_others(rows, known)
    number, machines = shard
    return [one for one in trainings if one.key[0] in (rows or known)][number - 1 :: machines]


@dataclass(frozen=True)
class Record:
    """Tables of trainings, and where these are done.

    Attributes:
        out: folder of the tables.
        work: of checkpoints, resumable states and scores, a folder a key.
        columns: of the tables: what the parts of a key are.
        kinds: of rows that are measured, a table each.
    """

    out: Path
    work: Path
    columns: tuple[str, ...]
    kinds: tuple[str, ...]

    @property
    def features(self) -> Path:
        """Where the maps of a frozen encoder are kept."""
        return self.work / FEATURES.name

    def train_and_score(
        self,
        training: KeyedTraining,
        data: Path,
        said: Mapping[str, Any],
        score: Callable[[PDNet], Rows],
    ) -> None:
        """Trains and scores unless done with the same parameters, data and code.

        Args:
            training: which.
            data: working copy to train on.
            said: what else than checkpoint and options of evaluation the scores depend on.
            score: network -> rows of each kind.
        """
        config, folder = training.config, self._folder(training)
        (folder / PARAMETERS).unlink(missing_ok=True)  # it is there when the rest is theirs
        how = {"run_name": training.name, "parent": None, "features": self.features}
        train_once(config, data, folder, **how)
        checkpoint = folder / "pdnet.safetensors"
        evaluate = config.evaluate.model_dump(mode="json")
        key = {"checkpoint": file_hash(checkpoint), "evaluate": evaluate, **said}

        def scored() -> Rows:
            return score(network_to_score(config, checkpoint, self.features))

        rows_once(folder / SCORES, key, scored)
        write_text(folder / PARAMETERS, parameters_hash(config))

    def write(self, trainings: Sequence[KeyedTraining]) -> list[str]:
        """Writes the tables of all trainings that are done here, or recorded with the same
        parameters, and `trainings.csv`, which says which these are.

        Returns:
            names of the trainings that are neither.
        """
        recorded = self._recorded()
        tables: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in self.kinds}
        held, missing = [], []
        for training in trainings:
            of_key = dict(zip(self.columns, training.key, strict=True))
            parameters = parameters_hash(training.config)
            known = self._here(training, parameters)
            if known is None:
                known = recorded.get((*training.key, parameters))
            if known is None:
                missing.append(training.name)
                continue
            weights, rows = known
            held.append({**of_key, "parameters": parameters, "weights": weights})
            for kind in self.kinds:
                tables[kind] += [{**of_key, **row} for row in rows[kind]]
        for kind, values in tables.items():
            write_table(self.out / f"{kind}.csv", values)
        write_table(self.out / TRAININGS, held)
        return missing

    def _folder(self, training: KeyedTraining) -> Path:
        return self.work.joinpath(*training.key)

    def _here(self, training: KeyedTraining, parameters: str) -> tuple[str, Rows] | None:
        """A training's weights, as SHA-256, and rows, if it was done here with these
        parameters.
        """
        folder = self._folder(training)
        known, scores = folder / PARAMETERS, folder / SCORES
        # without scores: a version of the project did it that kept them elsewhere
        if not scores.is_file() or not known.is_file() or known.read_text() != parameters:
            return None
        rows = json.loads(scores.read_text())["rows"]
        return weights_hash(folder / "pdnet.safetensors"), rows

    def _recorded(self) -> dict[tuple[str, ...], tuple[str, Rows]]:
        """Key and parameters of the trainings that the tables hold -> weights and rows, word by
        word.
        """
        if not (self.out / TRAININGS).is_file():
            return {}
        rows: dict[tuple[str, ...], Rows] = {}
        for kind in self.kinds:
            for row in _words(self.out / f"{kind}.csv"):
                key = tuple(row.pop(column) for column in self.columns)
                rows.setdefault(key, {kind: [] for kind in self.kinds})[kind].append(row)
        held = {}
        for one in _words(self.out / TRAININGS):
            key = tuple(one[column] for column in self.columns)
            held[(*key, one["parameters"])] = (one["weights"], rows[key])
        return held


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its shares as they are recorded."""
    return {
        name: round(value, DECIMALS) if isinstance(value, float) else value
        for name, value in row.items()
    }


def parameters_hash(config: Config) -> str:
    """Of what a training's numbers depend on beside code: 16 hex digits.

    Defaults are left out: a parameter that the project gets later, and that is off, leaves what was
    recorded valid. Whoever changes a default changes what a record means, and records anew.
    """
    groups = ("data", "preprocess", "model", "loss", "train", "evaluate")
    how = {"mode": "json", "exclude_defaults": True}
    said = {name: getattr(config, name).model_dump(**how) for name in groups}
    said["data"].pop("root", None)  # where it lies is not what it is
    for watching in WATCHING:
        said["train"].pop(watching, None)
    return value_hash({**said, "seed": config.seed})[:16]


def _words(path: Path) -> list[dict[str, str]]:
    table = pd.read_csv(need(path, "pdnet study"), dtype=str, keep_default_na=False)
    return table.to_dict("records")
