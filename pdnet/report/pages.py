"""Executing a notebook; its HTML page, the same whenever nothing changed."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pdnet.base.files import write_text
from pdnet.base.parallel import each
from pdnet.base.tracking import Run
from pdnet.config import NOTEBOOKS, REPORTS, Config
from pdnet.errors import InputError

UNDECLARED = ("runs",)  # notebooks whose pages differ from run to run
CUT_PICTURES = ("report", "ablations")  # notebooks that cut probabilities themselves


def execute(notebook: Path, html: Path, parameters: dict[str, Any] | None = None) -> None:
    """Runs a notebook with papermill in the project's root and writes it as HTML.

    Args:
        notebook: an .ipynb without outputs.
        html: page to write; nothing is written when a cell fails.
        parameters: override the values of the cell tagged `parameters`.

    Raises:
        InputError: no such notebook, or a cell failed; it is named with its first line and the
            error.
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
            str(notebook),
            str(executed),
            parameters or {},
            cwd=".",
            kernel_name="python3",
            progress_bar=False,
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
    exporter = HTMLExporter(
        exclude_input=True, exclude_output_prompt=True, exclude_input_prompt=True
    )
    body, _ = exporter.from_notebook_node(page, resources={"metadata": {"name": notebook.stem}})
    write_text(html, body)


def execute_all(config: Config, names: list[str]) -> list[Path]:
    """Executes `notebooks/<name>.ipynb`, as many at a time as there are cores, and logs their
    figures to MLflow.

    Args:
        config: of the project; each notebook gets the profile and the evaluation split.
        names: of the notebooks; empty takes all.

    Returns:
        the pages, `reports/<name>.html`.
    """
    names = names or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    jobs = [_job(config, name) for name in names]
    each(_execute, jobs, "notebooks", workers=config.machine.workers, unit="notebook")
    _track(config, names)
    return [page for _, page, _ in jobs]


def figure_folder(name: str) -> Path:
    """Where a notebook's figures go; what shows times or runs, which are never the same twice,
    stands apart.
    """
    return REPORTS / ("machine" if name in UNDECLARED else "figures") / name


def _job(config: Config, name: str) -> tuple[Path, Path, dict[str, Any]]:
    """Notebook, page and parameters."""
    parameters: dict[str, Any] = {"profile": config.profile, "figures": str(figure_folder(name))}
    if name != "runs":
        parameters["set_name"] = config.evaluate.set
    if name in CUT_PICTURES:
        parameters["threshold"] = config.evaluate.threshold
    if name == "report":
        parameters["best_worst"] = config.report.best_worst
    if name == "parts":
        parameters["interactive"] = False
    return NOTEBOOKS / f"{name}.ipynb", REPORTS / f"{name}.html", parameters


def _execute(job: tuple[Path, Path, dict[str, Any]]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # of the kernel: notebooks run side by side
    execute(*job)


def _track(config: Config, names: list[str]) -> None:
    run = Run(f"pdnet-{config.profile}", "notebooks")
    for name in names:
        for figure in sorted(figure_folder(name).glob("*")):
            run.file(figure, f"figures/{name}")
    run.end()
