"""data/480p -> models: the trained network and its curves."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.execution import execution
from pdnet.base.files import write_json
from pdnet.base.manifest import vouch
from pdnet.base.tracking import Run, experiment_name
from pdnet.config import KERNELS, MODELS, WORKING, Config
from pdnet.inference import served
from pdnet.model.device import kernels
from pdnet.training.interrupt import Stopped
from pdnet.training.loop import Training, validation_scores


def run(config: Config, data: Path = WORKING, out: Path = MODELS) -> Path:
    """Trains, or resumes an interrupted training with the same parameters, data and code."""
    vouch(data)
    with execution(config.model_dump(mode="json"), Stopped) as whole:
        training = Training(config, data, out, parent=whole.run_id)
        path = training.fit()
        write_json(out / KERNELS.name, kernels())
        _publish(training, path)
    return path


def _publish(training: Training, checkpoint: Path) -> None:
    """The network as a model of MLflow's registry."""
    if training.run_id is None:
        return
    scores = validation_scores(training.progress.validation[-1])
    run = Run(experiment_name(training.config.profile), run_id=training.run_id, finished=True)
    how = {"loader": served.__name__, "data": training.data_hash}
    run.model(checkpoint, score=scores.get("J&F-Mean"), **how)
    run.end()
