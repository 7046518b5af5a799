"""Trained networks on disk: weights in safetensors, the model's parameters in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from pdnet.base.files import write_atomically
from pdnet.base.parameters_file import shown
from pdnet.config import ModelConfig, checked
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.model.weights import check_entries

FORMAT = "pdnet-1"
# as a header's `weights` names them; a header without it means single precision
PRECISIONS = {"float32": torch.float32, "float16": torch.float16}


def save_network(
    network: PDNet,
    path: Path,
    notes: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> None:
    """Writes a network so that the file alone rebuilds it.

    Args:
        network: to save.
        path: a .safetensors file; replaced atomically.
        notes: more for the header (run id, profile, epoch, terms), what JSON can hold.
        half: half precision: half the size, each value rounded to 11 binary digits.

    Raises:
        InputError: see `packed`; nothing is written then.
    """
    content = packed(network, notes, half=half)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def packed(network: PDNet, notes: Mapping[str, Any] | None = None, *, half: bool = False) -> bytes:
    """A checkpoint's content; see `save_network`.

    Raises:
        InputError: a value that half precision does not reach; it is named.
    """
    about = {**(notes or {}), "format": FORMAT, "model": network.config.model_dump(mode="json")}
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    if half:
        about["weights"] = "float16"
        state = {key: _halved(key, value) for key, value in state.items()}
    # one entry: safetensors writes several in an order that differs from run to run
    return save(state, {"pdnet": json.dumps(about, sort_keys=True)})


def _halved(name: str, value: Tensor) -> Tensor:
    """A tensor in half precision; counters stay integers."""
    if not value.is_floating_point():
        return value
    most = torch.finfo(torch.float16).max
    # larger ones would become infinite, and a network that has one finds nobody
    if value.numel() and not value.abs().max() <= most:
        raise InputError(
            f"entry '{name}' reaches {value.abs().max():.3g}, half precision only {most:.0f}; keep "
            "this network in single precision"
        )
    return value.half()


def weights_hash(path: Path) -> str:
    """SHA-256 of a checkpoint's weights alone: its header names every parameter of a model, also
    those that the project got after a training.
    """
    return hashlib.sha256(save(load_file(path))).hexdigest()


def read_header(path: Path) -> dict[str, Any]:
    """The header of a checkpoint: `model` parameters, and what else was noted.

    Raises:
        InputError: no such file, or none of this project's checkpoints.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads((stream.metadata() or {}).get("pdnet", "{}"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such checkpoint; `dvc repro train` makes one, or give --checkpoint"
        ) from error
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a safetensors file; an authors' .pth goes through `pdnet import-official`"
        ) from error
    except (ValueError, RecursionError) as error:  # no JSON, or nested without end
        raise InputError(f"{path}: damaged checkpoint, its header is not readable") from error
    found = about.get("format") if isinstance(about, dict) else about
    if found != FORMAT:
        raise InputError(
            f"{path}: a safetensors file, but no PDNet checkpoint (format {shown(repr(found))})"
        )
    return about


def load_network(path: Path) -> PDNet:
    """Rebuilds a network from its checkpoint, in evaluation mode, in single precision, on the CPU.

    Raises:
        InputError: see `read_header`; or the header's parameters make no network, or the weights
            are not its own, whole and finite.
    """
    about = read_header(path)
    values = about.get("model")
    try:
        if not isinstance(values, dict):
            raise InputError("its header has no parameters of a model")
        config = checked("model", **values)
        precision = _precision(about)
        state = load_file(path)
        # a network without memory: a header that asks for more than the file holds costs nothing
        with torch.device("meta"):
            wanted = PDNet(config).state_dict()
        check_entries(state, {key: _of(precision, value) for key, value in wanted.items()})
    except (InputError, SafetensorError) as error:
        raise InputError(
            f"{path}: damaged checkpoint ({shown(error, 300)}); train or fetch it again"
        ) from error
    network = PDNet(config)
    # which turns every value into the type that the network has
    network.load_state_dict(state)
    return network.eval().to(memory_format=torch.channels_last)  # faster on a CPU, the same numbers


def _precision(about: Mapping[str, Any]) -> torch.dtype:
    """Of the floats in a file, by its header."""
    name = about.get("weights", "float32")
    if not isinstance(name, str) or name not in PRECISIONS:
        raise InputError(f"weights of {shown(repr(name))}; known: {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def _of(precision: torch.dtype, value: Tensor) -> Tensor:
    return value.to(precision) if value.is_floating_point() else value


def take_encoder(network: PDNet, path: Path) -> None:
    """Copies the encoder of a checkpoint into a network.

    Raises:
        InputError: see `load_network`; or its encoder is another one. Entries of the same shape
            do not make the same encoder: what `fusion: multiply` learnt is noise to `fusion: add`.
    """
    other = load_network(path)
    theirs, ours = _encoder_of(other.config), _encoder_of(network.config)
    if theirs != ours:
        raise InputError(f"train.start: {path} has the encoder {theirs}, the model wants {ours}")
    network.encoder.load_state_dict(other.encoder.state_dict())


def take_network(network: PDNet, path: Path) -> None:
    """Copies all weights of a checkpoint into a network, to train it on.

    Raises:
        InputError: see `load_network`; or it is another network. The size of its input may differ.
    """
    other = load_network(path)
    if differing := _differing(network, other):
        raise InputError(
            f"train.start: {path} differs in {differing}; `train.start_part: encoder` takes its "
            "encoder alone"
        )
    network.load_state_dict(other.state_dict())


def load_mean(paths: Sequence[Path]) -> PDNet:
    """The network whose weights are the mean of several checkpoints' weights (Wortsman et al., ICML
    2022: trainings that went on from one network, each by another recipe, agree enough for it). Of
    one checkpoint it is that one's.

    Raises:
        InputError: see `load_network`; or they are not one network. The size of the input is the
            first one's.
    """
    network = load_network(paths[0])
    others = [load_network(path) for path in paths[1:]]
    for path, other in zip(paths[1:], others, strict=True):
        if differing := _differing(network, other):
            raise InputError(f"{path} differs from {paths[0]} in {differing}: they have no mean")
    states = [one.state_dict() for one in (network, *others)]
    for name, value in states[0].items():
        if value.is_floating_point():  # counts of batches stay
            value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return network


def _differing(network: PDNet, other: PDNet) -> str:
    """Names of the parameters that make them two networks; empty where they are one."""
    ours, theirs = (one.config.model_dump(exclude={"input_size"}) for one in (network, other))
    return ", ".join(f"model.{key}" for key in ours if ours[key] != theirs[key])


def _encoder_of(config: ModelConfig) -> tuple[str, int, str]:
    """What an encoder is: backbone, channels, top-down fusion."""
    return config.backbone, config.channels, config.fusion
