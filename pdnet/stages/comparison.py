"""data/480p, results/comparison -> results/comparison_tables."""

from __future__ import annotations

import shutil
from pathlib import Path

from pdnet.base.execution import execution, group
from pdnet.base.lock import only_writer
from pdnet.base.manifest import vouch
from pdnet.config import COMPARED, COMPARED_TABLES, FEATURES, WORKING, load_config
from pdnet.experiments.comparison_tables import write_comparison


def run(params: Path) -> None:
    """Writes Tables 1 and 2 from what the methods scored, and scores the masks of others."""
    vouch(WORKING)
    with only_writer(COMPARED_TABLES):
        write_comparison(params, WORKING, COMPARED, COMPARED_TABLES)
    config = load_config(params)
    if config.comparison.run:
        whole = execution(config.model_dump(mode="json"))
        with whole as above, group(above, "comparison") as runs:
            runs.describe_by_tables(COMPARED_TABLES)
    # every method is scored
    shutil.rmtree(FEATURES, ignore_errors=True)
