"""What a resumed training needs beside the weights, and when it may be used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pdnet.base.files import file_hash, need, write_atomically
from pdnet.base.imports import code_hash
from pdnet.config import Config
from pdnet.errors import InputError

LOOP = "pdnet.training.loop"  # whose imports are the code that makes the weights
# parameters of `train` that look at a training and do not touch it
WATCHING = ("validate_every", "validation_frames", "validation_threshold")


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        epoch, step: of the next step to run (step counts within the epoch, image steps included).
        fingerprint: of parameters and data; another one means another training.
        history: a row per step that was run.
        validation: a row per validated epoch.
        run_id: of the tracking run.
        finished: all epochs are done.
    """

    fingerprint: str
    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)
    run_id: str | None = None
    finished: bool = False


def fingerprint(config: Config, data: str) -> str:
    """Hash of everything that determines the weights: parameters, data, first weights, code.

    What only watches (validation) or only says how the work is done (`machine`) is left out, so
    that changing it neither discards an interrupted training nor repeats a finished one.
    """
    watching = set(WATCHING)
    said = {
        "seed": config.seed,
        "model": config.model.model_dump(mode="json"),
        "loss": config.loss.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json", exclude=watching),
        "data": data,
        "start": file_hash(need(Path(config.train.start))) if config.train.start else None,
        "code": code_hash(LOOP),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def save_state(
    path: Path,
    progress: Progress,
    *,
    modules: dict[str, torch.nn.Module],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Writes everything atomically: a kill leaves the previous state."""
    state = {
        "progress": vars(progress),
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimiser": optimiser.state_dict(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def load_state(
    path: Path,
    wanted: str,
    *,
    modules: dict[str, torch.nn.Module],
    optimiser: torch.optim.Optimizer,
) -> Progress | None:
    """Restores an unfinished training with the same fingerprint; None where there is none (it
    starts anew).
    """
    if not path.is_file():
        return None
    try:
        # `weights_only`: a state file from elsewhere must not run code
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:100]
        raise InputError(
            f"{path}: damaged training state ({reason}); delete it to start anew"
        ) from error
    progress = Progress(**state["progress"])
    # another training's state, or a finished one: both start anew
    if progress.fingerprint != wanted or progress.finished:
        return None
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    return progress
