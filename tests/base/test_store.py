"""Runs go to the project's store, and their files stay beside it wherever it goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pdnet.base.store import tracking_client, tracking_store
from pdnet.base.tracking import Run

PICTURE = np.full((8, 8, 3), 200, np.uint8)


def test_pictures_are_found_after_the_project_was_moved(tmp_path, monkeypatch):
    before, after = tmp_path / "before", tmp_path / "after (100%) #2"
    before.mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(before)
    run = Run("experiment", "name")
    run.picture(PICTURE, "frames", 3)
    run.end()
    monkeypatch.chdir(tmp_path)
    shutil.move(before, after)
    monkeypatch.chdir(after)
    client = tracking_client()
    names = [Path(found.path) for found in client.list_artifacts(run.run_id, "images")]
    [name] = [name for name in names if name.suffix == ".png"]
    copied = client.download_artifacts(run.run_id, str(name), str(tmp_path))
    assert Path(copied).stat().st_size > 0
    kept = list((after / "mlruns").rglob("*.png"))
    assert [path.name for path in kept] == [name.name]


@pytest.mark.parametrize("place", [".", ".dvc/tmp/exps/tmpabc"])
def test_an_experiment_in_a_copy_tracks_in_the_project_that_started_it(
    place, tmp_path, monkeypatch
):
    copy = tmp_path / "project" / place
    copy.mkdir(parents=True)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    monkeypatch.chdir(copy)
    database = tracking_store().removeprefix("sqlite:///")
    assert Path(database).resolve() == tmp_path / "project/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere")
    assert tracking_store() == "http://somewhere"


START = """
import json
from pdnet.base.tracking import Run
run = Run("experiment", "name")
run.metrics(0, value=1.0)
run.end()
print(json.dumps(run.run_id))
"""


def test_processes_that_start_in_a_new_store_at_once_all_get_a_run(tmp_path):
    others = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", START],
            cwd=tmp_path,
            env={**others, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=120) for process in running]
    ids = [json.loads(out) for out, _ in said]
    assert None not in ids and len(set(ids)) == 3, said
