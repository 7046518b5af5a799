"""data/480p, models/pdnet.safetensors -> results/references.csv: other reference frames at test
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pdnet.base.execution import execution, stage_run
from pdnet.base.files import write_json, write_table
from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
from pdnet.base.run_text import admitted, markdown_table
from pdnet.base.tracking import Run
from pdnet.config import CHECKPOINT, RESULTS, WORKING, Config
from pdnet.experiments.references import reference_policies
from pdnet.model.checkpoint import load_network
from pdnet.model.device import seed_everything, take_machine


def run(config: Config) -> None:
    """Scores the trained network with every policy; times go to a file that nothing declares."""
    seed_everything(config.seed)
    network = load_network(CHECKPOINT).to(take_machine(config.machine))
    options, seed = config.evaluate, config.seed
    vouch(WORKING)
    whole = execution(config.model_dump(mode="json"))
    with whole as above, stage_run(above, "references") as own:
        with only_writer(RESULTS):
            rows, milliseconds = reference_policies(network, WORKING, options=options, seed=seed)
            write_table(RESULTS / "references.csv", rows)
            write_json(RESULTS / "references-speed.json", milliseconds)
        _track(own, rows, milliseconds)


def _track(run: Run, rows: list[dict[str, Any]], milliseconds: Mapping[str, float]) -> None:
    """Means over clips of each policy, in per cent, and its time per frame."""
    columns = ("J&F", "J", "F")
    means = {}
    for policy in dict.fromkeys(row["policy"] for row in rows):
        chosen = [row for row in rows if row["policy"] == policy]
        means[policy] = {name: float(np.mean([row[name] for row in chosen])) for name in columns}
    scores = {f"test {admitted(name)}/JandF": 100 * row["J&F"] for name, row in means.items()}
    times = {f"timing/{admitted(name)} ms": value for name, value in milliseconds.items()}
    run.metrics(0, **scores, **times)
    run.describe(markdown_table("reference", means, columns))
