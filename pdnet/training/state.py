"""What a resumed training needs beside the weights, and when it may be used."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from pdnet.base.files import file_hash, need, value_hash, write_atomically
from pdnet.base.imports import code_hash
from pdnet.base.parameters_file import shown
from pdnet.config import Config
from pdnet.errors import InputError
from pdnet.model.weights import check_entries, check_entry, reason

LOOP = "pdnet.training.loop"  # whose imports are the code that makes the weights
# parameters of `train` that look at a training and do not touch it
WATCHING = ("validate_every", "validation_frames", "validation_threshold")
Row = dict[str, int | float | str]  # of a table


class Checked(BaseModel):
    """What a state file holds: these names and types, no more and no less."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


class Progress(Checked):
    """Where a training stands.

    Attributes:
        epoch, step: of the next step to run (step counts within the epoch, image steps included).
        fingerprint: of parameters and data; another one means another training.
        history: a row per step that was run.
        validation: a row per validated epoch.
        run_id: of the tracking run.
    """

    fingerprint: str
    epoch: Annotated[int, Field(ge=0)] = 0
    step: Annotated[int, Field(ge=0)] = 0
    history: list[Row] = Field(default_factory=list)
    validation: list[Row] = Field(default_factory=list)
    run_id: str | None = None


Moment = Literal["momentum_buffer", "exp_avg", "exp_avg_sq", "step"]
# of each parameter, by optimiser
MOMENTS = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.AdamW: {"exp_avg", "exp_avg_sq", "step"},
}


class OptimiserState(Checked):
    """What torch's SGD and AdamW write."""

    state: dict[int, dict[Moment, Tensor | None]]
    param_groups: list[dict[str, bool | int | float | list[int] | tuple[float, float] | None]]


class State(Checked):
    """What a state file holds; `torch` and `cuda` are the generators' states."""

    # its parts come as dictionaries
    model_config = ConfigDict(strict=False)

    progress: Progress
    modules: dict[str, dict[str, Tensor]]
    optimiser: OptimiserState
    torch: Tensor
    cuda: list[Tensor]


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
    return value_hash(said)


def save_state(
    path: Path,
    progress: Progress,
    *,
    modules: dict[str, torch.nn.Module],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Writes everything atomically: a kill leaves the previous state."""
    state = {
        "progress": dict(progress),
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
    epochs: int,
    steps: int,
) -> Progress | None:
    """Restores an unfinished training with the same fingerprint; None where there is none (it
    starts anew). A finished training leaves no state.

    Args:
        path: of the state file.
        wanted: the fingerprint.
        modules, optimiser: to restore; they are touched only when the whole file is sound.
        epochs, steps: of the training, and of each of its epochs.

    Raises:
        InputError: the file is damaged; it has to be deleted to start anew.
    """
    if not path.is_file():
        return None
    try:
        # `weights_only`: a state file from elsewhere must not run code
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on garbage torch raises whatever its first wrong byte leads to
        raise _damaged(path, reason(error)) from error
    # before all else: the file of another version of the code may look otherwise
    if _fingerprint_of(state, path) != wanted:
        return None
    try:
        progress = State.model_validate(state).progress
        _check_place(progress, epochs, steps)
        _check_weights(state, modules)
        _check_optimiser(state["optimiser"], optimiser)
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"])
        raise _damaged(path, f"{shown(where)}: {shown(first['msg'])}") from error
    except (InputError, RuntimeError, TypeError) as error:  # the last two: of no generator's state
        raise _damaged(path, reason(error)) from error
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    optimiser.load_state_dict(state["optimiser"])
    return progress


def _fingerprint_of(state: object, path: Path) -> str:
    progress = state.get("progress") if isinstance(state, dict) else None
    found = progress.get("fingerprint") if isinstance(progress, dict) else None
    if not isinstance(found, str):
        raise _damaged(path, "it does not say which training it belongs to")
    return found


def _check_place(progress: Progress, epochs: int, steps: int) -> None:
    """Refuses a place that a training of so many steps an epoch never saves."""
    place = f"epoch {progress.epoch}, step {progress.step}"
    if progress.epoch >= epochs or progress.step >= steps:
        raise InputError(f"{place} is beyond a training of {epochs} epochs of {steps} steps")
    rows = (len(progress.history), len(progress.validation))
    if rows != (progress.epoch * steps + progress.step, progress.epoch):
        raise InputError(f"its tables of {rows[0]} and {rows[1]} rows are not those of {place}")


def _check_weights(state: dict[str, Any], modules: dict[str, torch.nn.Module]) -> None:
    if set(state["modules"]) != set(modules):
        raise InputError(f"it has the modules {shown(list(state['modules']))}")
    for name, module in modules.items():
        check_entries(state["modules"][name], module.state_dict(), f"{name}: ")


def _check_optimiser(state: dict[str, Any], optimiser: torch.optim.Optimizer) -> None:
    """Refuses other groups of parameters, other options than the rate, another shape of momentum.

    The rate is set anew at each step.
    """
    known = optimiser.state_dict()["param_groups"]
    found = [{**group, "lr": 0.0} for group in state["param_groups"]]
    if found != [{**group, "lr": 0.0} for group in known]:
        raise InputError("its optimiser has other groups of parameters or other options")
    parameters = list(chain.from_iterable(group["params"] for group in optimiser.param_groups))
    for number, values in state["state"].items():
        if not 0 <= number < len(parameters):
            raise InputError(f"its optimiser has a parameter {number} of {len(parameters)}")
        kept = MOMENTS[type(optimiser)]
        if values and set(values) != kept:
            raise InputError(f"its optimiser keeps {shown(sorted(values))}, not {sorted(kept)}")
        for name, value in values.items():
            if value is not None or name != "momentum_buffer":
                like = torch.empty(()) if name == "step" else parameters[number]
                check_entry(f"{name} of parameter {number}", value, like)


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path}: damaged training state ({why}); delete it to start anew")
