"""MLflow runs. Tracking that fails is a warning, never the end of a training nor a wait."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

LOCAL_URI = "sqlite:///mlflow.db"
FLUSH_SECONDS = 10.0
PATIENCE = 5.0  # seconds that failing calls may cost a process before it tracks no more
LONGEST_VALUE = 6000  # characters that MLflow stores of a parameter
# what MLflow reads when it is imported or asked; a user's own values win
SETTINGS = {
    # it would look up its maker's host and write an id into the user's folder
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # its own: 7 tries of 120 seconds each, with pauses that double
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
for setting in SETTINGS.items():
    os.environ.setdefault(*setting)
# seconds that failing calls took in this process, by tracking store
_lost: dict[str, float] = {}


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


def tracking_store() -> str:
    """Where runs are tracked: `MLFLOW_TRACKING_URI`, or the local store."""
    return os.environ.get("MLFLOW_TRACKING_URI", LOCAL_URI)


def tracking_client() -> Any:
    """A client of the tracking store."""
    import mlflow
    from mlflow.store.db import utils

    # a damaged or unreachable database fails at once: ten tries with doubling pauses take 100
    # seconds, and MLflow has no setting for them
    utils.MAX_RETRY_COUNT = 1
    for noisy in ("mlflow", "mlflow.store.db.utils", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # we say what failed, in one line
    return mlflow.MlflowClient(tracking_store())


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
    """One MLflow run. Every call is safe: a failure is a line on stderr.

    A run that cannot be started is not tracked. Metrics that cannot be written are tried again at
    the next flush, until failing calls have taken `PATIENCE`; then this process leaves the store
    alone, and every later call returns at once.

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
        self._store = tracking_store()
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()
        self._said: set[str] = set()
        self._started = False
        self._started = self._safely(lambda: self._start(experiment, name, parent, tags, same))

    def _start(
        self,
        experiment: str,
        name: str,
        parent: str | None,
        tags: dict[str, str] | None,
        same: str | None,
    ) -> None:
        self._client = tracking_client()
        if self.run_id is not None and self._resume():
            return
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        twins = self._client.search_runs([number], same, max_results=1) if same else []
        if twins:
            self.run_id = twins[0].info.run_id
            return
        commit = git_commit()
        tags = {
            **(tags or {}),
            "mlflow.source.git.commit": commit.removesuffix("-dirty"),
            "git_commit": commit,
        }
        if parent:
            tags["mlflow.parentRunId"] = parent
        self.run_id = self._client.create_run(number, run_name=name, tags=tags).info.run_id

    def _resume(self) -> bool:
        """Whether the store knows the run: a resumed training goes on in its own."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(self.run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code == "INTERNAL_ERROR":  # the store itself failed
                raise
            self.run_id = None  # another tracking store than last time: start a run there
        return self.run_id is not None

    @property
    def _given_up(self) -> bool:
        return _lost.get(self._store, 0.0) >= PATIENCE

    def _safely(self, work: Callable[[], Any]) -> bool:
        """Calls MLflow unless it is given up; whether that succeeded."""
        if self._given_up:
            return False
        began = time.monotonic()
        try:
            work()
        except Exception as error:  # whatever MLflow or its store does must not cost a training
            _lost[self._store] = _lost.get(self._store, 0.0) + time.monotonic() - began
            self._say(error)
            return False
        return True

    def _say(self, error: Exception) -> None:
        """Tells of the first failure, and of the one that ends the tracking."""
        ends = self._given_up or not self._started
        follows = "untracked" if ends else "and tries again to write its metrics"
        if follows not in self._said:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
            # through tqdm, since a bar may be on the line
            tqdm.write(f"warning: tracking: {reason}; the run goes on {follows}", file=sys.stderr)
        self._said.add(follows)

    def _write(self, work: Callable[[], Any]) -> bool:
        """Calls MLflow if there is a run to write to; whether that succeeded."""
        return self._started and self._safely(work)

    def parameters(self, parameters: dict[str, Any], **more: Any) -> None:
        """Logs nested parameters by their dotted names, and what else is given."""
        values = {**flat(parameters), **more}
        self._write(lambda: self._log_parameters(values))

    def _log_parameters(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in values.items()]
        self._client.log_batch(self.run_id, params=params)

    def metrics(self, step: int, **values: float) -> None:
        """Logs values at a step; written in batches, every few seconds and at `flush`."""
        if self._given_up or not self._started:
            return
        now = int(time.time() * 1000)
        # one insert a value made MLflow's store slower than a small network's step
        self._waiting += [(key, float(value), now, step) for key, value in values.items()]
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what is waiting; keeps what could not be written for the next time."""
        waiting, self._waiting, self._flushed = self._waiting, [], time.monotonic()
        # MLflow takes at most 1,000 metrics in a batch
        for start in range(0, len(waiting), 1000):
            batch = waiting[start : start + 1000]
            if not self._write(lambda batch=batch: self._log_metrics(batch)):
                self._waiting += batch

    def _log_metrics(self, batch: list[tuple[str, float, int, int]]) -> None:
        from mlflow.entities import Metric

        self._client.log_batch(self.run_id, metrics=[Metric(*values) for values in batch])

    def picture(self, picture: np.ndarray, name: str) -> None:
        """Logs (H, W, 3) uint8 RGB as an image, e.g. `samples/epoch_003.png`."""
        self._write(lambda: self._client.log_image(self.run_id, picture, name))

    def file(self, path: Path, folder: str | None = None) -> None:
        """Logs a file."""
        self._write(lambda: self._client.log_artifact(self.run_id, str(path), folder))

    def end(self, status: str = "FINISHED") -> None:
        """Closes the run: FINISHED, KILLED or FAILED."""
        self.flush()
        self._write(lambda: self._client.set_terminated(self.run_id, status))
