"""The authors' checkpoints: their entries' names and ours, both ways.

The names are facts of the released weight files; where the authors keep one tensor per part, ours
is one grouped convolution, so the p tensors are joined along their first axis (and cut again on the
way back).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from pdnet.config import ModelConfig
from pdnet.errors import InputError
from pdnet.model import PDNet

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


def unwrap(state: dict) -> dict[str, Tensor]:
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
        InputError: an entry is unknown, missing or of another shape; it is named.
    """
    state = unwrap(state)
    parts = _count(state, r"ipda\.part_q_conv\.(\d+)\.weight", "ipda.part_q_conv.0.weight")
    blocks = _count(state, r"bkbone\.layer3\.(\d+)\.conv1\.weight", "bkbone.layer3.0.conv1.weight")
    if blocks not in RESNETS:
        raise InputError(
            f"bkbone.layer3 has {blocks} blocks; known: 6 (ResNet-50) and 23 (ResNet-101)"
        )
    config = ModelConfig(**OFFICIAL_MODEL, backbone=RESNETS[blocks], weights="none", parts=parts)
    network = PDNet(config)
    wanted = network.state_dict()
    ours, used = {}, set()
    for key, names in _all_entries(wanted, parts):
        # a scalar (batches tracked) is the same for all parts: the first one stands for them
        pieces = [_take(state, name) for name in names]
        used.update(names)
        value = pieces[0] if len(pieces) == 1 or pieces[0].ndim == 0 else torch.cat(pieces)
        if tuple(value.shape) != tuple(wanted[key].shape):
            share = len(names) if wanted[key].ndim else 1
            expected = (
                (wanted[key].shape[0] // share, *wanted[key].shape[1:]) if wanted[key].ndim else ()
            )
            bad = next(
                (n for n, p in zip(names, pieces, strict=True) if tuple(p.shape) != expected),
                names[0],
            )
            raise InputError(f"entry '{bad}' is {tuple(state[bad].shape)}, not {expected}")
        ours[key] = value
    unknown = [name for name in state if name not in used]
    if unknown:
        raise InputError(
            f"unknown entry '{unknown[0]}' ({len(unknown)} in all); this is no PDNet checkpoint "
            "of theirs"
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


def _take(state: dict[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise InputError(f"missing entry '{name}'")
    if not isinstance(state[name], Tensor):
        raise InputError(f"entry '{name}' is a {type(state[name]).__name__}, not a tensor")
    return state[name]


def _count(state: dict[str, Tensor], pattern: str, example: str) -> int:
    found = {int(m.group(1)) for key in state if (m := re.fullmatch(pattern, str(key)))}
    if not found:
        raise InputError(f"missing entry '{example}'; this is no PDNet checkpoint of the authors")
    return max(found) + 1
