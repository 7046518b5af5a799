"""A headless Chromium, and the servers that it looks at; `make test-ui` runs these tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.helpers import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SHOTS = ROOT / "build/screenshots"
# what the three servers print: Voila and JupyterLab when they listen, ours before MLflow does
READY = r"(?:is running at:\s.*?|^runs: )(http://127\.0\.0\.1:\d+\S*)"
START = 90  # seconds for a server; it takes five


def missing() -> str | None:
    """Why these tests cannot run here."""
    if os.environ.get("PDNET_UI") != "1":
        return "`make test-ui` runs them"
    if CHROMIUM is None:
        return "no chromium; on Debian: apt-get install chromium"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "no playwright; `make test-ui` brings it"
    if not (ROOT / "models/pdnet.safetensors").is_file() or not (ROOT / "results").is_dir():
        return "no trained network to look at; `make repro` first"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing()
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    # as root, as in a container, Chromium has no sandbox
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield running
        running.close()


@contextmanager
def served(*command: str) -> Iterator[str]:
    """The address that a server of the project prints, while it runs."""
    log = ROOT / f"build/{command[0]}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "pdnet.cli", *command, "--no-browser"],
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield address_in(log, server)
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def address_in(log: Path, server: subprocess.Popen) -> str:
    until = time.monotonic() + START
    while time.monotonic() < until and server.poll() is None:
        said = log.read_text()
        ready = re.search(READY, said, re.DOTALL)
        if ready:
            return ready[1]
        time.sleep(0.2)
    raise AssertionError(f"no server: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def app() -> Iterator[str]:
    with served("app") as address:
        yield address


@pytest.fixture(scope="session")
def lab() -> Iterator[str]:
    with served("lab") as address:
        yield address


@pytest.fixture(scope="session")
def mlflow() -> Iterator[str]:
    with served("ui") as address:
        wait_for(address)
        yield address


def wait_for(address: str) -> None:
    """Until a server answers."""
    until = time.monotonic() + START
    while time.monotonic() < until:
        try:
            urlopen(address.partition("#")[0], timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"no answer: {address}")


class Watch:
    """Prints how long each thing took, and takes a picture of the page."""

    def __init__(self, page, name: str) -> None:
        self.page, self.name = page, name

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        print(f"\n{self.name}: {what}: {time.perf_counter() - began:.2f} s", end="")

    def shot(self, what: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{self.name}-{what}.png")


@pytest.fixture
def watch():
    return Watch
