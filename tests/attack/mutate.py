"""Ways to spoil bytes, text and nested values."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

ODD: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 0.5, 1e9, 1e300, -1e300, 2**31, 2**62, 2**64, 10**30),
    *(
        float("nan"),
        float("inf"),
        "",
        " ",
        "x",
        "none",
        "../x",
        "/etc/passwd",
        "a\x00b",
        "x" * 5000,
    ),
    *("é", "\u202e", "1", "1e3", [], [[]], [1], [1, 1], [None], {}, {"a": 1}, {"": None}, "{}"),
]


def some(rng: np.random.Generator, choices: Any) -> Any:
    """One of a sequence, as it is (NumPy's own choice makes arrays of lists)."""
    return choices[int(rng.integers(len(choices)))]


def odd(rng: np.random.Generator) -> Any:
    """A value that hardly any place expects."""
    return copy.deepcopy(some(rng, ODD))


def spoil_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Bytes with a flip, a hole, a cut, something put in, something doubled, or none at all."""
    if not data or rng.random() < 0.03:
        return b""
    at = int(rng.integers(len(data)))
    length = int(rng.integers(1, 64))
    noise = rng.bytes(length)
    ways = (
        data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :],
        data[:at] + noise + data[at + length :],
        data[:at],
        data[at:],
        data[:at] + noise + data[at:],
        data[:at] + bytes(length) + data[at + length :],
        data + data[at : at + length],
    )
    return some(rng, ways)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths to every node of a nested value, the value itself first."""
    found = [path]
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def spoil_value(rng: np.random.Generator, value: Any, below: tuple = ()) -> Any:
    """A copy of a nested value in which one node is odd, gone, renamed, doubled or wrapped.

    Args:
        rng: of the draws.
        value: dictionaries and lists.
        below: only nodes whose path begins so.
    """
    changed = copy.deepcopy(value)
    chosen = [path for path in places(value) if path and path[: len(below)] == below]
    if not chosen:
        return odd(rng)
    path = some(rng, chosen)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    key, way = path[-1], int(rng.integers(7))
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[some(rng, [*holder, "other", 3, None])] = holder.pop(key)
    elif way == 2:
        holder[key] = [holder[key], holder[key]]
    elif way == 3:
        holder[key] = {"a": holder[key]}
    elif way == 4 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[key] = odd(rng)
    return changed
