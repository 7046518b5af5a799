"""data/480p -> data/flow."""

from __future__ import annotations

from pdnet.config import FLOW, WORKING, Config
from pdnet.sources.flow import compute_flow


def run(config: Config) -> None:
    """Computes the optical flow, where a method that is run looks at it."""
    workers = config.machine.workers
    compute_flow(WORKING, FLOW, config.flow, wanted=config.wants_flow, workers=workers)
