"""Files that people edit, copy and fetch: parameters, scenes, checkpoints, states, manifests."""

from __future__ import annotations

import json
import os
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file

from pdnet.base.manifest import NAME, Unit, bring, recipe
from pdnet.config import SECTIONS, TABLES_OF_VALUES, Config, load_config
from pdnet.errors import InputError
from pdnet.model.checkpoint import load_network, save_network
from pdnet.sample.render import read_scenes
from pdnet.training.state import Progress, load_state, save_state
from tests.attack.core import MOST_LINES, Lost, Wrong, call, contents, refused
from tests.attack.mutate import some, spoil_bytes, spoil_value
from tests.attack.writes import write_unit
from tests.helpers import ROOT, official_state, small

LONGEST = 2000  # characters of an error's line


def told(error: InputError) -> str:
    """Checks an error that came through Python.

    Raises:
        Wrong: it is endless, or empty.
    """
    lines = str(error).splitlines()
    if not lines or len(lines) > MOST_LINES or max(map(len, lines)) > LONGEST:
        raise Wrong(f"an error of {len(lines)} lines: {str(error)[:300]}")
    return "refused"


@cache
def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def _spoilt_yaml(rng: np.random.Generator, name: str) -> bytes:
    if rng.random() < 0.25:
        return spoil_bytes(rng, (ROOT / name).read_bytes())
    value = _yaml(name)
    for _ in range(int(rng.integers(1, 3))):
        value = spoil_value(rng, value)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=bool(rng.integers(2))).encode()


def params(rng: np.random.Generator, folder: Path) -> str:
    """A spoilt parameter file, or spoilt tables beside it, are refused by name, or the values are
    in their ranges.
    """
    path, tables = folder / "params.yaml", folder / TABLES_OF_VALUES
    tables.parent.mkdir(exist_ok=True)
    spoilt, whole = (path, tables) if rng.random() < 0.5 else (tables, path)
    whole.write_bytes((ROOT / whole.relative_to(folder)).read_bytes())
    spoilt.write_bytes(_spoilt_yaml(rng, str(spoilt.relative_to(folder))))
    try:
        config = load_config(path)
    except InputError as error:
        return told(error)
    again = Config(**config.model_dump())
    sides = config.model.input_size
    if again != config or any(side % 32 or not 32 <= side <= 4096 for side in sides):
        raise Wrong(f"accepted: {sides}")
    for name in SECTIONS:
        for key, value in getattr(config, name):
            if isinstance(value, float) and not np.isfinite(value):
                raise Wrong(f"accepted: {name}.{key} = {value}")
    return "right"


def scenes(rng: np.random.Generator, folder: Path) -> str:
    """Spoilt scene scripts are refused by name, or are scripts."""
    path = folder / "scenes.yaml"
    path.write_bytes(_spoilt_yaml(rng, "pipelines/sample/scenes.yaml"))
    try:
        clips = read_scenes(path)
    except InputError as error:
        return told(error)
    if len({clip.name for clip in clips}) != len(clips):
        raise Wrong("a clip twice")
    return "right"


@cache
def _network_file() -> bytes:
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="attack-network-")) / "x.safetensors"
    save_network(small(input_size=(64, 64)), path)
    return path.read_bytes()


def _with_header(rng: np.random.Generator, data: bytes) -> bytes:
    """A safetensors file whose note, or whose table of tensors, is spoilt."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    if rng.random() < 0.7:
        note = json.loads(header["__metadata__"]["pdnet"])
        text = json.dumps(spoil_value(rng, note))
        if rng.random() < 0.15:
            text = some(
                rng, ("", "null", "5", "[1]", "[" * 100_000, "{" * 1000, '{"model": 1e999}')
            )
        header["__metadata__"]["pdnet"] = text
    else:
        header = spoil_value(rng, header)
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + data[8 + length :]


def checkpoint(rng: np.random.Generator, folder: Path) -> str:
    """A spoilt checkpoint is refused, or is a network of finite weights."""
    path, data = folder / "x.safetensors", _network_file()
    if rng.random() < 0.5:
        path.write_bytes(spoil_bytes(rng, data))
    else:
        path.write_bytes(_with_header(rng, data))
    try:
        network = load_network(path)
    except InputError as error:
        return told(error)
    for name, value in network.state_dict().items():
        if not torch.isfinite(value.float()).all():
            raise Wrong(f"accepted: {name} is not finite")
    return "right"


@cache
def _official() -> dict[str, torch.Tensor]:
    return official_state()


def official(rng: np.random.Generator, folder: Path) -> str:
    """A spoilt file in the authors' format is refused, by the command."""
    path, state = folder / "theirs.pth", dict(_official())
    name = some(rng, list(state))
    ways = {
        "gone": lambda: state.pop(name),
        "renamed": lambda: state.update({"ipda.part_q_conv.70.weight": state.pop(name)}),
        "far": lambda: state.update({"ipda.part_q_conv.1000000000.weight": state[name]}),
        "odd": lambda: state.update({name: some(rng, (None, 3, "x", [1.0]))}),
        "shape": lambda: state.update({name: torch.zeros(3, 2)}),
        "sparse": lambda: state.update({name: torch.zeros(3, 3).to_sparse()}),
        "infinite": lambda: state.update({name: state[name].float() * float("nan") + np.inf}),
        "numbers": lambda: state.update({5: torch.zeros(1)}),
    }
    way = some(rng, [*ways, "bytes", "empty"])
    if way in ways:
        ways[way]()
        torch.save(state, path)
    else:
        torch.save({name: state[name]}, path)
        path.write_bytes(spoil_bytes(rng, path.read_bytes()) if way == "bytes" else b"")
    status, output = call("import-official", path, "--out", folder / "ours.safetensors")
    if status != 0:
        if (folder / "ours.safetensors").exists():
            raise Wrong("refused, and yet a file was written")
        return refused(status, output)
    for key, value in load_file(folder / "ours.safetensors").items():
        if not torch.isfinite(value.float()).all():
            raise Wrong(f"accepted: {way} of {name}: {key} is not finite")
    return "right"


def manifest(rng: np.random.Generator, folder: Path) -> str:
    """A spoilt manifest is refused, or the tree becomes what a cold rebuild gives."""
    root, outside = folder / "tree", folder / "outside.txt"
    outside.write_text("mine")
    units = [
        Unit((name,), recipe(name), write_unit, (name, name)) for name in ("a/1", "a/2", "b/3")
    ]
    bring(root, units, "first", workers=1)
    note = root / NAME
    if rng.random() < 0.6:
        note.write_bytes(spoil_bytes(rng, note.read_bytes()))
    else:
        lines = [json.loads(line) for line in note.read_text().splitlines()]
        lines = spoil_value(rng, lines)
        text = lines if isinstance(lines, list) else [lines]
        note.write_text("".join(json.dumps(line) + "\n" for line in text))
    try:
        bring(root, units[: int(rng.integers(1, 4))], "again", workers=1)
    except InputError as error:
        return told(error)
    finally:
        if not outside.is_file() or outside.read_text() != "mine":
            raise Lost("a file outside was touched")
    for path, content in contents(root).items():
        if path != NAME and content != path.encode():
            raise Wrong(f"{path} holds {content!r}")
    return "right"


def state(rng: np.random.Generator, folder: Path) -> str:
    """A spoilt training state is refused, or starts anew, or goes on from a possible place."""
    network = torch.nn.Linear(3, 2)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    path = folder / "state" / "training.pt"
    row = {"step": 0, "epoch": 0, "kind": "video", "total": 1.0}
    rows = [dict(row, step=number) for number in range(8)]  # an epoch of six steps, and two more
    progress = Progress(fingerprint="f", epoch=1, step=2, history=rows, validation=[{"epoch": 0}])
    modules = {"network": network}
    save_state(path, progress, modules=modules, optimiser=optimiser)
    if rng.random() < 0.5:
        path.write_bytes(spoil_bytes(rng, path.read_bytes()))
    else:
        torch.save(spoil_value(rng, torch.load(path, weights_only=True)), path)
    try:
        found = load_state(
            path, progress.fingerprint, modules=modules, optimiser=optimiser, epochs=4, steps=6
        )
    except InputError as error:
        return told(error)
    if found is not None and not (0 <= found.epoch <= 4 and 0 <= found.step <= 6):
        raise Wrong(f"goes on at epoch {found.epoch}, step {found.step}")
    return "right"


def odd_places(rng: np.random.Generator, folder: Path) -> str:
    """Commands with odd places for their files."""
    names = ("", ".", "/", "/dev/null", "/proc/self/mem", "x" * 300, "a\x00b", "-", "~", "//")
    command = some(rng, ("evaluate", "segment", "import-official", "train", "tables", "predict"))
    os.chdir(folder)
    places = [some(rng, names), some(rng, names)]
    given = {
        "evaluate": places,
        "segment": [places[0], "--checkpoint", places[1]],
        "import-official": [places[0]],
        "train": ["--params", ROOT / "params.yaml", "--data", places[0], "--out", places[1]],
        "tables": ["--params", places[0]],
        "predict": ["--params", ROOT / "params.yaml", "--checkpoint", places[0]],
    }
    status, output = call(command, *given[command])
    return refused(status, output)
