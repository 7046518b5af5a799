"""data/480p, data/flow -> results/comparison/METHOD."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
from pdnet.config import COMPARED, COMPARED_SPEED, COMPARED_WORK, FLOW, WORKING
from pdnet.experiments.compare import ComparisonPlaces, run_method


def run(params: Path, interaction: str) -> None:
    """Trains and scores one method of the comparison with every seed."""
    out, speed = COMPARED / interaction, COMPARED_SPEED / f"{interaction}.json"
    places = ComparisonPlaces(data=WORKING, work=COMPARED_WORK, out=out, speed=speed)
    for tree in (WORKING, FLOW):
        vouch(tree)
    with only_writer(out):
        run_method(params, interaction, places)
