"""Executing a notebook; its HTML page, the same whenever nothing changed."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdnet.base.files import write_text
from pdnet.base.lock import only_writer
from pdnet.base.parallel import each
from pdnet.config import CHECKPOINT, NOTEBOOKS, REPORTS, RESULTS, WORKING, Config
from pdnet.errors import InputError
from pdnet.report.browser_script import script_hash
from pdnet.report.index import navigation, write_index

if TYPE_CHECKING:
    from nbformat import NotebookNode

UNDECLARED = ("runs",)  # notebooks whose pages differ from run to run
RECORDED = ("study",)  # notebooks on what the repository holds, whatever the profile
CUT_PICTURES = ("report", "ablations", "explore")  # notebooks that cut probabilities themselves
WITH_WIDGETS = ("parts", "explore")  # notebooks that show pictures in place of widgets on a page
# nbconvert's page without the scripts that it takes from other hosts (require.js, MathJax, mermaid,
# widgets): it needs none of them, and can be read without a network in ten years. The policy holds
# the browser to it, whatever a cell has written; of scripts it lets one run, that of the failure
# browser, by its content.
PAGE = """{%- extends 'index.html.j2' -%}
{%- block html_head -%}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
font-src data:; style-src 'unsafe-inline'; script-src 'SCRIPT'; base-uri 'none';
form-action 'none'">
{{ super() }}
{%- endblock html_head -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block body_header -%}{{ super() }}{{ resources.navigation }}{%- endblock body_header -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
""".replace("SCRIPT", script_hash())


def execute(notebook: Path, html: Path, parameters: dict[str, Any] | None = None) -> None:
    """Runs a notebook with papermill in the project's root and writes it as HTML.

    Args:
        notebook: an .ipynb without outputs.
        html: page to write; nothing is written when a cell fails.
        parameters: override the values of the cell tagged `parameters`.

    Raises:
        InputError: no such notebook, or a cell failed; it is named with its first line and the
            error's.
    """
    import nbformat
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError

    if not notebook.is_file():
        raise InputError(f"{notebook}: no such notebook")
    try:
        nbformat.read(notebook, as_version=4)
    # nbformat looks into whatever JSON it finds as if it were a notebook
    except (ValueError, nbformat.ValidationError, AttributeError, LookupError, TypeError) as error:
        raise InputError(f"{notebook}: no notebook; `git checkout` it") from error
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
            # it listens on this machine alone, and would warn at each start of who listens in
            extra_arguments=["--log-level=ERROR"],
        )
    except papermill.PapermillExecutionError as error:
        first = next((line for line in error.source.splitlines() if line.strip()), "")
        # counted from 1; papermill puts the parameters in a cell of its own
        number = error.cell_index + (0 if parameters else 1)
        said = (error.evalue.splitlines() or [""])[0]
        raise InputError(
            f"{notebook}, cell {number} ('{first.strip()[:80]}'): {error.ename}: {said[:300]}"
        ) from error
    except (DeadKernelError, NoSuchKernel) as error:
        raise InputError(
            f"{notebook}: its kernel died or cannot be started ({error}); with little memory set "
            "machine.workers to 1"
        ) from error
    write_text(html, render(nbformat.read(executed, as_version=4), notebook.stem))


def render(notebook: NotebookNode, title: str) -> str:
    """The page of an executed notebook: without code, the same whenever its results are, and with
    everything in it that it shows.
    """
    from nbconvert import HTMLExporter

    for number, cell in enumerate(notebook.cells):  # papermill's own marks differ from run to run
        cell.id = f"cell-{number}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "outputs" in cell:  # progress bars tell times
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.pop("papermill", None)
    # of widgets that nobody sees on a page, under names that are drawn at random
    notebook.metadata.pop("widgets", None)
    exporter = HTMLExporter(
        raw_template=PAGE,
        exclude_input=True,
        exclude_output_prompt=True,
        exclude_input_prompt=True,
    )
    about = {"metadata": {"name": title}, "navigation": navigation(title)}
    page, _ = exporter.from_notebook_node(notebook, resources=about)
    return page


def execute_all(config: Config, names: list[str]) -> list[Path]:
    """Executes `notebooks/<name>.ipynb`, as many at a time as there are cores.

    Args:
        config: of the project; each notebook gets the profile and the evaluation split.
        names: of the notebooks; empty takes all.

    Returns:
        the pages, `reports/<name>.html`; `reports/index.html` leads to them.
    """
    names = names or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    jobs = [_job(config, name) for name in names]
    with only_writer(REPORTS):
        each(_execute, jobs, "notebooks", workers=config.machine.workers, unit="notebook")
        how = {"data": WORKING, "checkpoint": CHECKPOINT, "profile": config.profile}
        write_index(REPORTS, RESULTS, **how)
    return [page for _, page, _ in jobs]


def figure_folder(name: str) -> Path:
    """Where a notebook's figures go; what shows times or runs, which are never the same twice,
    stands apart.
    """
    return REPORTS / ("machine" if name in UNDECLARED else "figures") / name


def _job(config: Config, name: str) -> tuple[Path, Path, dict[str, Any]]:
    """Notebook, page and parameters."""
    parameters: dict[str, Any] = {"figures": str(figure_folder(name))}
    if name not in RECORDED:
        parameters["profile"] = config.profile
    if name not in (*RECORDED, *UNDECLARED):
        parameters["set_name"] = config.evaluate.set
    if name in CUT_PICTURES:
        parameters["threshold"] = config.evaluate.threshold
        parameters["people"] = config.evaluate.people
    if name == "report":
        parameters["best_worst"] = config.report.best_worst
        parameters["videos"] = str(REPORTS / "videos")
    if name in WITH_WIDGETS:
        parameters["interactive"] = False
    return NOTEBOOKS / f"{name}.ipynb", REPORTS / f"{name}.html", parameters


def _execute(job: tuple[Path, Path, dict[str, Any]]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # of the kernel: notebooks run side by side
    execute(*job)
