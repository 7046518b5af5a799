"""data/raw -> data/480p: the working copy."""

from __future__ import annotations

from pdnet.config import RAW, WORKING, Config
from pdnet.sources.preprocess import preprocess


def run(config: Config) -> None:
    """Resizes what is not done yet."""
    preprocess(RAW, WORKING, config.preprocess, config.machine.workers)
