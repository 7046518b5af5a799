"""data/480p, models/pdnet.safetensors -> results: masks and scores of the evaluation clips."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
from pdnet.base.tracking import Run
from pdnet.config import CHECKPOINT, RESULTS, WORKING, Config
from pdnet.inference.evaluate import Evaluation, evaluate
from pdnet.model.checkpoint import load_network
from pdnet.model.device import seed_everything, take_machine


def run(
    config: Config, data: Path = WORKING, checkpoint: Path = CHECKPOINT, out: Path = RESULTS
) -> Evaluation:
    """Predicts, scores and tracks."""
    seed_everything(config.seed)
    network = load_network(checkpoint).to(take_machine(config.machine))
    vouch(data)
    with only_writer(out):
        evaluation = evaluate(network, data, out, options=config.evaluate, seed=config.seed)
    _track(config, evaluation, out)
    return evaluation


def _track(config: Config, evaluation: Evaluation, out: Path) -> None:
    run = Run(f"pdnet-{config.profile}", "evaluate")
    texts, numbers = {}, dict(evaluation.metrics)
    for name, value in evaluation.speed.items():
        if isinstance(value, str):
            texts[f"speed.{name}"] = value
        else:
            numbers[name] = value
    run.parameters(config.model_dump(), **texts)
    run.metrics(0, **{f"evaluation/{k.replace('&', 'and')}": v for k, v in numbers.items()})
    for name in ("methods.csv", f"per-sequence_results-{config.evaluate.set}.csv"):
        run.file(out / name)
    run.end()
