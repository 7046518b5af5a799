"""What each pipeline stage does, as functions that DVC's thin files and the command line both call."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from pdnet.checkpoint import load_network
from pdnet.config import Config
from pdnet.data.layout import read_tree
from pdnet.data.preprocess import preprocess
from pdnet.data.sources import download
from pdnet.files import write_json, write_text
from pdnet.metrics.evaluator import overall, score_folder, write_results
from pdnet.metrics.region_contour import COLUMNS
from pdnet.metrics.stability import clip_flows, mean_stability
from pdnet.predict import measure_speed, predict_clips, reader_rows
from pdnet.tracking import Run
from pdnet.training.recipe import Training
from pdnet.training.state import seed_everything, write_table

SOURCE, RAW, WORKING = Path("data/source"), Path("data/raw"), Path("data/480p")
MODELS, RESULTS = Path("models"), Path("results")
CHECKPOINT = MODELS / "pdnet.safetensors"


def download_stage(config: Config) -> None:
    """`data/source` -> `data/raw`."""
    download(config, SOURCE, RAW)


def preprocess_stage(config: Config) -> None:
    """`data/raw` -> `data/480p`."""
    preprocess(RAW, WORKING, config.preprocess)


def train_stage(config: Config, data: Path = WORKING, out: Path = MODELS) -> Path:
    """`data/480p` -> `models/`; resumes an interrupted training with the same parameters and data."""
    return Training(config, data, out).fit()


def evaluate_stage(config: Config, data: Path = WORKING, checkpoint: Path = CHECKPOINT, out: Path = RESULTS) -> dict:
    """Predicts and scores the evaluation clips; writes masks, CSVs, JSONs and the reader's rows.

    Returns:
        the metrics as written to `metrics.json`.
    """
    seed_everything(config.seed)
    network = load_network(checkpoint).to("cuda" if torch.cuda.is_available() else "cpu")
    tree, options = read_tree(data), config.evaluate
    clips = tree.clips(options.set)
    predictions = out / "predictions"
    shutil.rmtree(predictions, ignore_errors=True)
    predict_clips(network, clips, predictions, options, config.seed)
    scores = score_folder(predictions, data, options.set, options.include_first_last)
    write_results(scores, out, options.set)
    others = reader_rows(clips, tree.clips("train"), predictions, options.include_first_last)
    rows = {"PDNet": overall(scores), **{name: overall(value) for name, value in others.items()}}
    write_text(out / "methods.csv", _table(rows))
    flows = {clip.name: clip_flows(clip) for clip in clips}
    stability = {
        name: mean_stability(clips, flows, folder) for name, folder in (("PDNet", predictions), ("truth", None))
    }
    write_table(out / "stability.csv", [{"method": name, **values} for name, values in stability.items()])
    metrics = {name: round(100 * value, 4) for name, value in rows["PDNet"].items()}
    metrics["above_best_reader_row"] = round(
        metrics["J&F-Mean"] - 100 * max(rows[name]["J&F-Mean"] for name in others), 4
    )
    metrics["warped_IoU"] = round(100 * stability["PDNet"]["warped_iou"], 4)
    metrics["flicker_per_100_frames"] = round(stability["PDNet"]["flicker"], 4)
    write_json(out / "metrics.json", metrics)
    speed = measure_speed(network, clips[0], options.fps_frames)
    write_json(out / "speed.json", speed)  # not declared to DVC: a time is never the same twice
    _track(config, metrics, speed, out)
    return metrics


def _table(rows: dict[str, dict[str, float]]) -> str:
    lines = [",".join(["method", *COLUMNS])]
    lines += [",".join([name, *(f"{row[c]:.6f}" for c in COLUMNS)]) for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def _track(config: Config, metrics: dict, speed: dict, out: Path) -> None:
    run = Run(f"pdnet-{config.profile}", "evaluate")
    run.parameters(config, **{f"speed.{k}": v for k, v in speed.items() if isinstance(v, str)})
    values = {**metrics, **{k: v for k, v in speed.items() if not isinstance(v, str)}}
    run.metrics(0, **{f"evaluation/{k.replace('&', 'and')}": float(np.float64(v)) for k, v in values.items()})
    for name in ("methods.csv", f"per-sequence_results-{config.evaluate.set}.csv"):
        run.file(out / name)
    run.end()
