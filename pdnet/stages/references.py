"""data/480p, models/pdnet.safetensors -> results/references.csv: other reference frames at test
time.
"""

from __future__ import annotations

from pdnet.base.files import write_json, write_table
from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
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
    with only_writer(RESULTS):
        rows, milliseconds = reference_policies(network, WORKING, options=options, seed=seed)
        write_table(RESULTS / "references.csv", rows)
        write_json(RESULTS / "references-speed.json", milliseconds)
