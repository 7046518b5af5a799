"""data/480p, data/flow -> results/comparison/METHOD."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.execution import execution, group
from pdnet.base.files import write_table
from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
from pdnet.base.parameters_file import shown
from pdnet.config import (
    COMPARED,
    COMPARED_SPEED,
    COMPARED_WORK,
    FLOW,
    WORKING,
    load_config,
)
from pdnet.errors import InputError


def run(params: Path, interaction: str) -> None:
    """Trains and scores one method of the comparison with every seed; one that the profile leaves
    out gets an empty `clips.csv`.

    Raises:
        InputError: no such method, or see `experiments.compare.run_method`.
    """
    config = load_config(params)
    options, out = config.comparison, COMPARED / interaction
    if interaction not in options.methods:
        known = ", ".join(options.methods)
        raise InputError(f"comparison.methods: '{shown(interaction)}' is unknown; known: {known}")
    if interaction not in options.run:
        with only_writer(out):
            write_table(out / "clips.csv", [])
        return
    # now, since it takes seconds and most methods are left out by default
    from pdnet.experiments.compare import ComparisonPlaces, run_method
    from pdnet.training.interrupt import Stopped

    speed = COMPARED_SPEED / f"{interaction}.json"
    places = ComparisonPlaces(data=WORKING, work=COMPARED_WORK, out=out, speed=speed)
    for tree in (WORKING, FLOW):
        vouch(tree)
    whole = execution(config.model_dump(mode="json"), Stopped)
    with only_writer(out), whole as above, group(above, "comparison") as runs:
        run_method(params, interaction, places, parent=runs.run_id)
