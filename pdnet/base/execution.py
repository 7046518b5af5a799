"""The MLflow run of a pipeline's execution, and the groups of runs below it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pdnet.base.files import file_hash, value_hash
from pdnet.base.imports import PACKAGE
from pdnet.base.parameters_file import read_parameters
from pdnet.base.tracking import Run, experiment_name, flat, tracked
from pdnet.errors import InputError

PARAMETERS = Path("params.yaml")


@contextmanager
def execution(parameters: dict[str, Any], *killed_by: type[BaseException]) -> Iterator[Run]:
    """The run that the runs of all stages stand below: as long as one of them is at work it is
    RUNNING, after it what became of that one.

    The stages of an execution are processes of their own. What they have in common makes them one:
    parameters, code and DVC's experiment. So an execution that is stopped and started again, or
    whose notebooks are made anew, goes on in its run; another value, or a changed line of code, is
    another execution. What DVC takes from its cache is at work in none.

    Args:
        parameters: all of them, resolved.
        killed_by: what ends the run as KILLED, as Ctrl-C does.
    """
    experiment = os.environ.get("DVC_EXP_NAME", "")
    said = {"parameters": parameters, "code": _package_hash(), "experiment": experiment}
    key = value_hash(said)
    name = f"{experiment} {_title(parameters)}".lstrip()
    same = f"tags.execution = '{key}'"
    tags = {"execution": key, "kind": "pipeline", **distinguishing(parameters)}
    run = Run(experiment_name(parameters["profile"]), name, tags=tags, same=same)
    if run.fresh:
        # all of them in a file: MLflow writes a run's parameters over its pictures
        run.parameters(turned(parameters))
        run.values(parameters, "parameters.yaml")
    with tracked(run, KeyboardInterrupt, *killed_by):
        yield run


def stage_run(whole: Run, name: str) -> AbstractContextManager[Run]:
    """The run of one stage at work, below the execution's."""
    return _below(whole, name)


def group(whole: Run, name: str) -> AbstractContextManager[Run]:
    """The run below an execution that the trainings of a comparison stand below, one for all its
    stages.

    Args:
        whole: the execution.
        name: of the comparison.
    """
    same = f"tags.`mlflow.parentRunId` = '{whole.run_id}' and tags.kind = '{name}'"
    return _below(whole, name, same)


def _below(whole: Run, name: str, same: str | None = None) -> AbstractContextManager[Run]:
    run = Run(whole.experiment, name, parent=whole.run_id, tags={"kind": name}, same=same)
    return tracked(run, KeyboardInterrupt)


def turned(parameters: dict[str, Any]) -> dict[str, Any]:
    """The single values that `params.yaml` names, as they were resolved."""
    try:
        given = read_parameters(PARAMETERS)
    except (FileNotFoundError, InputError):  # the parameters came from another file
        return {}
    given = given if isinstance(given, dict) else {}
    named = {name for name, value in flat(given).items() if value is not None}
    values = {name: value for name, value in flat(parameters).items() if name in named}
    return {name: value for name, value in values.items() if not isinstance(value, list)}


def distinguishing(parameters: dict[str, Any]) -> dict[str, str]:
    """The parameters by which runs are told apart, as tags."""
    model = parameters["model"]
    return {
        "profile": str(parameters["profile"]),
        "preset": str(model["preset"]),
        "seed": str(parameters["seed"]),
        "parts": str(model["parts"]),
        "interaction": str(model["interaction"]),
        "backbone": str(model["backbone"]),
    }


def _title(parameters: dict[str, Any]) -> str:
    model = parameters["model"]
    about = f"p={model['parts']} seed={parameters['seed']}"
    return f"{parameters['profile']} {model['interaction']} {about}"


def _package_hash() -> str:
    """Of all our code."""
    files = sorted(PACKAGE.rglob("*.py"))
    return value_hash({str(path.relative_to(PACKAGE)): file_hash(path) for path in files})
