"""data/480p, data/imbalance, models/pdnet.safetensors -> results/ablation/VARIANT."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.execution import execution, group
from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
from pdnet.config import ABLATION_WORK, SERIES, VARIANTS, WORKING, load_config
from pdnet.experiments.variants import Places, run_variant
from pdnet.training.interrupt import Stopped


def run(params: Path, name: str) -> None:
    """Trains and scores one variant with every seed."""
    places = Places(data=WORKING, series=SERIES, work=ABLATION_WORK, out=VARIANTS / name)
    for tree in (places.data, places.series):
        vouch(tree)
    config = load_config(params)
    whole = execution(config.model_dump(mode="json"), Stopped)
    with only_writer(places.out), whole as above, group(above, "ablation") as runs:
        run_variant(params, name, places, parent=runs.run_id)
