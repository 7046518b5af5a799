"""The way into the pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup

from pdnet.base.files import write_table, write_text
from pdnet.errors import InputError
from pdnet.report.index import PAGES, navigation, write_index
from pdnet.report.report import in_words
from tests.helpers import ROOT, make_tree, save_image

SCORES = {"PDNet": 0.8, "all background": 0.0, "a row <with> signs": 0.3}


@pytest.fixture
def project(tmp_path) -> Path:
    """Results and two pages, one of them with its figure."""
    rows = [
        {"method": name, "J&F-Mean": value, "J-Mean": value, "F-Mean": value}
        for name, value in SCORES.items()
    ]
    write_table(tmp_path / "results/methods.csv", rows)
    write_text(tmp_path / "results/tables/conclusion.txt", "No trend.\n")
    make_tree(tmp_path / "data")
    (tmp_path / "network.safetensors").write_bytes(b"weights")
    for name in ("report", "runs"):
        write_text(tmp_path / f"reports/{name}.html", "<html></html>")
    picture = np.random.default_rng(0).integers(0, 255, (300, 900, 3), dtype=np.uint8)
    save_image(tmp_path / "reports" / PAGES["report"][1], picture)
    return tmp_path


def index(project: Path) -> BeautifulSoup:
    how = {"data": project / "data", "checkpoint": project / "network.safetensors"}
    page = write_index(project / "reports", project / "results", **how, profile="sample")
    return BeautifulSoup(page.read_text(), "html.parser")


def test_scores_words_and_pages_that_are_there(project):
    page = index(project)
    rows = [[cell.text for cell in row.select("th, td")] for row in page.select("table tr")[1:]]
    assert rows == [[name, *[f"{100 * value:.1f}"] * 3] for name, value in SCORES.items()]
    assert "No trend." in page.text and "J&F 80.0" in page.text
    assert {link["href"] for link in page.select("main a")} == {"report.html", "runs.html"}
    [picture] = page.select("img")
    assert picture["src"].startswith("data:image/jpeg") and "report" in picture["alt"]


def test_the_index_is_that_of_its_checkpoint_and_data_and_else_always_the_same(project):
    first = index(project)
    assert index(project) == first
    (project / "network.safetensors").write_bytes(b"other weights")
    second = index(project)
    assert second != first
    next((project / "data").rglob("*.png")).unlink()
    assert index(project) != second


def test_without_results_there_is_a_line_and_no_index(project):
    (project / "results/methods.csv").unlink()
    with pytest.raises(InputError, match=r"methods\.csv: missing"):
        index(project)
    assert not (project / "reports/index.html").exists()


def test_every_notebook_has_its_card_and_its_link(project):
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks == set(PAGES)
    links = BeautifulSoup(navigation("report"), "html.parser").select("a")
    assert {link["href"] for link in links} == {f"{n}.html" for n in {*PAGES, "index"} - {"report"}}


def test_other_data_are_not_compared_with_the_papers(project):
    assert "cannot be compared" in in_words(project / "results", "sample")
    # 88.1 in the paper's Table 1
    assert "a difference of -8.1" in in_words(project / "results", "paper")
