"""The golden numbers of the compared methods: weights and inputs by rule, what the authors' own
networks make of them.

Rule B (full rank) is the judge and lies in `tests/golden_baselines`; rule A (rank two, so that
sums cancel) is a second witness beside the project, skipped where that folder is absent.
"""

from __future__ import annotations

import ast
import copy
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from math import pi, prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pdnet.errors import InputError
from pdnet.model.methods import method_class
from pdnet.model.methods.base import Method, import_state
from tests.helpers import ROOT, image_by_rule

GOLDEN_BASELINES = ROOT / "tests/golden_baselines"
BESIDE = ROOT.parent / "shared/golden_baselines"
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # of a batch norm
WANTED = {"a": 1e-3, "b": 1e-4}  # largest difference, in the entry's standard deviations


def summary(method: str) -> dict[str, Any]:
    return json.loads((GOLDEN_BASELINES / method / "summary.json").read_text())


def entries(method: str) -> dict[str, tuple[int, ...]]:
    """The authors' entries and their shapes, dead ones too."""
    lines = (GOLDEN_BASELINES / method / "state_dict.txt").read_text().splitlines()
    return {name: ast.literal_eval(shape) for name, shape in (one.split("\t") for one in lines)}


def unused(method: str) -> set[str]:
    """The authors' entries that no pass of theirs uses: what the summary names, which are
    parameters, and the buffers of the batch norms that it names.
    """
    parameters = set(summary(method)["unused_entries"])
    dead = {name.rpartition(".")[0] for name in parameters}
    buffers = {name for name in entries(method) if name.endswith(BUFFERS)}
    return parameters | {name for name in buffers if name.rpartition(".")[0] in dead}


def _wave(name: str, count: int, which: str) -> np.ndarray:
    code = zlib.crc32(name.encode())
    if which == "a":
        return np.sin(code % 10007 / 10007 * 2 * pi + 1.618033988749895 * np.arange(count))
    i = np.arange(count, dtype=np.uint64)
    k = i * i * np.uint64(0x9E3779B1) + i * np.uint64(0x85EBCA6B) + np.uint64(code)
    return np.sin((k & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2 * pi / 2**32))


def by_rule(name: str, shape: tuple[int, ...], which: str, fill: dict[str, Any]) -> Tensor:
    """One entry's weights; integers are 0."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    s = _wave(name, prod(shape), which).reshape(shape)
    return torch.from_numpy(np.asarray(_scaled(name, s, fill), np.float32))


def _scaled(name: str, s: np.ndarray, fill: dict[str, Any]) -> np.ndarray:
    spread = sqrt(2) * sqrt(2 / prod(s.shape[1:])) if s.ndim in (2, 4) else 0.0
    for pattern, kind, value in fill["overrides"]:
        if re.search(pattern, name):
            if kind == "affine":
                return value[0] + value[1] * s
            if spread:
                return s * value * spread
    if name.endswith("running_var"):
        return 1 + 0.5 * s * s
    if name.endswith("running_mean"):
        return 0.1 * s
    if spread:
        return s * fill["gain"] * spread
    return 1 + 0.1 * s if name.endswith("weight") else 0.05 * s


def state_by_rule(method: str, which: str) -> dict[str, Tensor]:
    """All of the authors' entries, dead ones too."""
    fill = summary(method)[which]["fill"]
    return {name: by_rule(name, shape, which, fill) for name, shape in entries(method).items()}


@lru_cache(maxsize=2)  # both rules of a method; all eight methods' are 5 GB
def filled(method: str, which: str) -> Method:
    """Our network with the weights of a rule, in evaluation mode; kept, so leave it as it is."""
    network = method_class(method)()
    dropped = import_state(network, state_by_rule(method, which))
    assert sorted(dropped) == sorted(unused(method))
    return network.eval()


def inputs(method: str, which: str) -> dict[str, Tensor]:
    """(1, 3, H, W) images by the names that the summary gives them."""
    about = summary(method)[which]
    return {
        name: image_by_rule(number, *about["size_hw"])
        for number, name in enumerate(about["inputs"])
    }


def in_double(method: str, which: str) -> tuple[Method, dict[str, Tensor]]:
    """`filled` and `inputs` in double precision: the golden numbers' own rounding takes up to 0.92
    of what is admitted, and more of ours, which depends on the processor, would not fit beside it.
    """
    network = copy.deepcopy(filled(method, which)).double()
    return network, {name: image.double() for name, image in inputs(method, which).items()}


class Numbers:
    """What the authors' network gave, by entry; large entries are thinned."""

    def __init__(self, method: str, which: str) -> None:
        folder, name = (GOLDEN_BASELINES, "forward_b") if which == "b" else (BESIDE, "forward")
        path: Path = folder / method / f"{name}.npz"
        if not path.is_file():
            pytest.skip("rule A's numbers lie beside the project, in ../shared/golden_baselines")
        self.which = which
        with np.load(path) as file:
            self.arrays = dict(file)
        self.unseen = {name for name in self.arrays if not name.endswith("__shape_stride")}
        self.unseen -= {name for name in self.unseen if name.startswith(("in_", "out64_"))}

    def distance(self, entry: str, found: Tensor) -> float:
        """Largest difference in the entry's standard deviations."""
        self.unseen.discard(entry)
        expected, found = self.arrays[entry], found.detach().numpy()
        if f"{entry}__shape_stride" in self.arrays:
            *shape, stride = self.arrays[f"{entry}__shape_stride"].tolist()
            assert list(found.shape) == shape, entry
            found = found.reshape(-1)[::stride]
        assert found.shape == expected.shape, f"{entry}: {found.shape}, not {expected.shape}"
        return float(np.abs(found - expected).max() / expected.std())

    def agree(self, found: dict[str, Tensor], wanted: float | None = None) -> dict[str, float]:
        """Asserts that every entry is close to what was found, and returns the distances."""
        limit = wanted or WANTED[self.which]
        apart = {entry: self.distance(entry, value) for entry, value in found.items()}
        far = {entry: value for entry, value in apart.items() if not value <= limit}
        assert not far, far
        return apart


@contextmanager
def outputs(modules: dict[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """What modules give inside the block, by the names given to them, one tensor a call."""
    found: dict[str, list[Tensor]] = {name: [] for name in modules}
    hooks = [
        module.register_forward_hook(lambda _, __, output, calls=found[name]: calls.append(output))
        for name, module in modules.items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def refusal(network: Method, state: dict[str, Tensor], name: str, value: Tensor | None) -> str:
    """What is said of the authors' entries with one of them replaced, or without it where None."""
    changed = {**state, name: value}
    if value is None:
        del changed[name]
    with pytest.raises(InputError) as error:
        import_state(network, changed)
    return str(error.value)


def drawn(rng: np.random.Generator, *shape: int) -> Tensor:
    """A draw of the golden losses: standard normal, in single precision."""
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
