"""A trained network as an MLflow model: logged with its run, registered, and the best one named."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "pdnet"  # the registered model
ALIAS = "champion"
NEEDED = ("torch", "torchvision", "timm", "safetensors", "numpy", "opencv-python")
EXAMPLE = (2, 48, 64, 3)  # frames, height, width, RGB: small, since MLflow keeps it as text


def publish(
    client: Any, run_id: str, checkpoint: Path, *, loader: str, data: str, score: float | None
) -> None:
    """Logs a checkpoint as the model of a run and registers it as a version of `MODEL`.

    The version becomes its profile's best unless the one that is it learnt from the same data and
    was better on the held-back clips: never by an evaluation clip. The profile that was trained
    first has `ALIAS`, every other one `ALIAS-<profile>`: who tries something on a few clips keeps
    what was trained on many.

    Args:
        client: MLflow's.
        run_id: of the training.
        checkpoint: of the network.
        loader: module whose `_load_pyfunc` makes a model of a checkpoint.
        data: hash of what it learnt from.
        score: J&F on the held-back training clips, per cent; None where none were held back.
    """
    run = client.get_run(run_id)
    kept = ("profile", "seed", "parts", "interaction", "backbone", "git_commit", "dvc_experiment")
    tags = {name: run.data.tags[name] for name in kept if name in run.data.tags}
    tags |= {"data_hash": data} | ({} if score is None else {"validation_JandF": f"{score:.4f}"})
    model = _log_model(client, run, checkpoint, loader=loader, tags=tags)
    _need_model(client)
    # by the place of its files: a model's own address is looked up in the store of this process's
    # folder, whichever store the client has
    source, how = model.artifact_location, {"model_id": model.model_id, "tags": tags}
    made = client.create_model_version(MODEL, source, run_id=run_id, **how)
    first = _version_with(client, ALIAS)
    profile = tags.get("profile", "")
    ours = first is None or first.tags.get("profile", "") == profile
    alias = ALIAS if ours else f"{ALIAS}-{profile}"
    if not _is_beaten(_version_with(client, alias), data, score):
        client.set_registered_model_alias(MODEL, alias, made.version)


def _log_model(
    client: Any, run: Any, checkpoint: Path, *, loader: str, tags: dict[str, str]
) -> Any:
    """The logged model. Our code loads it from the checkpoint: nothing is pickled."""
    from mlflow import pyfunc
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    byte = np.dtype(np.uint8)
    frames, masks = TensorSpec(byte, (-1, -1, -1, 3)), TensorSpec(byte, (-1, -1, -1))
    signature = ModelSignature(Schema([frames]), Schema([masks]))
    example = np.random.default_rng(0).integers(0, 256, EXAMPLE, np.uint8)
    about = {"name": MODEL, "source_run_id": run.info.run_id, "tags": tags}
    logged = client.create_logged_model(run.info.experiment_id, params=run.data.params, **about)
    client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    described = Model(
        artifact_path=logged.artifact_location,
        run_id=run.info.run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
    )
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder, "model"))
        pyfunc.save_model(
            place,
            mlflow_model=described,
            loader_module=loader,
            data_path=str(checkpoint),
            signature=signature,
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in NEEDED],
        )
        client.log_model_artifacts(logged.model_id, place)
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _need_model(client: Any) -> None:
    """Registers the name once."""
    from mlflow.exceptions import MlflowException

    about = "Portraits in a clip: frames (N, H, W, 3) uint8 RGB in order -> masks (N, H, W) 0/255."
    try:
        client.create_registered_model(MODEL, description=about)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version_with(client: Any, alias: str) -> Any:
    """The version that has an alias, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(MODEL, alias)
    except MlflowException:
        return None


def _is_beaten(champion: Any, data: str, score: float | None) -> bool:
    """Whether a score on this data is below the champion's on the same."""
    if champion is None or score is None or champion.tags.get("data_hash") != data:
        return False
    return score < float(champion.tags.get("validation_JandF", "-inf"))
