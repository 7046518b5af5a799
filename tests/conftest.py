"""Fixtures that several tests share."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pdnet.cli import app
from pdnet.data.layout import Clip
from tests.helpers import TINY, Server, make_tree, rendered_cast, write_params


@pytest.fixture(scope="session")
def tracking_store(tmp_path_factory) -> str:
    """One store for all tests: making a new one takes MLflow several seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


@pytest.fixture(autouse=True)
def own_tracking(tracking_store, monkeypatch):
    """Runs of tests go to a store of their own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_store)


@pytest.fixture
def cli():
    """Calls the command line; gives (status, all output)."""

    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return call


@pytest.fixture
def tree(tmp_path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture(scope="session")
def cast(tmp_path_factory) -> Clip:
    """A rendered one, to be read alone: people beside figures, with their truth."""
    return rendered_cast(tmp_path_factory.mktemp("casts"))


@pytest.fixture
def tiny_params(tmp_path) -> Path:
    return write_params(tmp_path / "params.yaml", **TINY)


@pytest.fixture
def server():
    Server.ranges, Server.broken = [], False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/davis.zip"
        running.shutdown()
