"""Notebooks as pages."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from pdnet.base.lock import only_writer
from pdnet.config import load_config
from pdnet.errors import InputError
from pdnet.report.pages import CUT_PICTURES, execute, execute_all, render
from tests.helpers import ROOT

BROKEN = {
    "1 / 0": r"cell 2 \('# broken'\): ZeroDivisionError: division by zero$",
    "raise ValueError('first\\nsecond')": r"cell 2 \('# broken'\): ValueError: first$",
    "import os; os._exit(9)": "its kernel died",
}


@pytest.mark.parametrize(("source", "says"), BROKEN.items(), ids=range(len(BROKEN)))
def test_a_broken_cell_is_named_and_no_page_is_written(tmp_path, source, says):
    sources = ("1 + 1", "# broken\n" + source)
    cells = [nbformat.v4.new_code_cell(text) for text in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "bad.ipynb")
    with pytest.raises(InputError, match=says) as error:
        execute(tmp_path / "bad.ipynb", tmp_path / "bad.html")
    assert "\n" not in str(error.value) and not (tmp_path / "bad.html").exists()


@pytest.mark.parametrize("text", ["", "<<<<<<< HEAD", "{}", "[]", '{"nbformat": 4}'])
def test_a_file_that_is_no_notebook_is_one_line(tmp_path, text):
    (tmp_path / "bad.ipynb").write_text(text)
    with pytest.raises(InputError, match="no notebook"):
        execute(tmp_path / "bad.ipynb", tmp_path / "bad.html")


SHOWN = """
import ipywidgets, matplotlib.pyplot as plt, pandas as pd, sys
from IPython.display import Markdown, display
sys.stderr.write("0.31 s")
slider = ipywidgets.IntSlider()
display(pd.DataFrame({"J": [1.0]}), Markdown("**bold** $x^2$"))
figure, axis = plt.subplots(figsize=(1, 1))
axis.plot([0, 1])
display(figure)
plt.close()
"""


def outside(html: str) -> list[str]:
    """What a browser would fetch to show a page."""
    found = [tag.name for tag in BeautifulSoup(html, "html.parser").select("script, link, iframe")]
    for tag in BeautifulSoup(html, "html.parser").select("[src], [srcset], [data], [poster]"):
        found += [value for value in tag.attrs.values() if not str(value).startswith("data:")]
    return [*found, *re.findall(r"@import|url\(['\"]?(?!data:)[^)]*", html)]


def test_a_page_holds_all_that_it_shows_and_is_the_same_twice(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# Title\nWords."), nbformat.v4.new_code_cell(SHOWN)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "x.ipynb")
    pages = []
    for name in ("first.html", "second.html"):
        execute(tmp_path / "x.ipynb", tmp_path / name)
        pages.append((tmp_path / name).read_bytes())
    page = BeautifulSoup(pages[0], "html.parser")
    assert pages[0] == pages[1] and b"0.31 s" not in pages[0]
    assert page.select("table") and page.select("h1") and page.select("strong")
    images = page.select("img")
    assert images and all(image["src"].startswith("data:image/png") for image in images)
    for image in images:
        image.extract()
    assert outside(str(page)) == []
    policy = page.select_one("meta[http-equiv='Content-Security-Policy']")["content"]
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_no_page_takes_anything_from_another_host(path):
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["widgets"] = {}  # as if a slider had been drawn
    assert outside(render(notebook, path.stem)) == []


def test_two_commands_do_not_write_the_pages_at_once(tmp_path, monkeypatch):
    config = load_config(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    with only_writer(Path("reports")), pytest.raises(InputError, match="in use by"):
        execute_all(config, ["report"])


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
