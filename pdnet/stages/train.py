"""data/480p -> models: the trained network and its curves."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.files import write_json
from pdnet.base.manifest import vouch
from pdnet.config import KERNELS, MODELS, WORKING, Config
from pdnet.model.device import kernels
from pdnet.training.loop import Training


def run(config: Config, data: Path = WORKING, out: Path = MODELS) -> Path:
    """Trains, or resumes an interrupted training with the same parameters, data and code."""
    vouch(data)
    path = Training(config, data, out).fit()
    write_json(out / KERNELS.name, kernels())
    return path
