"""Notebooks as pages."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from pdnet.config import load_config
from pdnet.errors import InputError
from pdnet.report.pages import CUT_PICTURES, execute
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


def parameter_defaults(path: Path) -> dict[str, object]:
    """What a notebook's first cell of parameters says when it is opened by hand."""
    cells = nbformat.read(path, as_version=4).cells
    cell = next(c for c in cells if "parameters" in c.metadata.get("tags", []))
    values: dict[str, object] = {}
    exec(cell.source, values)
    return values


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_opened_by_hand_shows_what_the_pipeline_shows(path):
    config, values = load_config(ROOT / "params.yaml"), parameter_defaults(path)
    said = {"profile": config.profile, "set_name": config.evaluate.set}
    said |= {"threshold": config.evaluate.threshold, "best_worst": config.report.best_worst}
    for name, value in said.items():
        assert values.get(name, value) == value, name
    code = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    uses = any("threshold=threshold" in source for source in code)
    assert uses == ("threshold" in values) == (path.stem in CUT_PICTURES)
