"""Weight files: reading one, and whether its entries are those that a network wants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdnet.base.parameters_file import shown
from pdnet.errors import InputError


def read_weight_file(path: Path) -> dict[str, Any]:
    """Reads a .safetensors or .pth file; pickles are read with `weights_only=True`.

    Returns:
        what the file holds by name, an enclosing `state_dict` or `model` taken off. It may be
        anything yet: `check_entries` looks.

    Raises:
        InputError: no such file, or not readable as weights.
    """
    if not path.is_file():
        raise InputError(f"{path}: no file of weights is there; give an existing one")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on garbage torch raises whatever its first wrong byte leads to
        raise InputError(f"{path}: not a readable weight file ({reason(error)})") from error
    if not isinstance(state, dict):
        raise InputError(f"{path}: holds a {type(state).__name__}, not a dictionary of tensors")
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
    return state


def reason(error: Exception) -> str:
    """What an error says, short; its kind where it says nothing."""
    return shown(error, 120) or type(error).__name__


def check_entries(
    state: Mapping[str, Any], wanted: Mapping[str, Tensor], where: str = "", *, more: bool = False
) -> None:
    """Refuses weights that are not those that are wanted.

    Args:
        state: what a file holds.
        wanted: a module's `state_dict()`, on any device: shapes and types are looked at.
        where: begins the error.
        more: `state` may hold other entries too.

    Raises:
        InputError: an entry is missing or unknown, or see `check_entry`; the first one is named.
    """
    missing = [name for name in wanted if name not in state]
    if missing:
        raise InputError(f"{where}entry '{missing[0]}' is missing ({len(missing)} in all)")
    unknown = [name for name in state if name not in wanted]
    if unknown and not more:
        raise InputError(f"{where}entry '{shown(unknown[0])}' is unknown ({len(unknown)} in all)")
    for name, like in wanted.items():
        check_entry(name, state[name], like, where)


def check_entry(name: str, value: object, like: Tensor, where: str = "") -> None:
    """Refuses a value that cannot stand for the tensor `like`.

    Raises:
        InputError: no dense tensor of its shape and type, a value that is not finite (a network
            that has one finds nobody in any frame), or a negative variance.
    """
    entry = f"{where}entry '{name}'"
    if not isinstance(value, Tensor):
        raise InputError(f"{entry} is a {type(value).__name__}, not a tensor")
    dense = value.layout == torch.strided and not value.is_quantized and not value.is_nested
    if not dense or value.is_meta:
        raise InputError(f"{entry} is no dense tensor with values of its own")
    if value.shape != like.shape:
        raise InputError(f"{entry} is {shown(tuple(value.shape))}, not {tuple(like.shape)}")
    if value.dtype != like.dtype:
        raise InputError(f"{entry} is of {value.dtype}, not {like.dtype}")
    if not torch.isfinite(value).all():
        raise InputError(f"{entry} has values that are not finite")
    if name.endswith("running_var") and (value < 0).any():
        raise InputError(f"{entry} has negative variances")
