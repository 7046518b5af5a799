"""data/480p -> models: the trained network and its curves."""

from __future__ import annotations

from pathlib import Path

from pdnet.config import MODELS, WORKING, Config
from pdnet.training.loop import Training


def run(config: Config, data: Path = WORKING, out: Path = MODELS) -> Path:
    """Trains, or resumes an interrupted training with the same parameters, data and code."""
    return Training(config, data, out).fit()
