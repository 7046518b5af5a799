"""JupyterLab on copies of the notebooks, the explorer as an app, MLflow's pages; on this machine
alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlencode, urlsplit

from pdnet.base.store import tracking_client, tracking_store
from pdnet.base.tracking import experiment_name
from pdnet.config import NOTEBOOKS
from pdnet.errors import InputError
from pdnet.report.copies import fresh_copies

EXPLORE = Path("explore")  # git-ignored
HOST = "127.0.0.1"
# Voila's page asks another host for icons that nothing here shows: the browser is told not to
POLICY = {
    "Content-Security-Policy": "default-src 'self' data: blob: ws://127.0.0.1:* 'unsafe-inline' "
    "'unsafe-eval'"
}
KEPT = 600  # seconds that the kernel of a page stays after somebody closed it
PATIENCE = 60.0  # seconds that a server may take to start
TRIES = 50  # ports that are tried, from the first one on


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens at.

    Raises:
        InputError: none of `TRIES` is free.
    """
    for port in range(first, min(first + TRIES, 65536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
            # as servers do: a port that was given back a moment ago is free
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
            return port
    raise InputError(
        f"--port {first}: none of the {TRIES} ports from there on is free; give another"
    )


def lab_command(port: int, *, root: bool) -> list[str]:
    """The command that starts JupyterLab on the copies.

    Args:
        port: to listen at.
        root: as root, as in most containers; Jupyter wants to be told so.
    """
    command = [sys.executable, "-m", "jupyterlab", "--notebook-dir", str(EXPLORE)]
    command += ["--ip", HOST, f"--port={port}", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    return [*command, "--allow-root"] if root else command


def app_command(port: int) -> list[str]:
    """The command that serves the explorer as an app; it writes nothing."""
    notebook = NOTEBOOKS / "explore.ipynb"
    command = [sys.executable, "-m", "voila", str(notebook), f"--Voila.ip={HOST}", f"--port={port}"]
    command += [f"--Voila.tornado_settings={{'headers': {POLICY}}}"]
    command += [f"--MappingKernelManager.cull_idle_timeout={KEPT}"]
    return [*command, "--MappingKernelManager.cull_interval=60"]


def runs_address(server: str, experiment: str | None) -> str:
    """MLflow's page of an experiment's pipelines, as charts side by side; by itself MLflow opens on
    a page for language models.

    Args:
        server: MLflow's address.
        experiment: its id; None leads to the list of experiments.
    """
    if experiment is None:
        return f"{server}/#/experiments"
    shown = {
        "workflowType": "machine_learning",
        "searchFilter": "tags.kind = 'pipeline'",
        "compareRunsMode": "CHART",
    }
    return f"{server}/#/experiments/{experiment}/runs?{urlencode(shown, quote_via=quote)}"


def latest_experiment(profile: str) -> str | None:
    """The id of a profile's experiment; where it has none, that of the one that was last begun."""
    client = tracking_client()
    found = client.get_experiment_by_name(experiment_name(profile))
    ours = f"name LIKE '{experiment_name('')}%'"
    others = client.search_experiments(max_results=1, filter_string=ours)
    chosen = [found] if found else others
    return chosen[0].experiment_id if chosen else None


def ui_command(port: int, store: str) -> list[str]:
    """The command that serves MLflow's pages of a tracking store."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    return [*command, "--host", HOST, "--port", str(port)]


def is_root() -> bool:
    """Whether this process is the machine's administrator; nobody is on Windows."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def serve_lab(port: int, *, browser: bool) -> NoReturn:
    """JupyterLab until it is stopped."""
    for line in fresh_copies(NOTEBOOKS, EXPLORE):
        print(line, flush=True)
    _become(lab_command(free_port(port), root=is_root()), browser)


def serve_app(port: int, *, browser: bool) -> NoReturn:
    """The explorer as an app until it is stopped."""
    free = free_port(port)
    print(f"the explorer: http://{HOST}:{free} (its first page takes some seconds)", flush=True)
    _become(app_command(free), browser)


def serve_ui(port: int, profile: str, *, browser: bool) -> None:
    """MLflow's pages until they are stopped; where `MLFLOW_TRACKING_URI` is a server, its pages.

    Args:
        port: the first one that is tried.
        profile: whose runs are shown first.
        browser: whether one is opened, as soon as the server answers.
    """
    store, command = tracking_store(), None
    if store.startswith(("http://", "https://")):
        server = store.rstrip("/")
    else:
        free = free_port(port)
        server, command = f"http://{HOST}:{free}", ui_command(free, store)
    address = runs_address(server, latest_experiment(profile))
    print(f"runs: {address}", flush=True)
    if browser and has_screen():
        program = f"from {__name__} import open_when_ready as o; o({address!r})"
        subprocess.Popen([sys.executable, "-c", program])
    if command is not None:
        os.execv(command[0], command)


def has_screen() -> bool:
    """Whether a browser would have a window: on a server it would take the terminal."""
    windows = sys.platform in ("win32", "darwin")
    return windows or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_when_ready(address: str) -> None:
    """Opens a browser at a server that is starting, unless that takes longer than `PATIENCE`."""
    server, ends = urlsplit(address), time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        with socket.socket() as tried:
            if tried.connect_ex((server.hostname, server.port or 80)) == 0:
                webbrowser.open(address)
                return
        time.sleep(0.5)


def _become(command: list[str], browser: bool) -> NoReturn:
    """Goes on as the server itself, so that who stops this process stops it."""
    os.execv(command[0], command if browser else [*command, "--no-browser"])
