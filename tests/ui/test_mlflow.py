"""MLflow's page that `make ui` opens: pipelines side by side, with charts and pictures."""

from __future__ import annotations

import re

LONG = 120_000  # milliseconds: the server starts, and its page is large


def test_it_opens_on_the_pipelines_with_their_scores(browser, mlflow, watch):
    page = browser.new_page(viewport={"width": 1600, "height": 1100})
    page.set_default_timeout(LONG)
    seen = watch(page, "mlflow")
    with seen.time("charts"):
        page.goto(mlflow)
        page.get_by_text("test/JandF-Mean").first.wait_for()
        page.locator(".js-plotly-plot .bars path").first.wait_for()
    seen.shot("charts")
    assert "compareRunsMode=CHART" in page.url
    names = page.get_by_text(re.compile(r"^sample ipda p=\d+ seed=\d+"))
    assert names.count() >= 1
    page.mouse.move(900, 600)
    with seen.time("pictures"):
        for _ in range(30):
            page.mouse.wheel(0, 400)
            page.wait_for_timeout(100)
        page.locator("img[src*='images']").first.wait_for()
    seen.shot("pictures")
    page.close()
