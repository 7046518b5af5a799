"""Tables 1 and 2: interactions between frames on one encoder, trained alike, scored alike.

A method is `model.interaction` and nothing else. Its checkpoint is the last one of its training:
nothing is chosen on the clips that are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdnet.base.files import copy, file_hash, write_json, write_table
from pdnet.base.imports import code_hash
from pdnet.base.parallel import progress
from pdnet.config import FEATURES, LOOK_AT_FLOW, Config, method_configs
from pdnet.data.images import read_mask
from pdnet.data.layout import SCORED_ON, Clip, data_hash, read_tree
from pdnet.experiments.names import PREDICTIONS
from pdnet.experiments.seeds import with_each_seed
from pdnet.experiments.variants import (
    Flows,
    network_to_score,
    rows_once,
    track,
    train_once,
)
from pdnet.inference.cost import MIB, PeakMemory, giga_macs, live_parameters
from pdnet.inference.people import masks
from pdnet.inference.predict import predict_clips
from pdnet.inference.segment import ClipSegmenter, clip_segmenter
from pdnet.inference.speed import measure_speed
from pdnet.metrics.region_contour import ClipScore, frame_scores
from pdnet.metrics.saliency import absolute_error, structure_measure
from pdnet.metrics.stability import clip_stability
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network
from pdnet.model.device import take_machine
from pdnet.sources.flow import estimator

SCORING = ("pdnet.experiments.compare",)


@dataclass(frozen=True)
class ComparisonPlaces:
    """Where a method's files are found and left.

    Attributes:
        data: working copy.
        work: checkpoints and resumable states, `<interaction>/<seed>`.
        out: rows, facts, first seed's network and masks of one method.
        speed: a file of times, which differ from run to run.
    """

    data: Path
    work: Path
    out: Path
    speed: Path

    @property
    def features(self) -> Path:
        """Where a frozen encoder's maps are kept, the ablation's too."""
        return self.work.parent / FEATURES.name


def run_method(
    params: Path, interaction: str, places: ComparisonPlaces, *, parent: str | None = None
) -> None:
    """Trains a method with every seed and writes what it scores; what is done is not done again.

    Writes `clips.csv` (rows: method, seed, clip, values), `facts.json`, the first seed's network
    and its masks.
    """
    configs = method_configs(params, interaction)
    first = next(iter(configs))
    how = {"places": places, "flows": Flows(), "parent": parent}
    scored = with_each_seed(partial(_train_and_score, **how), configs, interaction)
    rows: list[dict[str, Any]] = []
    for seed, scores in scored.items():
        rows += [{"method": interaction, "seed": seed, **row} for row in scores]
    checkpoint = places.work / interaction / str(first) / "pdnet.safetensors"
    seen = network_to_score(configs[first], checkpoint, places.features)
    write_masks(seen, configs[first], places)
    # as anybody has it: nothing is kept where time and memory are measured
    network = load_network(checkpoint).to(take_machine(configs[first].machine))
    write_json(places.out / "facts.json", facts(network))
    copy(checkpoint, places.out / "pdnet.safetensors")
    write_table(places.out / "clips.csv", rows)
    # last, so that nothing else runs meanwhile
    config = configs[first]
    clip = read_tree(places.data).clips(config.evaluate.set)[0]
    # RAFT wants weights, which nobody else needs to have
    estimate = estimator(config.flow) if network.looks_at == "flow" else None
    write_json(places.speed, measure_speed(network, clip, config.evaluate, estimate=estimate))


def _train_and_score(
    of_seed: tuple[int, Config], *, places: ComparisonPlaces, flows: Flows, parent: str | None
) -> list[dict[str, Any]]:
    seed, config = of_seed
    interaction = config.model.interaction
    folder = places.work / interaction / str(seed)
    how = {"run_name": f"{interaction} {seed}", "parent": parent, "features": places.features}
    run_id = train_once(config, places.data, folder, **how)
    scores = score_method(config, folder, places, flows)
    track(config, run_id, scores, ("J-Mean", "F-Mean"))
    return scores


def score_method(
    config: Config, folder: Path, places: ComparisonPlaces, flows: Flows
) -> list[dict[str, Any]]:
    """A row per clip of what the checkpoint in `folder` scores, unless that is known already."""
    checkpoint = folder / "pdnet.safetensors"
    interaction = config.model.interaction
    by_flow = interaction in LOOK_AT_FLOW
    said = {
        "checkpoint": file_hash(checkpoint),
        "evaluate": config.evaluate.model_dump(mode="json"),
        "flow": config.flow.model_dump(mode="json") if by_flow else None,
        "data": data_hash(places.data, SCORED_ON),
        "code": code_hash(*SCORING),
    }

    def score() -> list[dict[str, Any]]:
        network = network_to_score(config, checkpoint, places.features)
        clips = read_tree(places.data).clips(config.evaluate.set)
        rows = []
        for clip in progress(clips, f"score {interaction}", unit="clip"):
            segmenter = clip_segmenter(network, clip)
            rows.append({"clip": clip.name, **clip_values(segmenter, clip, flows.of(clip), config)})
        return rows

    return rows_once(folder / "scores.json", said, score)


def clip_values(
    segmenter: ClipSegmenter, clip: Clip, flows: Sequence[np.ndarray], config: Config
) -> dict[str, float]:
    """Everything that is measured of a clip: the evaluator's columns, S-measure and MAE of the
    probabilities (means over the scored frames), stability; shares, flicker per 100 frames.
    """
    options = config.evaluate
    scored = clip.scored_frames(options.include_first_last)
    found, overlaps, maps = [], [], []
    how = {"threshold": options.threshold, "people": options.people}
    for seen, mask in masks(segmenter, clip, **how):
        found.append(mask)
        if seen.stem in scored:
            truth, probability = read_mask(clip.mask(seen.stem)), seen.found.probability
            overlaps.append(frame_scores(mask, truth))
            maps.append((structure_measure(probability, truth), absolute_error(probability, truth)))
    values = ClipScore(scored, *np.array(overlaps).T).row()
    structure, error = np.mean(maps, 0)
    wide = [flow.astype(np.float32) for flow in flows]
    return {**values, "S": float(structure), "MAE": float(error), **clip_stability(found, wide)}


def write_masks(network: PDNet, config: Config, places: ComparisonPlaces) -> None:
    """Masks 0/255 of every clip that is scored, by the one protocol of all methods."""
    clips = read_tree(places.data).clips(config.evaluate.set)
    options = config.evaluate.model_copy(update={"reference": "first"})
    predict_clips(network, clips, places.out / PREDICTIONS, options=options)


def facts(network: PDNet) -> dict[str, float]:
    """What a frame costs, the reference's memory at hand: parameters (all, and those that reach the
    mask), 10^9 multiply-accumulates, MiB of tensors alive at most beside the weights.
    """
    device = next(network.parameters()).device
    x = torch.zeros(1, 3, *network.config.input_size, device=device)
    x = x.to(memory_format=torch.channels_last)

    def segment() -> torch.Tensor:
        return network.segment(x, memory, x).logits

    with torch.no_grad():
        memory = network.encode_reference(x)
        macs = giga_macs(segment)
        with PeakMemory() as peak:
            segment()
    parameters = sum(p.numel() for p in network.parameters())

    def pairwise() -> torch.Tensor:
        return network(x, -x, auxiliary=False, flow=-x).logits

    alive = live_parameters(network, pairwise)
    return {
        "parameters": parameters,
        "live_parameters": alive,
        "gmacs": macs,
        "memory_mib": peak.peak / MIB,
    }
