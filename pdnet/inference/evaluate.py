"""Predicting and scoring an evaluation split, with the rows to judge it by and its temporal
stability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pdnet.base.files import write_json, write_table
from pdnet.base.manifest import make_room
from pdnet.config import EvaluateConfig
from pdnet.data.layout import read_tree
from pdnet.inference.baselines import trivial_rows
from pdnet.inference.predict import mask_files, predict_clips
from pdnet.inference.speed import measure_speed
from pdnet.metrics.evaluator import overall, score_folder, write_results
from pdnet.metrics.region_contour import ClipScore
from pdnet.metrics.stability import clip_flows, mean_stability
from pdnet.model import PDNet

# what `dvc metrics` and `dvc exp show` list; recall and decay stand in the evaluator's files
COMPARED_BY = ("J&F-Mean", "J-Mean", "F-Mean", "above_best_reader_row", "warped_IoU", "flicker")


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation says.

    Attributes:
        scores: of each clip, shares.
        rows: of each method, `PDNet` first, shares: the content of `methods.csv`.
        metrics: per cent (flicker: of frames). `metrics.json` holds those of `COMPARED_BY`.
        speed: as written to `speed.json`; differs from run to run.
    """

    scores: Mapping[str, ClipScore]
    rows: Mapping[str, Mapping[str, float]]
    metrics: dict[str, float]
    speed: dict[str, float | str | int]


def evaluate(
    network: PDNet, data: Path, out: Path, *, options: EvaluateConfig, seed: int
) -> Evaluation:
    """Writes masks, the evaluator's files, `methods.csv`, `stability.csv`, `metrics.json` and
    `speed.json` to `out`.

    Args:
        network: in evaluation mode, on its device.
        data: working copy in the MVPS layout.
        out: folder for results; its `predictions` are made anew.
        options: of prediction and scoring.
        seed: of random references.
    """
    tree = read_tree(data)
    clips, predictions = tree.clips(options.set), out / "predictions"
    # a mask of a clip that is no longer in the list would be scored by whoever reads the folder
    make_room(predictions, mask_files(clips))
    predict_clips(network, clips, predictions, options=options, seed=seed)
    scores = score_folder(
        predictions, data, options.set, include_first_last=options.include_first_last
    )
    write_results(scores, out, options.set)
    others = trivial_rows(
        clips,
        training=tree.clips("train"),
        predictions=predictions,
        include_first_last=options.include_first_last,
    )
    rows = {"PDNet": overall(scores), **{name: overall(value) for name, value in others.items()}}
    write_table(
        out / "methods.csv", [{"method": name, **_shares(row)} for name, row in rows.items()]
    )
    # once for both rows: flow is what costs here
    flows = {clip.name: clip_flows(clip) for clip in clips}
    stability = {
        "PDNet": mean_stability(clips, flows, predictions),
        "truth": mean_stability(clips, flows, None),
    }
    write_table(out / "stability.csv", [{"method": name, **row} for name, row in stability.items()])
    metrics = _metrics(rows, stability["PDNet"])
    write_json(out / "metrics.json", {"test": {name: metrics[name] for name in COMPARED_BY}})
    # last, so that nothing else runs meanwhile
    speed = measure_speed(network, clips[0], options)
    write_json(out / "speed.json", speed)
    return Evaluation(scores, rows, metrics, speed)


def _shares(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.6f}" for name, value in row.items()}


def _metrics(
    rows: Mapping[str, Mapping[str, float]], stability: Mapping[str, float]
) -> dict[str, float]:
    """`PDNet`'s row in per cent, its lead over the best row without a network, its stability."""
    ours = rows["PDNet"]
    best = max(row["J&F-Mean"] for name, row in rows.items() if name != "PDNet")
    values = {name: 100 * value for name, value in ours.items()}
    values["above_best_reader_row"] = values["J&F-Mean"] - 100 * best
    values["warped_IoU"] = 100 * stability["warped_iou"]
    values["flicker"] = stability["flicker"]
    return {name: round(value, 4) for name, value in values.items()}
