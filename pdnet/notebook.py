"""Executing a notebook and turning it into an HTML page that is the same whenever nothing changed."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pdnet.errors import InputError
from pdnet.files import write_text


def execute(notebook: Path, html: Path, parameters: dict[str, Any] | None = None) -> None:
    """Runs a notebook with papermill in the project's root and writes it as HTML.

    Args:
        notebook: an .ipynb without outputs.
        html: page to write; nothing is written when a cell fails.
        parameters: override the values of the cell tagged `parameters`.

    Raises:
        InputError: no such notebook, or a cell failed; it is named with its first line and the error.
    """
    import nbformat
    import papermill
    from nbconvert import HTMLExporter

    if not notebook.is_file():
        raise InputError(f"{notebook}: no such notebook")
    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    executed = html.parent / "executed" / notebook.name
    executed.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(notebook), str(executed), parameters or {}, cwd=".", kernel_name="python3", progress_bar=True
        )
    except papermill.PapermillExecutionError as error:
        first = next((line for line in error.source.splitlines() if line.strip()), "")
        number = error.cell_index + (
            0 if parameters else 1
        )  # from 1; papermill puts the parameters in a cell of its own
        raise InputError(
            f"{notebook}, cell {number} ('{first.strip()[:80]}'): {error.ename}: {error.evalue}"
        ) from error
    page = nbformat.read(executed, as_version=4)
    for number, cell in enumerate(page.cells):  # papermill's own marks differ from run to run
        cell.id = f"cell-{number}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    page.metadata.pop("papermill", None)
    exporter = HTMLExporter(exclude_input=True, exclude_output_prompt=True, exclude_input_prompt=True)
    body, _ = exporter.from_notebook_node(page, resources={"metadata": {"name": notebook.stem}})
    write_text(html, body)
