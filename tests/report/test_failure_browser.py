"""The table of frames to search in, as a page holds it."""

from __future__ import annotations

import pandas as pd
from bs4 import BeautifulSoup

from pdnet.data.layout import read_tree
from pdnet.report.browser_script import SCRIPT, script_hash
from pdnet.report.failure_browser import MaskSet, browser_html, browser_table
from pdnet.report.pages import PAGE


def test_the_page_allows_this_script_alone_and_every_picture_has_words(tree):
    clip = read_tree(tree).clips("val")[0]
    rows = []
    for number, stem in enumerate(clip.scored_frames()):
        row = {"clip": clip.name, "frame": stem, "people": 1.0, "motion": 0.1, "size": 0.2}
        row |= {"missed": 0.1 * number, "false": 0.15, "boundary": 0.0}
        rows.append(row | {"J": 0.9 - 0.1 * number, "F": 0.5, "J&F": 0.7 - 0.05 * number})
    truth = MaskSet("truth", tree / "Annotations/480p")
    table = browser_table(pd.DataFrame(rows), tree, truth)
    assert table["J&F"].is_monotonic_increasing and table["kind"].iloc[0] == "missed"
    assert (table["other"] == 1).all() and (table["gain"] < 0).all()
    html = browser_html(table, tree, truth, truth)
    assert html == browser_html(table, tree, truth, truth)
    page = BeautifulSoup(html, "html.parser")
    images = page.select("img")
    assert images and all(image["alt"].strip() for image in images)
    assert len(page.select("tbody tr")) == len(rows)
    assert [script.text for script in page.select("script")] == [SCRIPT]
    assert f"script-src '{script_hash()}'" in PAGE
