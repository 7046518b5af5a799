"""Filmed people: variants trained whole on all clips but one, which is scored; each clip in turn.

Where only a dozen clips are at hand, a split of them says little: here every clip is scored by
networks that never saw it. It can be stopped at any time and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pdnet.base.imports import code_hash
from pdnet.base.parallel import each
from pdnet.config import Config, left_out_configs, load_config
from pdnet.data.images import read_mask
from pdnet.data.layout import SCORED_ON, Clip, data_hash, read_tree
from pdnet.errors import InputError
from pdnet.experiments.imbalance import clip_after, flow_imbalance
from pdnet.experiments.left_out_tables import write_summary
from pdnet.experiments.measure import ClipMeasures, measure_clip
from pdnet.experiments.record import KeyedTraining, Record, refuse_others, rounded, share_of
from pdnet.experiments.seeds import side_by_side
from pdnet.experiments.variants import Flows, Rows
from pdnet.inference.segment import clip_segmenter
from pdnet.metrics.calibration import BINS
from pdnet.model import PDNet
from pdnet.sources.clips import download
from pdnet.sources.preprocess import preprocess


@dataclass(frozen=True)
class LeftOutFolders:
    """Where the clips are, and where files are found and left.

    Attributes:
        source: what `data.source: sample` reads.
        raw, data: the clips as they come, and the working copy.
        work: checkpoints, resumable states and scores, `<row>/<clip>/<seed>`.
        out: tables.
    """

    source: Path
    raw: Path
    data: Path
    work: Path
    out: Path

    @property
    def record(self) -> Record:
        """The tables: a row a training of each clip that was left out, and of each of its
        frames.
        """
        return Record(self.out, self.work, ("variant", "left_out", "seed"), ("clips", "frames"))


def bring_clips(config: Config, places: LeftOutFolders) -> dict[str, Clip]:
    """Makes the working copy; what is there already stays.

    Returns:
        its clips by name.
    """
    download(config, places.source, places.raw)
    preprocess(places.raw, places.data, config.preprocess, config.machine.workers)
    return {clip.name: clip for clip in read_tree(places.data).every_clip()}


def run_left_out(
    params: Path,
    values: Mapping[str, Any],
    places: LeftOutFolders,
    shard: tuple[int, int] = (1, 1),
    rows: Sequence[str] = (),
) -> list[str]:
    """From clips to tables; see `share_of` and `Record.write`.

    Args:
        params: parameter file.
        values: by dotted name, in place of the file's.
        places: see there.
        shard, rows: what this machine is to train.

    Returns:
        names of the trainings that are neither done nor recorded.

    Raises:
        InputError: `left_out.run` names no row, or has not one that is asked for; there are no two
            clips; or what `download` and `preprocess` refuse.
    """
    config = load_config(params, values)
    if not config.left_out.run:
        raise InputError(
            f"left_out.run: empty in the profile '{config.profile}'; name the variants that are "
            "to be trained, or take another profile: -S profile=people"
        )
    refuse_others(rows, config.left_out.run)
    clips = bring_clips(config, places)
    if len(clips) < 2:
        raise InputError(f"{places.data}: one clip; without it none is left to train on")
    configs = left_out_configs(params, values, list(clips))
    every = [
        KeyedTraining((name, clip, str(seed)), of_fold)
        for (name, clip, seed), of_fold in configs.items()
    ]
    mine = share_of(every, shard, rows)
    work = partial(_train_and_score, places=places, clips=clips, flows=Flows())
    each(work, mine, "left out", workers=side_by_side(config.machine), unit="training")
    missing = places.record.write(every)
    if len(missing) < len(every):
        write_summary(places.out, config.left_out.run)
    return missing


def _train_and_score(
    training: KeyedTraining, *, places: LeftOutFolders, clips: Mapping[str, Clip], flows: Flows
) -> None:
    how = {"left_out": training.key[1], "config": training.config}
    score = partial(measure, clips=clips, flows=flows, **how)
    said = {
        "data": data_hash(places.data, SCORED_ON),
        "code": code_hash("pdnet.experiments.left_out"),
    }
    places.record.train_and_score(training, places.data, said, score)


def measure(
    network: PDNet, *, clips: Mapping[str, Clip], flows: Flows, left_out: str, config: Config
) -> Rows:
    """Everything that is measured of a network on the clip that it never saw, in shares.

    Returns:
        `clips`: its scores, also with another clip's first frame as reference; `frames`: J of each
            scored frame, and its motion imbalance (`flow_imbalance`).
    """
    clip = clips[left_out]
    moved = flows.of(clip)
    how = {"clip": clip, "flows": moved, "options": config.evaluate}
    own = measure_clip(clip_segmenter(network, clip), **how)
    row = {"frames": len(own.score.frames), **_scores(own)}
    if network.looks_at == "reference":
        other = clip_segmenter(network, clip_after(left_out, dict(clips)))
        row |= {
            f"unrelated {name}": value
            for name, value in _scores(measure_clip(other, **how)).items()
        }
    frames = []
    for stem, j in zip(own.score.frames, own.score.j, strict=True):
        place, people = clip.frames.index(stem), read_mask(clip.mask(stem))
        spread = None
        if place and people.any():
            spread = flow_imbalance(moved[place - 1].astype(np.float32), people)
        frames.append(rounded({"frame": stem, "J": float(j), "imbalance": spread}))
    return {"clips": [rounded(row)], "frames": frames}


def _scores(measured: ClipMeasures) -> dict[str, float]:
    """J, F, J&F, stability, and how much is taken for people that is nobody, as a share of the
    people's pixels: a crowd, say, that stands behind the one who is meant.
    """
    scores = measured.row("")
    del scores["clip"]
    nobody, people = measured.probabilities.sum(0)
    taken = float(nobody[BINS // 2 :].sum() / max(people.sum(), 1))
    return {**scores, "taken": taken}
