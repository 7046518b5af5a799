"""Notebooks as pages."""

from __future__ import annotations

import nbformat
import pytest

from pdnet.errors import InputError
from pdnet.report.pages import execute
from tests.helpers import ROOT


def test_a_broken_cell_is_named_and_no_page_is_written(tmp_path):
    cells = [nbformat.v4.new_code_cell("1 + 1"), nbformat.v4.new_code_cell("# divide\n1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "bad.ipynb")
    with pytest.raises(InputError, match=r"cell 2 \('# divide'\): ZeroDivisionError"):
        execute(tmp_path / "bad.ipynb", tmp_path / "bad.html")
    assert not (tmp_path / "bad.html").exists()


def test_notebooks_are_stored_without_outputs():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        page = nbformat.read(path, as_version=4)
        assert all(not c.get("outputs") and c.get("execution_count") is None for c in page.cells), (
            path
        )
        assert any("parameters" in c.metadata.get("tags", []) for c in page.cells), path
