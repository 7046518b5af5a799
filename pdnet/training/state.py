"""What a resumed training needs beside the weights, and when it may be used."""

from __future__ import annotations

import csv
import hashlib
import io
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdnet.config import Config
from pdnet.errors import InputError
from pdnet.files import write_atomically, write_text


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


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch and asks torch for deterministic algorithms."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a guard for debugging that costs time


def data_hash(root: Path) -> str:
    """SHA-256 over names and contents of the split lists, annotated frames, masks and single images of a tree."""
    digest = hashlib.sha256()
    for folder in ("ImageSets", "Keyframes", "Annotations", "Images"):
        for file in sorted((root / folder).rglob("*")):
            if file.is_file():
                digest.update(str(file.relative_to(root)).encode())
                digest.update(file_hash(file).encode())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint(config: Config, data: str) -> str:
    """Hash of everything that determines the loss curve: parameters of model, loss, training, seed; data."""
    text = "|".join(
        [str(config.seed), *(getattr(config, s).model_dump_json() for s in ("model", "loss", "train")), data]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def save_state(
    path: Path, progress: Progress, modules: dict[str, torch.nn.Module], optimiser: torch.optim.Optimizer
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
    path: Path, wanted: str, modules: dict[str, torch.nn.Module], optimiser: torch.optim.Optimizer
) -> Progress | None:
    """Restores an unfinished training with the same fingerprint; None where there is none (it starts anew)."""
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:100]
        raise InputError(f"{path}: damaged training state ({reason}); delete it to start anew") from error
    progress = Progress(**state["progress"])
    if progress.fingerprint != wanted or progress.finished:
        return None
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    return progress


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as CSV; the columns are those of all rows, in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
