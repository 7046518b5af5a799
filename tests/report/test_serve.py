"""Servers are started where there is room, and lead where people want to be."""

from __future__ import annotations

import socket
from urllib.parse import parse_qs, urlsplit

import pytest

from pdnet.base.tracking import Run
from pdnet.errors import InputError
from pdnet.report import serve


def test_a_port_that_is_taken_is_passed_over():
    with socket.socket() as taken:
        taken.bind((serve.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert serve.free_port(port) > port


def test_no_free_port_is_one_line(monkeypatch):
    monkeypatch.setattr(serve, "TRIES", 0)
    with pytest.raises(InputError, match="--port 5000: none of the 0 ports"):
        serve.free_port(5000)


def test_mlflow_opens_on_the_pipelines_side_by_side():
    address = serve.runs_address("http://127.0.0.1:5000", "7")
    page, _, query = urlsplit(address).fragment.partition("?")
    assert page == "/experiments/7/runs"
    asked = parse_qs(query)
    assert asked["compareRunsMode"] == ["CHART"]
    assert asked["workflowType"] == ["machine_learning"]
    assert asked["searchFilter"] == ["tags.kind = 'pipeline'"]
    assert serve.runs_address("http://x", None) == "http://x/#/experiments"


def test_a_profile_without_runs_leads_to_the_latest_that_has_some(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert serve.latest_experiment("sample") is None
    Run("somebody's", "x").end()
    Run("pdnet-davis", "x").end()
    davis = serve.latest_experiment("davis")
    assert serve.latest_experiment("sample") == davis is not None


class Became(Exception):
    """In place of the server that the process goes on as."""


def test_a_local_store_is_served_and_a_server_is_only_named(tmp_path, monkeypatch, capsys):
    def become(program: str, command: list[str]) -> None:
        raise Became(" ".join(command))

    store = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setattr("os.execv", become)
    with pytest.raises(Became, match=f"--backend-store-uri {store} --host 127.0.0.1 --port"):
        serve.serve_ui(5000, "sample", browser=False)
    assert capsys.readouterr().out.startswith("runs: http://127.0.0.1:")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/")
    monkeypatch.setattr(serve, "latest_experiment", lambda _: "3")
    serve.serve_ui(5000, "sample", browser=False)
    assert capsys.readouterr().out.startswith("runs: http://127.0.0.1:9/#/experiments/3/runs?")
