"""Results -> reports: every notebook executed, as a page with its figures."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.execution import execution, stage_run
from pdnet.base.manifest import vouch
from pdnet.config import SERIES, WORKING, Config
from pdnet.report.pages import execute_all, figure_folder


def run(config: Config, names: list[str] | None = None) -> list[Path]:
    """Executes notebooks; without names, all of them. MLflow gets their figures."""
    for tree in (WORKING, SERIES):
        vouch(tree)
    whole = execution(config.model_dump(mode="json"))
    with whole as above, stage_run(above, "notebooks") as own:
        pages = execute_all(config, names or [])
        for page in pages:
            for figure in sorted(figure_folder(page.stem).glob("*.png")):
                own.file(figure, f"figures/{page.stem}")
    return pages
