"""One run in MLflow for a pipeline, and below it those of its stages."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pdnet.base.execution import distinguishing, execution, group, stage_run
from pdnet.base.store import tracking_client
from pdnet.config import load_config
from tests.helpers import ROOT

DEFAULTS = load_config(ROOT / "params.yaml").model_dump(mode="json")


def entered(parameters: dict) -> str:
    with execution(parameters) as whole:
        pass
    return whole.run_id


def changed(**model: object) -> dict:
    return {**DEFAULTS, "profile": "executions", "model": {**DEFAULTS["model"], **model}}


def test_stages_of_one_execution_share_a_run_and_other_parameters_have_another():
    first = entered(changed())
    assert entered(changed()) == first
    assert entered(changed(parts=3)) != first


def test_an_experiment_of_dvc_has_a_run_of_its_own_that_bears_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    plain = entered(changed(parts=4))
    monkeypatch.setenv("DVC_EXP_NAME", "brisk-otter")
    named = entered(changed(parts=4))
    run = tracking_client().get_run(named)
    assert named != plain and run.info.run_name.startswith("brisk-otter executions ipda p=4")
    assert run.data.tags["dvc_experiment"] == "brisk-otter"
    assert run.data.params["model.parts"] == "4" and len(run.data.params) < 10
    file = tracking_client().download_artifacts(named, "parameters.yaml", str(tmp_path))
    assert yaml.safe_load(Path(file).read_text()) == changed(parts=4)
    assert distinguishing(changed(parts=4)).items() <= run.data.tags.items()


def test_it_runs_while_a_stage_does_and_ends_as_that_stage_ends():
    client = tracking_client()
    with execution(changed(parts=6)) as whole:
        assert client.get_run(whole.run_id).info.status == "RUNNING"
    ended = client.get_run(whole.run_id).info
    assert ended.status == "FINISHED" and ended.end_time >= ended.start_time
    with pytest.raises(KeyboardInterrupt), execution(changed(parts=6)):
        assert client.get_run(whole.run_id).info.status == "RUNNING"
        raise KeyboardInterrupt
    assert client.get_run(whole.run_id).info.status == "KILLED"
    with pytest.raises(ValueError), execution(changed(parts=6)):
        raise ValueError
    assert client.get_run(whole.run_id).info.status == "FAILED"
    assert client.get_run(whole.run_id).info.start_time == ended.start_time


def test_a_group_is_one_run_per_execution_and_stands_below_it():
    def ids(parameters: dict) -> tuple[str, str, str]:
        with execution(parameters) as above, group(above, "ablation") as runs:
            pass
        with execution(parameters) as above, stage_run(above, "evaluate") as own:
            pass
        return above.run_id, runs.run_id, own.run_id

    above, runs, own = ids(changed(parts=7))
    again = ids(changed(parts=7))
    assert again[:2] == (above, runs) and again[2] != own
    for child in (runs, own):
        tags = tracking_client().get_run(child).data.tags
        assert tags["mlflow.parentRunId"] == above
    assert ids(changed(parts=8))[1] != runs
