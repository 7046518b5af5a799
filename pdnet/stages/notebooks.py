"""Results -> reports: every notebook executed, as a page with its figures."""

from __future__ import annotations

from pathlib import Path

from pdnet.base.manifest import vouch
from pdnet.config import SERIES, WORKING, Config
from pdnet.report.pages import execute_all


def run(config: Config, names: list[str] | None = None) -> list[Path]:
    """Executes notebooks; without names, all of them."""
    for tree in (WORKING, SERIES):
        vouch(tree)
    return execute_all(config, names or [])
