"""Ablations: variants that differ in a few parameters, trained alike with several seeds, scored clip by clip."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from pdnet.checkpoint import load_network
from pdnet.config import Config, load_config, resolve, with_values
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.errors import InputError
from pdnet.files import link, write_text
from pdnet.metrics.parts import agreement, body_parts, identity, part_labels
from pdnet.metrics.region_contour import ClipScore, frame_scores, region_similarity
from pdnet.metrics.stability import clip_flows, clip_stability
from pdnet.model import PDNet
from pdnet.sample.imbalance import level_of, near_limbs, scene_of, series
from pdnet.sample.render import render_clips
from pdnet.segment import ClipSegmenter, clip_segmenter
from pdnet.tracking import Run, shared_parent
from pdnet.training.recipe import Training
from pdnet.training.state import data_hash, file_hash, write_table
from pdnet.validate import scored_indices

PACKAGE = Path(__file__).parent
CODE = ("ablation.py", "model", "losses", "training", "data/sampling.py", "segment.py", "metrics")
LIMB_REACH = 0.03  # of the frame's height: how far from a limb "near" goes
COARSE = 4  # every fourth row and column is enough for shares of many thousand pixels
IMBALANCE_VARIANTS = ("full", "one-part", "no-ipda")  # whom the imbalance experiment compares
CONTROL = "unrelated"  # a reference frame of another scene: what the right one is worth


def variant_configs(params: Path, name: str) -> dict[int, Config]:
    """Seed -> resolved parameters of a variant.

    Raises:
        InputError: no such variant, or one of its parameters is unknown or wrong.
    """
    options = load_config(params).ablation
    if name not in options.variants:
        raise InputError(f"ablation.variants: '{name}' is unknown; known: {', '.join(options.variants)}")
    raw = yaml.safe_load(params.read_text())
    changes = {**options.set, **options.variants[name]}
    return {
        seed: resolve(with_values(raw, {**changes, "seed": seed}), f"ablation.variants.{name}")
        for seed in options.seeds
    }


def run_variant(params: Path, name: str, data: Path, imbalance: Path, work: Path, out: Path) -> None:
    """Trains a variant with every seed and writes what it scores; seeds that are done are not done again.

    Args:
        params: parameter file.
        name: of the variant.
        data: working copy.
        imbalance: the imbalance series, or a folder that does not exist (real data).
        work: folder for checkpoints and resumable states, `<name>/<seed>`.
        out: folder for `clips.csv`, `frames.csv`, `imbalance.csv`, `parts.csv` (rows: seed, clip, values) and the first
            seed's network.
    """
    configs = variant_configs(params, name)
    first = next(iter(configs.values()))
    key = data_hash(data) + (data_hash(imbalance) if imbalance.is_dir() else "")
    key += file_hash(Path(first.train.start)) if first.train.start else ""
    parent = shared_parent(f"pdnet-{first.profile}", "ablation", hashlib.sha256(key.encode()).hexdigest()[:16])
    key += code_hash()
    tables: dict[str, list[dict[str, Any]]] = {"clips": [], "frames": [], "imbalance": [], "parts": []}
    for seed, config in configs.items():
        folder = work / name / str(seed)
        rows = _finished(folder, config, key)
        if rows is None:
            training = Training(config, data, folder, f"{name} {seed}", parent)
            network = load_network(training.fit())
            network.to("cuda" if torch.cuda.is_available() else "cpu")
            rows = scores(network, config, data, imbalance, name)
            write_text(folder / "scores.json", json.dumps({"key": _key(config, key), "rows": rows}))
            _track(config, training.run.run_id, rows)
        for table, values in rows.items():
            tables[table] += [{"variant": name, "seed": seed, **row} for row in values]
    for table, values in tables.items():
        write_table(out / f"{table}.csv", values)
    link(work / name / str(next(iter(configs))) / "pdnet.safetensors", out / "pdnet.safetensors")


def code_hash() -> str:
    """SHA-256 of the code that a variant's scores depend on, as the stage's `deps` name it."""
    files = [
        file for name in CODE for file in ([PACKAGE / name] if name.endswith(".py") else (PACKAGE / name).rglob("*.py"))
    ]
    return hashlib.sha256("".join(file_hash(file) for file in sorted(files)).encode()).hexdigest()


def _key(config: Config, data: str) -> str:
    return hashlib.sha256((config.model_dump_json() + data).encode()).hexdigest()


def _finished(folder: Path, config: Config, data: str) -> dict[str, list[dict[str, Any]]] | None:
    path = folder / "scores.json"
    if not path.is_file():
        return None
    stored = json.loads(path.read_text())
    return stored["rows"] if stored["key"] == _key(config, data) else None


def _track(config: Config, run_id: str | None, rows: dict[str, list[dict[str, Any]]]) -> None:
    run = Run(f"pdnet-{config.profile}", "", run_id)
    for name in ("J", "F"):
        run.metrics(0, **{f"evaluation/{name}-Mean": float(np.mean([row[name] for row in rows["clips"]]))})
    run.end()


def scores(network: PDNet, config: Config, data: Path, imbalance: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    """Everything that is measured of one trained network; shares, not per cent (flicker: per 100 frames)."""
    threshold = config.evaluate.threshold
    rows: dict[str, list[dict[str, Any]]] = {"clips": [], "frames": [], "imbalance": [], "parts": []}
    for clip in read_tree(data).clips("val"):
        score, row, parts = _clip(clip_segmenter(network, clip), clip, threshold)
        rows["clips"].append(row)
        rows["frames"] += [
            {"clip": clip.name, "frame": frame, "J": float(j)} for frame, j in zip(score.frames, score.j, strict=True)
        ]
        if parts:
            rows["parts"].append({"clip": clip.name, **parts})
    clips = read_tree(imbalance).clips("val") if imbalance.is_dir() and name in IMBALANCE_VARIANTS else []
    for clip in clips:
        row = {"clip": clip.name, "level": level_of(clip.name)}
        rows["imbalance"].append({**row, **_limbs(clip_segmenter(network, clip), clip, threshold)})
        if name == "full":
            scenes = {scene_of(c.name): c for c in clips}
            other = _after(scene_of(clip.name), scenes)
            control = {**row, "variant": f"full-{CONTROL}", **_limbs(clip_segmenter(network, other), clip, threshold)}
            rows["imbalance"].append(control)
    return rows


def _after(name: str, clips: dict[str, Clip]) -> Clip:
    """The clip that follows `name`, in a circle."""
    names = list(clips)
    return clips[names[(names.index(name) + 1) % len(names)]]


def _clip(segmenter: ClipSegmenter, clip: Clip, threshold: float) -> tuple[ClipScore, dict[str, Any], dict[str, float]]:
    """A clip, every annotated frame segmented.

    Args:
        segmenter: where the references come from: this clip, or an unrelated one.
        clip: to segment and score.
        threshold: on the probability.

    Returns:
        J and F of its frames, first and last left out; its row: clip, J, F, J&F, warped_iou, flicker; its part
        agreement where true parts are known.
    """
    masks, values, found, truth, number = [], [], [], [], []
    for index, stem in enumerate(clip.frames):
        result = segmenter.segment(index, read_frame(clip.frame(stem)))
        masks.append(result.probability > threshold)
        values.append(frame_scores(read_mask(clip.mask(stem)), masks[-1]))
        labels = clip.root / "Parts" / "480p" / clip.name / f"{stem}.png"
        if result.part_masks is not None and len(result.part_masks) > 1 and labels.is_file():
            body = body_parts(read_labels(labels)[::COARSE, ::COARSE])
            own = part_labels(result.part_masks, body.shape)
            inside = body >= 0
            found.append(own[inside])
            truth.append(body[inside])
            number.append(np.full(inside.sum(), index))
    inner = scored_indices(clip, None)
    score = ClipScore(tuple(clip.frames[i] for i in inner), *np.array(values)[inner].T)
    j, f = float(score.j.mean()), float(score.f.mean())
    row = {"clip": clip.name, "J": j, "F": f, "J&F": (j + f) / 2, **clip_stability(masks, clip_flows(clip))}
    if not found:
        return score, row, {}
    every = tuple(np.concatenate(x) for x in (found, truth, number))
    return score, row, {**agreement(*every[:2]), **identity(*every)}


def _limbs(segmenter: ClipSegmenter, clip: Clip, threshold: float) -> dict[str, float]:
    """J of a clip of the imbalance series, everywhere and near its limbs; see `_clip`."""
    near, whole = [], []
    for index, stem in list(enumerate(clip.frames))[1:]:
        labels = read_labels(clip.root / "Parts" / "480p" / clip.name / f"{stem}.png")
        body = body_parts(labels[::COARSE, ::COARSE])
        result = segmenter.segment(index, read_frame(clip.frame(stem)))
        found, truth = result.probability[::COARSE, ::COARSE] > threshold, body >= 0
        window = near_limbs(body, round(LIMB_REACH * body.shape[0]))
        near.append(region_similarity(found & window, truth & window))
        whole.append(region_similarity(found, truth))
    return {"J_limbs": float(np.mean(near)), "J": float(np.mean(whole))}


def render_series(config: Config, out: Path) -> None:
    """Renders the imbalance series to `out` (MVPS layout, annotated frames only)."""
    options = config.imbalance
    render_clips(series(options.levels, options.frames), out, config.data.workers, between=False)


def reference_policies(network: PDNet, data: Path, config: Config) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Table 5: the same network with other reference frames at test time, and with one of an unrelated clip.

    Returns:
        a row per policy and clip (J, F, J&F, stability), and milliseconds per frame of each policy but the control
        (median; model and reading).
    """
    rows, speed, options = [], {}, config.evaluate
    tree = read_tree(data)
    clips = {clip.name: clip for clip in tree.clips("val")}
    others = clips if len(clips) > 1 else clips | {clip.name: clip for clip in tree.clips("train")}
    for policy in ("first", "first+previous_k", "every_n", "random"):
        for clip in clips.values():
            segmenter = clip_segmenter(network, clip, policy, options.reference_k, config.seed)
            if policy not in speed:
                speed[policy] = _milliseconds(segmenter)
            rows.append({"policy": policy, **_clip(segmenter, clip, options.threshold)[1]})
    for name, clip in clips.items():
        segmenter = clip_segmenter(network, _after(name, others))
        rows.append({"policy": CONTROL, **_clip(segmenter, clip, options.threshold)[1]})
    return rows, speed


def _milliseconds(segmenter: ClipSegmenter) -> float:
    """Median time of a frame of the segmenter's clip, from the JPEG to the probability."""
    times = []
    for index in range(segmenter.count):
        began = time.perf_counter()
        segmenter.segment(index)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))
