"""Where MLflow's runs are kept, and their files beside them."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

DATABASE = "mlflow.db"
SQLITE = "sqlite:///"
# scheme of an address of files, registered in pyproject.toml; what follows is a folder in FILES
BESIDE = "pdnet"
LONGEST_WAIT = 60.0  # seconds for somebody else's new database; it takes five
FILES = "mlruns"  # MLflow's own name, beside the database
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


def tracking_store() -> str:
    """Where runs are tracked: `MLFLOW_TRACKING_URI`, or the project's database.

    DVC runs a queued or temporary experiment in a copy that it deletes, and names the project that
    started it in `DVC_ROOT`: its runs go there.
    """
    # relative, since MLflow reads an address: a folder's name may hold any character
    root = Path(os.path.relpath(os.environ.get("DVC_ROOT", ".")))
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{root / DATABASE}"


def tracking_client() -> Any:
    """A client of the tracking store."""
    import mlflow
    from mlflow.store.db import utils

    # a damaged or unreachable database fails at once: ten tries with doubling pauses take 100
    # seconds, and MLflow has no setting for them
    utils.MAX_RETRY_COUNT = 1
    for noisy in ("mlflow", "mlflow.store.db.utils", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # we say what failed, in one line
    store = tracking_store()
    if not store.startswith(SQLITE):
        return mlflow.MlflowClient(store)
    # a client makes a new database, or brings an old one up to date, and experiments that run at
    # once would do so at once
    with FileLock(f"{_database(store)}.lock", timeout=LONGEST_WAIT):
        return mlflow.MlflowClient(store)


def _database(store: str) -> Path:
    """The file of a local store."""
    return Path(unquote(store.removeprefix(SQLITE)))


def files_address(experiment: str) -> str | None:
    """Where the files of an experiment's runs go: beside a local database, whatever folder it lies
    in, so that a project that is moved or copied keeps them; None leaves it to a server.
    """
    return f"{BESIDE}:/{experiment}" if tracking_store().startswith(SQLITE) else None


def beside_store(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> Any:
    """MLflow's access to the files of an address with the scheme `BESIDE` (an entry point of the
    group `mlflow.artifact_repository`).

    Args:
        artifact_uri: e.g. `pdnet:/pdnet-sample/<run>/artifacts`.
        tracking_uri: of the store that named it; without it the one that MLflow serves or uses.
        registry_uri: MLflow's.
    """
    import mlflow
    from mlflow.server.constants import BACKEND_STORE_URI_ENV_VAR
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    served = os.environ.get(BACKEND_STORE_URI_ENV_VAR)
    store = tracking_uri or served or mlflow.get_tracking_uri()
    folder = _database(store).resolve().parent / FILES
    path = folder / unquote(urlsplit(artifact_uri).path).lstrip("/")
    return LocalArtifactRepository(str(path), tracking_uri, registry_uri)
