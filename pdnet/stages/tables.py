"""results/ablation, results/references.csv -> results/tables."""

from __future__ import annotations

import shutil
from pathlib import Path

from pdnet.base.execution import execution, group
from pdnet.base.lock import only_writer
from pdnet.config import FEATURES, RESULTS, TABLES, VARIANTS, load_config
from pdnet.experiments.tables import write_tables


def run(params: Path) -> None:
    """Writes Tables 3, 4 and 5, our own variants, the imbalance experiment and the conclusion."""
    with only_writer(TABLES):
        write_tables(params, VARIANTS, RESULTS / "references.csv", TABLES)
    config = load_config(params)
    whole = execution(config.model_dump(mode="json"))
    with whole as above, group(above, "ablation") as runs:
        runs.describe_by_tables(TABLES)
    # every variant is scored
    shutil.rmtree(FEATURES, ignore_errors=True)
