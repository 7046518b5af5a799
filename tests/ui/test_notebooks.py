"""Opening, running and saving every notebook changes nothing that git or DVC look at."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from pdnet.report.copies import fresh_copies
from pdnet.report.serve import EXPLORE
from tests.helpers import ROOT

COPIES = ROOT / EXPLORE
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def states() -> list[str]:
    """What git and DVC say of the working tree."""
    commands = (["git", "status", "--porcelain"], [sys.executable, "-m", "dvc", "status"])
    how = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
    return [subprocess.run(command, **how).stdout for command in commands]


@pytest.fixture(scope="module")
def before():
    fresh_copies(ROOT / "notebooks", COPIES)
    return states()


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_run_and_saved(name, before):
    path = COPIES / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    # as JupyterLab does: in the copy's folder
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(COPIES)}}).execute()
    nbformat.write(notebook, path)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert shown and not [output for output in shown if output.output_type == "error"]


def test_nothing_that_is_tracked_has_changed(before):
    assert states() == before
