"""Trained networks on disk: weights in safetensors, the model's parameters in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from pdnet.base.files import write_atomically
from pdnet.base.parameters_file import shown
from pdnet.config import ModelConfig, checked
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.model.weights import check_entries

FORMAT = "pdnet-1"


def save_network(network: PDNet, path: Path, notes: dict[str, str] | None = None) -> None:
    """Writes a network so that the file alone rebuilds it.

    Args:
        network: to save.
        path: a .safetensors file; replaced atomically.
        notes: more text for the header (run id, profile, epoch).
    """
    about = {**(notes or {}), "format": FORMAT, "model": network.config.model_dump(mode="json")}
    # one entry: safetensors writes several in an order that differs from run to run
    header = {"pdnet": json.dumps(about, sort_keys=True)}
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    write_atomically(path, lambda temporary: save_file(state, temporary, metadata=header))


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
    """Rebuilds a network from its checkpoint, in evaluation mode, on the CPU.

    Raises:
        InputError: see `read_header`; or the header's parameters make no network, or the weights
            are not its own, whole and finite.
    """
    values = read_header(path).get("model")
    try:
        if not isinstance(values, dict):
            raise InputError("its header has no parameters of a model")
        config = checked("model", **values)
        state = load_file(path)
        # a network without memory: a header that asks for more than the file holds costs nothing
        with torch.device("meta"):
            wanted = PDNet(config).state_dict()
        check_entries(state, wanted)
    except (InputError, SafetensorError) as error:
        raise InputError(
            f"{path}: damaged checkpoint ({shown(error, 300)}); train or fetch it again"
        ) from error
    network = PDNet(config)
    network.load_state_dict(state)
    return network.eval().to(memory_format=torch.channels_last)  # faster on a CPU, the same numbers


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


def _encoder_of(config: ModelConfig) -> tuple[str, int, str]:
    """What an encoder is: backbone, channels, top-down fusion."""
    return config.backbone, config.channels, config.fusion
