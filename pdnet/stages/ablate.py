"""data/480p, data/imbalance, models/pdnet.safetensors -> results/ablation/VARIANT."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
from pdnet.config import ABLATION_WORK, SERIES, VARIANTS, WORKING
from pdnet.experiments.variants import Places, run_variant


def run(params: Path, name: str) -> None:
    """Trains and scores one variant with every seed."""
    places = Places(data=WORKING, series=SERIES, work=ABLATION_WORK, out=VARIANTS / name)
    for tree in (places.data, places.series):
        vouch(tree)
    with only_writer(places.out):
        run_variant(params, name, places)
