"""Tracking never costs a training: no error, no wait, no word to anybody else."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pdnet.base import tracking
from pdnet.base.execution import execution
from pdnet.base.origin import git_commit
from pdnet.base.store import SETTINGS, tracking_client
from pdnet.base.tracking import Run
from pdnet.config import load_config
from tests.helpers import ROOT


@contextmanager
def hanging() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


class Recorder(http.server.BaseHTTPRequestHandler):
    """As much of MLflow's server as a run needs; some calls fail as often as is said."""

    failing: dict[str, int]
    metrics: list[str]

    def do_GET(self):
        self._answer({"experiment": {"experiment_id": "1", "name": "e"}})

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.path.rsplit("/", 1)[-1]
        if Recorder.failing.get(call, 0):
            Recorder.failing[call] -= 1
            self.send_error(500, "out of order")
            return
        Recorder.metrics += [metric["key"] for metric in content.get("metrics", [])]
        info = {"run_id": "r", "experiment_id": "1", "status": "RUNNING", "artifact_uri": "x"}
        self._answer({"run": {"info": info, "data": {}}})

    def _answer(self, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def recording(monkeypatch) -> Iterator[str]:
    Recorder.failing, Recorder.metrics = {}, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield address
        running.shutdown()


def everything(run: Run, steps: int = 200) -> None:
    """What a training asks of its run."""
    run.parameters({"train": {"epochs": 2}}, device="cpu")
    with run.machine_watched():
        for step in range(steps):
            run.metrics(step, **{"loss/total": 1.0})
            run.flush()
    run.picture(np.zeros((4, 4, 3), np.uint8), "frames")
    run.tags(kind="training")
    run.data("sample", "hash", Path("data"), "training")
    run.end()


def test_a_server_that_refuses_or_hangs_costs_one_call_and_one_line(monkeypatch, capsys):
    tracking_client()  # whose import takes longer than all that is measured
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(tracking, "PATIENCE", 1.0)
    with hanging() as slow:
        for address in (slow, "http://127.0.0.1:9"):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            began = time.monotonic()
            run = Run("experiment", "name")
            everything(run)
            assert run.run_id is None and time.monotonic() - began < 3.0
            text = capsys.readouterr().err
            assert text.count("goes on untracked") == text.count("warning") == 1
            assert "Traceback" not in text and ".py" not in text


def test_a_server_that_hangs_costs_all_runs_of_a_process_together_one_call(monkeypatch, capsys):
    tracking_client()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(tracking, "PATIENCE", 1.0)
    with hanging() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        began = time.monotonic()
        with execution(load_config(ROOT / "params.yaml").model_dump(mode="json")) as whole:
            assert whole.run_id is None
        for number in range(10):
            everything(Run("experiment", str(number), run_id="earlier"), steps=2)
        assert time.monotonic() - began < 3.0


def test_what_is_added_to_a_finished_run_leaves_its_status_and_times():
    run = Run("experiment", "name", tags={"checkpoint": "abc"})
    run.end("KILLED")
    client = tracking_client()
    before = client.get_run(run.run_id).info
    for known in ({"run_id": run.run_id}, {"same": "tags.checkpoint = 'abc'"}):
        later = Run("experiment", finished=True, **known)
        later.metrics(0, late=1.0)
        later.end()
        assert later.run_id == run.run_id and not later.fresh
    after = client.get_run(run.run_id)
    assert after.data.metrics["late"] == 1.0
    assert (after.info.status, after.info.end_time) == (before.status, before.end_time)
    for unknown in ({}, {"run_id": "earlier"}, {"same": "tags.checkpoint = 'none'"}):
        assert Run("experiment", finished=True, **unknown).run_id is None


def test_a_run_that_cannot_be_resumed_now_keeps_its_id(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert Run("experiment", "name", run_id="earlier").run_id == "earlier"


def test_metrics_that_a_server_refuses_are_written_at_the_next_flush(recording, capsys):
    run = Run("experiment", "name")
    Recorder.failing["log-batch"] = 2
    for step, name in enumerate("abc"):
        run.metrics(step, **{name: 1.0})
        run.flush()
    run.end()
    assert run.run_id == "r" and sorted(Recorder.metrics) == ["a", "b", "c"]
    assert capsys.readouterr().err.count("tries again") == 1


def test_a_server_that_goes_down_is_given_up_in_bounded_time(recording, monkeypatch, capsys):
    run = Run("experiment", "name")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(tracking, "PATIENCE", 2.0)
    monkeypatch.setattr(Recorder, "do_POST", lambda self: time.sleep(5))
    began = time.monotonic()
    everything(run)
    assert time.monotonic() - began < 5.0
    text = capsys.readouterr().err
    assert text.count("tries again") == text.count("goes on untracked") == 1


def test_a_damaged_local_store_costs_no_wait(tmp_path, monkeypatch, capsys):
    tracking_client()
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    began = time.monotonic()
    everything(Run("experiment", "name"))
    assert time.monotonic() - began < 10.0 and "untracked" in capsys.readouterr().err


def test_outside_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert git_commit() == "unknown"
    monkeypatch.setenv("PATH", "")
    assert git_commit() == "unknown"


@pytest.mark.parametrize("own", [{}, dict.fromkeys(SETTINGS, "1")])
def test_nobody_is_told_and_waits_are_short_unless_a_user_wants_it(own):
    program = "import os, json, pdnet.base.store; print(json.dumps(dict(os.environ)))"
    others = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**others, **own}, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert {name: found[name] for name in SETTINGS} == {**SETTINGS, **own}


def test_mlflow_reads_these_settings():
    from mlflow import environment_variables as read

    assert read.MLFLOW_DISABLE_TELEMETRY.get() is True
    assert read.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 0
    assert read.MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 5
