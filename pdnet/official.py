"""The authors' checkpoints: their entries' names and ours, both ways.

The names are facts of the released weight files; where the authors keep one tensor per part, ours
is one grouped convolution, so the p tensors are joined along their first axis (and cut again on the
way back).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pdnet.base.parameters_file import shown
from pdnet.config import checked
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.model.weights import check_entry

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
RESNETS = {6: "resnet50", 23: "resnet101"}  # blocks in layer3

OFFICIAL_MODEL = {
    "preset": "official",
    "fusion": "multiply",
    "residual": True,
    "attention_scale": "none",
}


def _conv_bn(ours: str, conv: str, bn: str, parts: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Pairs of our entry and the authors' entries of a convolution and its batch norm; `{}` is the
    part.
    """

    def each(name: str) -> list[str]:
        return [name.format(k) for k in range(parts)] if parts else [name]

    yield f"{ours}.0.weight", each(f"{conv}.weight")
    for leaf in BATCH_NORM:
        yield f"{ours}.1.{leaf}", each(f"{bn}.{leaf}")


def entry_map(parts: int) -> Iterator[tuple[str, list[str]]]:
    """Our entry -> the authors' entries that make it up, for all but the backbone."""
    for i in range(4):
        yield from _conv_bn(f"encoder.laterals.{i}", f"l{i + 2}_adapt.0", f"l{i + 2}_adapt.1")
    for i in range(3):
        for j in (1, 2):
            yield from _conv_bn(
                f"encoder.fuse.{i}.{j - 1}", f"fuse{i + 2}.conv_{j}", f"fuse{i + 2}.bn_{j}"
            )
    for leaf in ("weight", "bias"):
        for i in range(4):
            yield f"encoder.heads.{i}.{leaf}", [f"head_{i + 1}.{leaf}"]
        yield f"head.{leaf}", [f"head.{leaf}"]
        yield f"decoupling.saliency.{leaf}", [f"ipda.sup_head.{leaf}"]
        yield f"decoupling.head.{leaf}", [f"ipda.part_sep_pred.{leaf}"]
    for i in (1, 2):
        yield from _conv_bn(
            f"decoupling.compress.{i - 1}", f"ipda.sup_adapt{i}.0", f"ipda.sup_adapt{i}.1"
        )
    for j in (1, 2, 3):
        branch = "ipda.part_sep_conv.{}"
        yield from _conv_bn(
            f"decoupling.branches.{j - 1}", f"{branch}.conv_{j}", f"{branch}.bn_{j}", parts
        )
    for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v")):
        yield (
            f"attention.{ours}.weight",
            [f"ipda.part_{theirs}_conv.{k}.weight" for k in range(parts)],
        )
    yield from _conv_bn(
        "attention.output", "ipda.part_att_conv.{}.0", "ipda.part_att_conv.{}.1", parts
    )
    fusion = "spatiotemporal_fusion"
    yield from _conv_bn("fusion.expand", f"{fusion}.conv_t", f"{fusion}.bn_t")
    yield "fusion.gate.weight", [f"{fusion}.conv_t1.weight"]
    for j in (1, 2):
        yield from _conv_bn(f"fusion.fuse.{j - 1}", f"{fusion}.conv_{j}", f"{fusion}.bn_{j}")


def unwrap(state: dict) -> dict[str, Any]:
    """Takes an enclosing dictionary and a `module.` prefix off."""
    for key in ("state_dict", "model", "net", "network"):
        if isinstance(state.get(key), dict):
            state = state[key]
            break
    if state and all(str(key).startswith("module.") for key in state):
        state = {key[len("module.") :]: value for key, value in state.items()}
    return state


def network_from_state_dict(state: dict) -> PDNet:
    """The authors' entries -> our network, preset `official`, with those weights.

    Args:
        state: names and tensors, with or without `module.` and an enclosing dictionary; ResNet-50
            or -101 and the number of parts are read from the entries.

    Raises:
        InputError: an entry is unknown, missing, or not what `check_entry` admits; it is named.
    """
    state = unwrap(state)
    parts = _count(state, r"ipda\.part_q_conv\.(\d{1,4})\.weight", "ipda.part_q_conv.{}.weight")
    layer3 = "bkbone.layer3.{}.conv1.weight"
    blocks = _count(state, r"bkbone\.layer3\.(\d{1,4})\.conv1\.weight", layer3)
    if blocks not in RESNETS:
        raise InputError(
            f"bkbone.layer3 has {blocks} blocks; known: 6 (ResNet-50) and 23 (ResNet-101)"
        )
    found = {"backbone": RESNETS[blocks], "parts": parts}
    config = checked("model", **OFFICIAL_MODEL, **found, weights="none")
    network = PDNet(config)
    wanted = network.state_dict()
    ours, used = {}, set()
    for key, names in _all_entries(wanted, parts):
        like = wanted[key]
        # a scalar (batches tracked) is the same for all parts: the first one stands for them
        share = like.chunk(len(names))[0] if like.ndim else like
        pieces = [_take(state, name, share) for name in names]
        used.update(names)
        ours[key] = torch.cat(pieces) if like.ndim else pieces[0]
    unknown = [name for name in state if name not in used]
    if unknown:
        raise InputError(
            f"unknown entry '{shown(unknown[0])}' ({len(unknown)} in all); this is no PDNet "
            "checkpoint of theirs"
        )
    network.load_state_dict(ours)
    return network


def state_dict_from_network(network: PDNet) -> dict[str, Tensor]:
    """Our network -> the authors' entries (their names; in the order of our modules).

    Raises:
        InputError: the network has no counterpart in their code (another backbone, no IPDA,
            background channel).
    """
    config = network.config
    if (
        config.backbone not in RESNETS.values()
        or not network.has_parts
        or config.part_activation != "softmax"
    ):
        raise InputError(
            "only a ResNet-50 or -101 network with IPDA and softmax parts has the authors' entries"
        )
    state, theirs = network.state_dict(), {}
    for key, names in _all_entries(state, config.parts):
        value = state[key]
        pieces = [value] * len(names) if value.ndim == 0 else value.chunk(len(names))
        theirs.update({name: piece.clone() for name, piece in zip(names, pieces, strict=True)})
    return theirs


def _all_entries(wanted: dict[str, Tensor], parts: int) -> Iterator[tuple[str, list[str]]]:
    for key in wanted:
        if key.startswith("encoder.backbone."):
            yield key, ["bkbone." + key.removeprefix("encoder.backbone.")]
    yield from entry_map(parts)


def _take(state: dict[str, Any], name: str, like: Tensor) -> Tensor:
    if name not in state:
        raise InputError(f"missing entry '{name}'")
    check_entry(name, state[name], like)
    return state[name]


def _count(state: dict[str, Any], pattern: str, entry: str) -> int:
    """How many entries of a numbered kind there are; their numbers are 0, 1 ... without a gap."""
    found = {int(m.group(1)) for key in state if (m := re.fullmatch(pattern, str(key)))}
    missing = set(range(len(found) or 1)) - found
    if missing:
        first = entry.format(min(missing))
        raise InputError(f"missing entry '{first}'; this is no PDNet checkpoint of the authors")
    return len(found)
