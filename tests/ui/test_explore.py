"""Every widget of the explorer, as a user moves it, in JupyterLab and as an app."""

from __future__ import annotations

import subprocess

import pytest

from tests.helpers import ROOT

LONG = 180_000  # milliseconds: a first page starts a kernel and runs two networks on a clip
PICTURES = "img.widget-image:visible"


def opened_app(page, address: str) -> None:
    page.goto(address)


def opened_lab(page, address: str) -> None:
    page.goto(address.replace("/lab?", "/lab/tree/explore.ipynb?"))
    page.locator(".jp-Notebook").wait_for(timeout=LONG)
    # a cell that is run before there is a kernel is run by none
    page.get_by_text("| Idle").first.wait_for(timeout=LONG)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


OPENED = {"app": opened_app, "lab": opened_lab}


@pytest.fixture(scope="module", params=OPENED)
def place(request, browser):
    """The explorer's page, with its first picture drawn, and where it is."""
    address = request.getfixturevalue(request.param)
    page = browser.new_page(viewport={"width": 1500, "height": 1300})
    page.set_default_timeout(LONG)
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: asked.remove(request.url))
    OPENED[request.param](page, address)
    page.locator(PICTURES).first.wait_for()
    yield page, request.param
    page.close()
    assert not failed, failed
    elsewhere = [url for url in asked if url.startswith("http") and "127.0.0.1" not in url]
    assert not elsewhere, elsewhere


def source(page, number: int) -> str:
    return page.locator(PICTURES).nth(number).get_attribute("src")


def changed(page, number: int, before: str) -> None:
    """Waits until a picture is another one."""
    page.wait_for_function(
        "([selector, number, before]) => {"
        "  const all = [...document.querySelectorAll('img.widget-image')];"
        "  const shown = all.filter((image) => image.offsetParent !== null)[number];"
        "  return shown && shown.src !== before && shown.complete; }",
        arg=[PICTURES, number, before],
    )


def says(page, number: int, text: str) -> None:
    """Waits until the words of a picture hold a text."""
    page.locator(PICTURES).nth(number).and_(page.locator(f"[title*='{text}']")).wait_for()


def dropdown(page, label: str):
    """The list whose label is exactly this."""
    named = page.locator(f".widget-label:text-is('{label}')")
    return page.locator(".widget-dropdown").filter(has=named).locator("select")


def captions(page) -> list[str]:
    return [text for text in page.locator(".widget-html").all_inner_texts() if ": J" in text]


def test_the_slider_moves_both_pictures_and_the_cursor(place, watch):
    page, name = place
    seen = watch(page, name)
    seen.shot("opened")
    before = [source(page, number) for number in range(3)]
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.focus()
    with seen.time("slider"):
        page.keyboard.press("ArrowRight")
        for number in range(3):
            changed(page, number, before[number])
    for number in range(3):
        # the words stand for the picture where it cannot be seen
        assert "(8 of 13)" in page.locator(PICTURES).nth(number).get_attribute("title")


@pytest.mark.parametrize(
    "layer", ["mask", "errors", "one part", "true parts", "probability", "frame", "parts"]
)
def test_a_layer_is_drawn(place, watch, layer):
    page, name = place
    before = source(page, 0)
    with watch(page, name).time(layer):
        dropdown(page, "layer").select_option(layer)
        changed(page, 0, before)
    watch(page, name).shot(layer.replace(" ", "-"))


def test_another_part_is_another_picture(place):
    page, _ = place
    before = source(page, 0)
    dropdown(page, "layer").select_option("one part")
    changed(page, 0, before)
    before = source(page, 0)
    dropdown(page, "part").select_option("3")
    changed(page, 0, before)


def test_motion_arrows_come_and_go(place, watch):
    page, name = place
    dropdown(page, "layer").select_option("parts")
    box = page.get_by_label("motion of each part")
    for what in ("on", "off"):
        before = source(page, 0)
        box.click()
        changed(page, 0, before)
        watch(page, name).shot(f"arrows-{what}")


def test_a_click_on_a_pixel_shows_where_it_looks(place, watch):
    page, name = place
    page.get_by_role("button", name="forget the pixel").click()
    assert page.locator(PICTURES).count() == 3
    before = source(page, 0)
    with watch(page, name).time("click on a pixel"):
        page.locator(PICTURES).first.click(position={"x": 330, "y": 160})
        changed(page, 0, before)
        page.wait_for_function("() => document.body.innerText.includes('where the pixel looks')")
    watch(page, name).shot("pixel")
    # a picture of where it looks under each of A and B
    assert page.locator(PICTURES).count() == 5
    page.get_by_role("button", name="forget the pixel").click()
    page.wait_for_function("() => !document.body.innerText.includes('where the pixel looks')")


def test_another_network_changes_its_side_alone(place, watch):
    page, name = place
    a, b = captions(page)
    with watch(page, name).time("B, another network, its clip computed"):
        dropdown(page, "B").select_option("without IPDA and fusion, seed 1")
        says(page, 1, "without IPDA")
        page.wait_for_function("() => document.body.innerText.includes('has no parts')")
    watch(page, name).shot("without-parts")
    assert captions(page)[0] == a and captions(page)[1] != b
    with watch(page, name).time("B, back to one that is kept"):
        dropdown(page, "B").select_option("shipped: people")
        says(page, 1, "shipped: people")


def test_a_file_is_taken_and_one_that_is_not_there_is_one_line(place):
    page, _ = place
    typed = page.get_by_placeholder("or the path of a checkpoint for A")
    typed.fill("/no/such.safetensors")
    typed.press("Enter")
    page.wait_for_function(
        "() => document.body.innerText.includes('/no/such.safetensors: no such checkpoint; at')"
    )
    typed.fill("pdnet/weights/free.safetensors")
    before = source(page, 0)
    typed.press("Enter")
    changed(page, 0, before)
    dropdown(page, "A").select_option("main training")
    says(page, 0, "main training")


def test_another_clip_and_split(place, watch):
    page, name = place
    with watch(page, name).time("another clip, both networks"):
        dropdown(page, "clip").select_option("lecture/planetarium")
        says(page, 1, "lecture/planetarium")
    with watch(page, name).time("another split"):
        dropdown(page, "split").select_option("train")
        # its first clip
        says(page, 1, "entertainment/dance-hall")
    watch(page, name).shot("train")


def test_a_click_on_the_curve_goes_to_a_frame(place, watch):
    page, name = place
    curve = page.locator(PICTURES).last
    before = source(page, 0)
    curve.click(position={"x": 100, "y": 90})
    changed(page, 0, before)
    watch(page, name).shot("curve")


def test_play_runs_through_the_clip(place):
    page, _ = place
    before = source(page, 0)
    page.locator(".widget-play button").first.click()
    changed(page, 0, before)
    changed(page, 0, source(page, 0))
    page.locator(".widget-play button").nth(1).click()


def test_saving_in_jupyterlab_changes_nothing_that_git_tracks(place):
    page, name = place
    if name == "lab":
        page.keyboard.press("Control+s")
        page.wait_for_timeout(2000)
        assert (ROOT / "explore/explore.ipynb").is_file()
    said = subprocess.run(
        ["git", "status", "--porcelain", "notebooks", "explore"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == ""
