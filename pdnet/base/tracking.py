"""MLflow runs. Tracking that fails is a warning, never the end of a training nor a wait."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pdnet.base.origin import origin
from pdnet.base.registry import publish
from pdnet.base.store import files_address, tracking_client, tracking_store

FLUSH_SECONDS = 10.0
PATIENCE = 5.0  # seconds that failing calls may cost a process before it tracks no more
LONGEST_VALUE = 6000  # characters that MLflow stores of a parameter
LONGEST_DIGEST = 36  # characters that MLflow stores of a data set's hash
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


def experiment_name(profile: str) -> str:
    """MLflow's experiment of a profile."""
    return f"pdnet-{profile}"


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
        experiment: one per profile, see `experiment_name`.
        name: of the run.
        run_id: resume this run instead of starting one.
        parent: run id of the run that this one stands below.
        tags: more of them.
        same: MLflow filter; a run that it finds is resumed instead of starting one.
        finished: adds to a run that is over, whose status and times stay; where there is none, none
            is started and nothing is tracked.

    Attributes:
        experiment: its experiment's name.
        run_id: None where it could not be started.
        fresh: whether this call started the run.
    """

    def __init__(
        self,
        experiment: str,
        name: str = "",
        *,
        run_id: str | None = None,
        same: str | None = None,
        parent: str | None = None,
        tags: dict[str, str] | None = None,
        finished: bool = False,
    ) -> None:
        self.experiment, self.run_id = experiment, run_id
        self._client: Any = None
        self._store = tracking_store()
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()
        self._said: set[str] = set()
        self.fresh = False
        self._started = False
        self._adds = finished
        above = {"mlflow.parentRunId": parent} if parent else {}

        def begin() -> None:
            self._client = tracking_client()
            number = self._experiment(experiment)
            known = self._resume() or self._found(number, same)
            if not finished and not known:
                self._start(number, name, {**(tags or {}), **above})

        begun = self._safely(begin)
        self._started = begun and self.run_id is not None

    def _start(self, number: str, name: str, tags: dict[str, str]) -> None:
        tags = {**origin(), **tags}
        self.run_id = self._client.create_run(number, run_name=name, tags=tags).info.run_id
        self.fresh = True

    def _found(self, number: str, same: str | None) -> bool:
        """Whether the store has such a run, which then goes on."""
        twins = self._client.search_runs([number], same, max_results=1) if same else []
        for twin in twins:
            self.run_id = twin.info.run_id
            self._go_on()
        return bool(twins)

    def _go_on(self) -> None:
        """Raises what MLflow raises of a run that it does not know."""
        if self._adds:
            self._client.get_run(self.run_id)
        else:
            self._client.update_run(self.run_id, status="RUNNING")

    def _experiment(self, name: str) -> str:
        """The id of an experiment, made if there is none."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found:
            return found.experiment_id
        try:
            return self._client.create_experiment(name, files_address(name))
        except MlflowException:  # another process was a moment earlier
            return self._client.get_experiment_by_name(name).experiment_id

    def _resume(self) -> bool:
        """Whether the store knows the run: a resumed training goes on in its own."""
        from mlflow.exceptions import MlflowException

        if self.run_id is None:
            return False
        try:
            self._go_on()
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

    def tags(self, **values: Any) -> None:
        """Sets tags."""
        self._write(lambda: self._set_tags({name: str(value) for name, value in values.items()}))

    def describe(self, markdown: str) -> None:
        """Sets the text that stands over the run."""
        self._write(lambda: self._set_tags({"mlflow.note.content": markdown}))

    def describe_by_tables(self, folder: Path) -> None:
        """A folder's Markdown tables as the text that stands over the run, and as its files."""
        tables = sorted(folder.glob("*.md"))
        texts = [f"## {table.stem}\n\n{table.read_text()}" for table in tables]
        self.describe("\n\n".join(texts))
        for table in tables:
            self.file(table, "tables")

    def _set_tags(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self._client.set_tag(self.run_id, name, value)

    def data(self, name: str, digest: str, source: Path, context: str) -> None:
        """Logs which data went in.

        Args:
            name: of the data set.
            digest: hash of its content.
            source: where it lies.
            context: what it was for, e.g. `training`.
        """
        self._write(lambda: self._log_data(name, digest[:LONGEST_DIGEST], source, context))

    def _log_data(self, name: str, digest: str, source: Path, context: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        place = json.dumps({"uri": str(source)})
        dataset = Dataset(name=name, digest=digest, source_type="local", source=place)
        tags = [InputTag("mlflow.data.context", context)]
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    @contextmanager
    def machine_watched(self) -> Iterator[None]:
        """Logs load, memory, disk and network of this machine meanwhile, every ten seconds."""
        watches: list[Any] = []
        self._write(lambda: watches.append(self._watch_machine()))
        try:
            yield
        finally:
            for watch in watches:
                self._safely(watch.finish)

    def _watch_machine(self) -> Any:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        watch = SystemMetricsMonitor(self.run_id, resume_logging=True, tracking_uri=self._store)
        watch.start()
        return watch

    def picture(self, picture: np.ndarray, key: str, step: int = 0) -> None:
        """Logs (H, W, 3) uint8 RGB as an image; those with one key are a series by steps, and the
        same series of several runs are shown side by side.
        """
        self._write(lambda: self._client.log_image(self.run_id, picture, key=key, step=step))

    def file(self, path: Path, folder: str | None = None) -> None:
        """Logs a file."""
        self._write(lambda: self._client.log_artifact(self.run_id, str(path), folder))

    def values(self, values: dict[str, Any], name: str) -> None:
        """Logs nested values as a YAML or JSON file."""
        self._write(lambda: self._client.log_dict(self.run_id, values, name))

    def model(self, checkpoint: Path, *, loader: str, data: str, score: float | None) -> None:
        """Logs the network that the run trained and registers it; see `registry.publish`."""
        how = {"loader": loader, "data": data, "score": score}
        self._write(lambda: publish(self._client, self.run_id, checkpoint, **how))

    def end(self, status: str = "FINISHED") -> None:
        """Closes the run: FINISHED, KILLED or FAILED; one that was over stays as it is."""
        self.flush()
        if not self._adds:
            self._write(lambda: self._client.set_terminated(self.run_id, status))
