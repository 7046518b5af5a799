"""Results -> reports: every notebook executed, as a page with its figures."""

from __future__ import annotations

from pathlib import Path

from pdnet.config import Config
from pdnet.report.pages import execute_all


def run(config: Config, names: list[str] | None = None) -> list[Path]:
    """Executes notebooks; without names, all of them."""
    return execute_all(config, names or [])
