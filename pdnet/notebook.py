"""Executing a notebook and turning it into an HTML page that is the same whenever nothing changed."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pdnet.config import Config
from pdnet.errors import InputError
from pdnet.files import write_text
from pdnet.parallel import each

NOTEBOOKS, REPORTS = Path("notebooks"), Path("reports")


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
            str(notebook), str(executed), parameters or {}, cwd=".", kernel_name="python3", progress_bar=False
        )
    except papermill.PapermillExecutionError as error:
        first = next((line for line in error.source.splitlines() if line.strip()), "")
        # counted from 1; papermill puts the parameters in a cell of its own
        number = error.cell_index + (0 if parameters else 1)
        raise InputError(
            f"{notebook}, cell {number} ('{first.strip()[:80]}'): {error.ename}: {error.evalue}"
        ) from error
    page = nbformat.read(executed, as_version=4)
    for number, cell in enumerate(page.cells):  # papermill's own marks differ from run to run
        cell.id = f"cell-{number}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "outputs" in cell:  # progress bars tell times
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    page.metadata.pop("papermill", None)
    exporter = HTMLExporter(exclude_input=True, exclude_output_prompt=True, exclude_input_prompt=True)
    body, _ = exporter.from_notebook_node(page, resources={"metadata": {"name": notebook.stem}})
    write_text(html, body)


def execute_all(config: Config, names: list[str]) -> list[Path]:
    """Executes `notebooks/<name>.ipynb`, as many at a time as there are cores, and logs their figures to MLflow.

    Args:
        config: of the project; each notebook gets the profile and the evaluation split.
        names: of the notebooks; empty takes all.

    Returns:
        the pages, `reports/<name>.html`.
    """
    names = names or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    common = {"profile": config.profile, "set_name": config.evaluate.set}
    own = {"report": {"best_worst": config.report.best_worst}, "parts": {"interactive": False}}
    pages = [REPORTS / f"{name}.html" for name in names]
    jobs = [
        (NOTEBOOKS / f"{name}.ipynb", page, {**common, "figures": str(REPORTS / "figures" / name), **own.get(name, {})})
        for name, page in zip(names, pages, strict=True)
    ]
    each(_execute, jobs, "notebooks", unit="notebook")
    _track(config, names)
    return pages


def _execute(job: tuple[Path, Path, dict[str, Any]]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # of the kernel: notebooks run side by side
    execute(*job)


def _track(config: Config, names: list[str]) -> None:
    from pdnet.tracking import Run

    run = Run(f"pdnet-{config.profile}", "notebooks")
    for name in names:
        for figure in sorted((REPORTS / "figures" / name).glob("*")):
            run.file(figure, f"figures/{name}")
    run.end()
