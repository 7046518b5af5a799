"""Ablations: variants that differ in a few parameters, trained alike with several seeds, scored
clip by clip.

Training and scoring have keys of their own: a new threshold scores again and trains nothing, a new
seed or variant trains itself alone, and what only says how the work is done is in neither key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pdnet.base.files import copy, file_hash, value_hash, write_json, write_table, write_text
from pdnet.base.imports import code_hash
from pdnet.base.tracking import Run, experiment_name
from pdnet.config import FEATURES, FLOW, LOOK_AT_FLOW, Config, variant_configs
from pdnet.data.layout import SCORED_ON, TRAINED_ON, Clip, data_hash, read_tree
from pdnet.experiments.imbalance import imbalance_rows
from pdnet.experiments.measure import measure_clip
from pdnet.experiments.names import COMPARED
from pdnet.experiments.seeds import with_each_seed
from pdnet.inference.segment import clip_segmenter
from pdnet.metrics.stability import clip_flows
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network
from pdnet.model.device import take_machine
from pdnet.training.loop import Training
from pdnet.training.state import fingerprint

SCORING = ("pdnet.experiments.measure", "pdnet.experiments.imbalance")
KINDS = ("clips", "frames", "imbalance", "parts")  # of rows, a table each
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Places:
    """Where an ablation finds and leaves its files.

    Attributes:
        data: working copy.
        series: the imbalance series, or a folder that does not exist (real data).
        work: checkpoints and resumable states, `<variant>/<seed>`.
        out: tables and the first seed's network of one variant.
    """

    data: Path
    series: Path
    work: Path
    out: Path

    @property
    def features(self) -> Path:
        """Where a frozen encoder's maps are kept: beside `work`, for all comparisons."""
        return self.work.parent / FEATURES.name


@dataclass
class Flows:
    """Optical flow of a tree's clips, computed once for all trainings, and only when it is asked
    for.
    """

    known: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def of(self, clip: Clip) -> list[np.ndarray]:
        """See `clip_flows`."""
        if clip.name not in self.known:
            self.known[clip.name] = clip_flows(clip)
        return self.known[clip.name]


def run_variant(params: Path, name: str, places: Places, *, parent: str | None = None) -> None:
    """Trains a variant with every seed and writes what it scores; what is done is not done again.

    Writes `clips.csv`, `frames.csv`, `imbalance.csv`, `parts.csv` (rows: variant, seed, clip,
    values) and the first seed's network to `places.out`.
    """
    configs = variant_configs(params, name)
    how = {"name": name, "places": places, "flows": Flows(), "parent": parent}
    tables: Rows = {kind: [] for kind in KINDS}
    measured = with_each_seed(partial(_train_and_score, **how), configs, name)
    for seed, rows in measured.items():
        for kind, values in rows.items():
            tables[kind] += [{"variant": name, "seed": seed, **row} for row in values]
    for kind, values in tables.items():
        write_table(places.out / f"{kind}.csv", values)
    # figure 9 and the notebooks look at one network of each variant
    first = places.work / name / str(next(iter(configs)))
    copy(first / "pdnet.safetensors", places.out / "pdnet.safetensors")


def _train_and_score(
    of_seed: tuple[int, Config], *, name: str, places: Places, flows: Flows, parent: str | None
) -> Rows:
    seed, config = of_seed
    folder = places.work / name / str(seed)
    how = {"run_name": f"{name} {seed}", "parent": parent, "features": places.features}
    training = train_once(config, places.data, folder, **how)
    rows = score_once(config, name, folder=folder, places=places, flows=flows)
    track(config, training, rows["clips"], ("J", "F"))
    return rows


def train_once(
    config: Config,
    data: Path,
    folder: Path,
    *,
    run_name: str,
    parent: str | None,
    features: Path,
) -> str | None:
    """Trains to `folder` unless the checkpoint there comes from the same parameters, data and code.

    What a frozen encoder makes of the batches is kept in `features`.

    Returns:
        the MLflow run.
    """
    learnt_from = data_hash(data, TRAINED_ON)
    if config.model.interaction in LOOK_AT_FLOW:
        learnt_from += data_hash(data.parent, [FLOW.name])
    key = fingerprint(config, learnt_from)
    note, checkpoint = folder / "trained.json", folder / "pdnet.safetensors"
    stored = known_under(note, key)
    if stored is not None and checkpoint.is_file() and file_hash(checkpoint) == stored["sha256"]:
        return stored["run_id"]
    training = Training(config, data, folder, run_name=run_name, parent=parent, features=features)
    training.fit()
    said = {"key": key, "sha256": file_hash(checkpoint), "run_id": training.run_id}
    write_json(note, said)
    return training.run_id


def score_once(config: Config, name: str, *, folder: Path, places: Places, flows: Flows) -> Rows:
    """Scores the checkpoint in `folder` unless done with the same options, data and code."""
    checkpoint = folder / "pdnet.safetensors"
    said = {
        "checkpoint": file_hash(checkpoint),
        "evaluate": config.evaluate.model_dump(mode="json"),
        "data": data_hash(places.data, SCORED_ON),
        "series": data_hash(places.series, SCORED_ON) if name in COMPARED else None,
        "code": code_hash(*SCORING),
    }

    def score() -> Rows:
        network = network_to_score(config, checkpoint, places.features)
        return measure(network, config, name, places=places, flows=flows)

    return rows_once(folder / "scores.json", said, score)


def rows_once(note: Path, said: Mapping[str, Any], score: Callable[[], Any]) -> Any:
    """What `score` gives, from the note if it was written under the same values of `said`."""
    key = value_hash(said)
    known = known_under(note, key)
    if known is None:
        known = {"key": key, "rows": score()}
        # not sorted: the order of a row's values is that of the tables' columns
        write_text(note, json.dumps(known))
    return known["rows"]


def network_to_score(config: Config, checkpoint: Path, features: Path) -> PDNet:
    """A trained network where it computes; the maps of a frozen encoder are kept in `features`,
    since every network that stands on it sees the same frames. Not for measuring its speed.
    """
    network = load_network(checkpoint).to(take_machine(config.machine))
    if config.train.freeze_encoder:
        network.encoder.keep_maps(features, config.machine.features_gib)
    return network


def measure(network: PDNet, config: Config, name: str, *, places: Places, flows: Flows) -> Rows:
    """Everything that is measured of one trained network; shares, not per cent (flicker: per 100
    frames).
    """
    options = config.evaluate
    rows: Rows = {kind: [] for kind in KINDS}
    for clip in read_tree(places.data).clips(options.set):
        measured = measure_clip(clip_segmenter(network, clip), clip, flows.of(clip), options)
        rows["clips"].append(measured.row(clip.name) | measured.alive)
        score = measured.score
        for stem, j in zip(score.frames, score.j, strict=True):
            rows["frames"].append({"clip": clip.name, "frame": stem, "J": float(j)})
        if measured.parts:
            rows["parts"].append({"clip": clip.name, **measured.parts})
    if name in COMPARED:
        rows["imbalance"] = imbalance_rows(
            network,
            places.series,
            threshold=options.threshold,
            control=name == "full",
            people=options.people,
        )
    return rows


def known_under(note: Path, key: str) -> dict[str, Any] | None:
    """What a note says, if it is there and bears this key."""
    if not note.is_file():
        return None
    try:
        said = json.loads(note.read_text())
    except json.JSONDecodeError:
        return None
    return said if isinstance(said, dict) and said.get("key") == key else None


def track(
    config: Config, run_id: str | None, clips: list[Mapping[str, Any]], columns: tuple[str, str]
) -> None:
    """Notes the means over clips of J and F, which the rows have in `columns`, in per cent in a
    training's run.
    """
    run = Run(experiment_name(config.profile), run_id=run_id, finished=True)
    for name, column in zip(("J", "F"), columns, strict=True):
        mean = 100 * float(np.mean([row[column] for row in clips]))
        run.metrics(0, **{f"test/{name}-Mean": mean})
    run.end()
