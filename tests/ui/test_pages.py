"""The static pages in a browser: the failure browser, and what each page asks for."""

from __future__ import annotations

import pytest

from tests.helpers import ROOT

PAGES = sorted(path.stem for path in (ROOT / "reports").glob("*.html"))
ROWS = ".failure-browser tbody tr:visible"


@pytest.fixture(scope="module")
def failures(browser):
    page = browser.new_page(viewport={"width": 1400, "height": 1200})
    page.goto((ROOT / "reports/failures.html").as_uri())
    page.locator(".failure-browser form").wait_for()
    yield page
    page.close()


@pytest.fixture(autouse=True)
def all_frames(request):
    if "failures" in request.fixturenames:
        page = request.getfixturevalue("failures")
        page.get_by_role("button", name="all frames").click()


def column(page, name: str) -> list[str]:
    return page.locator(f"{ROWS} td[data-column='{name}']").all_inner_texts()


def test_a_filter_leaves_the_rows_that_fit(failures, watch):
    every = len(column(failures, "clip"))
    kind = failures.locator(".failure-browser select[name=kind]")
    seen = watch(failures, "failures")
    wanted = kind.locator("option").all_inner_texts()[-1]
    with seen.time("filter"):
        kind.select_option(wanted)
    assert set(column(failures, "kind")) == {wanted}
    of_kind = sorted(float(value) for value in column(failures, "J"))
    middle = of_kind[len(of_kind) // 2]
    failures.get_by_label("J (%), to").fill(str(middle))
    shown = [float(value) for value in column(failures, "J")]
    assert sorted(shown) == [value for value in of_kind if value <= middle]
    said = failures.locator(".failure-browser output").inner_text()
    assert said == f"{len(shown)} of {every} frames"
    seen.shot("filtered")


def test_a_columns_title_sorts_both_ways(failures):
    # by its text: an arrow that says which way joins its name
    title = failures.locator(".failure-browser th button", has_text="motion")
    for descending in (False, True):
        title.click()
        values = [float(value) for value in column(failures, "motion")]
        assert values == sorted(values, reverse=descending)


def test_a_row_opens_its_errors_and_the_frames_beside_it_of_both_sets(failures, watch):
    failures.locator(".failure-browser th button", has_text="J&F (%)").first.click()
    row = failures.locator(ROWS).first
    seen = watch(failures, "failures")
    with seen.time("open"):
        row.locator("button").click()
        failures.locator(".detail figure.chosen").first.wait_for()
    key = row.get_attribute("data-key")
    assert failures.locator(".detail p").first.inner_text().startswith(f"{key}: J&F")
    sets = failures.locator(".detail figure").evaluate_all("all => all.map(f => f.dataset.set)")
    assert set(sets) == {"A", "B"} and len(sets) >= 4
    seen.shot("opened")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_an_error_or_a_question_to_anybody(browser, name, watch):
    page = browser.new_page(viewport={"width": 1200, "height": 1600})
    errors: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto((ROOT / f"reports/{name}.html").as_uri())
    page.wait_for_load_state("networkidle")
    broken = page.locator("img").evaluate_all(
        "all => all.filter(i => !i.alt || (i.complete && !i.naturalWidth)).length"
    )
    watch(page, "page").shot(name)
    page.close()
    assert not errors and broken == 0
    assert all(url.startswith(("file:", "data:")) for url in asked)
