"""JupyterLab on copies of the notebooks, and the explorer as an app; on this machine alone."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

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


def _become(command: list[str], browser: bool) -> NoReturn:
    """Goes on as the server itself, so that who stops this process stops it."""
    os.execv(command[0], command if browser else [*command, "--no-browser"])
