"""MLflow runs. Tracking that fails is a warning, never the end of a training."""

from __future__ import annotations

import logging
import os
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

LOCAL_URI = "sqlite:///mlflow.db"
FLUSH_SECONDS = 10.0
LONGEST_VALUE = 6000  # characters that MLflow stores of a parameter


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters -> dotted names."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[prefix + key] = value
    return result


def git_commit() -> str:
    """The commit of the working tree, `-dirty` appended where it differs; `unknown` outside git."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
        return commit + ("-dirty" if changed.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def shared_parent(experiment: str, name: str, key: str) -> str | None:
    """The run that groups child runs with the same key, started if there is none; None when
    tracking fails.
    """
    run = Run(experiment, name, tags={"group": key}, same=f"tags.group = '{key}'")
    run.end()
    return run.run_id


def tracking_client() -> Any:
    """A client of `MLFLOW_TRACKING_URI`, or of the local store."""
    import mlflow

    for noisy in ("mlflow", "mlflow.store.db.utils", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # we say what failed, in one line
    return mlflow.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", LOCAL_URI))


@contextmanager
def tracked(run: Run, *killed_by: type[BaseException]) -> Iterator[Run]:
    """A run that is closed by what becomes of the block: FINISHED, KILLED by one of these, or
    FAILED.
    """
    try:
        yield run
    except BaseException as error:
        run.end("KILLED" if isinstance(error, killed_by) else "FAILED")
        raise
    run.end()


class Run:
    """One MLflow run. Every call is safe: the first failure is warned about, later ones are silent.

    Args:
        experiment: one per profile.
        name: of the run.
        run_id: resume this run instead of starting one.
        parent: run id of the parent, for ablation variants.
        tags: more of them.
        same: MLflow filter; a run that it finds is resumed instead of starting one.
    """

    def __init__(
        self,
        experiment: str,
        name: str,
        *,
        run_id: str | None = None,
        parent: str | None = None,
        tags: dict[str, str] | None = None,
        same: str | None = None,
    ) -> None:
        self.run_id = run_id
        self._client: Any = None
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()
        self._warned = False
        self._safely(lambda: self._start(experiment, name, parent, tags or {}, same))

    def _start(
        self, experiment: str, name: str, parent: str | None, tags: dict[str, str], same: str | None
    ) -> None:
        self._client = tracking_client()
        from mlflow.exceptions import MlflowException

        if self.run_id is not None:
            try:
                # a resumed training goes on in its own run
                self._client.update_run(self.run_id, status="RUNNING")
                return
            except MlflowException:
                self.run_id = None  # another tracking store than last time: start a run there
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        twins = self._client.search_runs([number], same, max_results=1) if same else []
        if twins:
            self.run_id = twins[0].info.run_id
            return
        tags = {
            **tags,
            "mlflow.source.git.commit": git_commit().removesuffix("-dirty"),
            "git_commit": git_commit(),
        }
        if parent:
            tags["mlflow.parentRunId"] = parent
        self.run_id = self._client.create_run(number, run_name=name, tags=tags).info.run_id

    def _safely(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:  # whatever MLflow or its store does must not cost a training
            if not self._warned:
                warnings.warn(
                    f"tracking: {str(error).splitlines()[0]}; the run goes on untracked",
                    stacklevel=3,
                )
            self._warned = True

    def parameters(self, parameters: dict[str, Any], **more: Any) -> None:
        """Logs nested parameters by their dotted names, and what else is given."""
        from mlflow.entities import Param

        values = {**flat(parameters), **more}
        params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in values.items()]
        self._safely(lambda: self._client.log_batch(self.run_id, params=params))

    def metrics(self, step: int, **values: float) -> None:
        """Logs values at a step; written in batches, every few seconds and at `flush`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        # one insert a value made MLflow's store slower than a small network's step
        self._waiting += [Metric(key, float(value), now, step) for key, value in values.items()]
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what is waiting."""
        waiting, self._waiting, self._flushed = self._waiting, [], time.monotonic()
        # MLflow takes at most 1,000 metrics in a batch
        for start in range(0, len(waiting), 1000):
            batch = waiting[start : start + 1000]
            self._safely(lambda batch=batch: self._client.log_batch(self.run_id, metrics=batch))

    def picture(self, picture: np.ndarray, name: str) -> None:
        """Logs (H, W, 3) uint8 RGB as an image, e.g. `samples/epoch_003.png`."""
        self._safely(lambda: self._client.log_image(self.run_id, picture, name))

    def file(self, path: Path, folder: str | None = None) -> None:
        """Logs a file."""
        self._safely(lambda: self._client.log_artifact(self.run_id, str(path), folder))

    def end(self, status: str = "FINISHED") -> None:
        """Closes the run: FINISHED, KILLED or FAILED."""
        self.flush()
        self._safely(lambda: self._client.set_terminated(self.run_id, status))
