"""ONNX networks of one layer, written byte by byte: the package that writes such files is no
dependency.

Field numbers are those of onnx.proto (ONNX 1.16), wire types those of protobuf: 0 a number, 2 bytes
with their length before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

FLOAT = 1  # TensorProto.DataType
IR_VERSION, OPSET = 8, 13


def number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def piece(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = []
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def tensor(name: str, values: np.ndarray) -> bytes:
    """TensorProto: dims 1, data_type 2, name 8, raw_data 9."""
    sides = b"".join(number(1, side) for side in values.shape)
    return sides + number(2, FLOAT) + piece(8, name) + piece(9, values.astype(np.float32).tobytes())


def value(name: str, sides: Sequence[int | str]) -> bytes:
    """ValueInfoProto: name 1, type 2; a side is a number (1) or the name (2) of an open one."""
    dims = b"".join(
        piece(1, piece(2, side) if isinstance(side, str) else number(1, side)) for side in sides
    )
    return piece(1, name) + piece(2, piece(1, number(1, FLOAT) + piece(2, dims)))


def node(kind: str, inputs: Sequence[str], output: str, attribute: bytes = b"") -> bytes:
    """NodeProto: input 1, output 2, op_type 4, attribute 5."""
    names = b"".join(piece(1, name) for name in inputs)
    return names + piece(2, output) + piece(4, kind) + attribute


def numbers(name: str, values: Sequence[int]) -> bytes:
    """A node's attribute, AttributeProto: name 1, ints 8, type 20 (of integers it is 7)."""
    return piece(5, piece(1, name) + b"".join(number(8, v) for v in values) + number(20, 7))


def write_onnx(
    path: Path,
    weight: np.ndarray,
    *,
    bias: np.ndarray,
    sides: Sequence[int | str],
    ending: str = "Identity",
    more_inputs: Sequence[str] = (),
    more_outputs: bool = False,
) -> Path:
    """A 1x1 convolution, and another layer behind it.

    Args:
        path: to write.
        weight: (C, 3).
        bias: (C,).
        sides: of the input `x`, (1, 3, H, W) or (1, H, W, 3), as numbers or names.
        ending: what makes the output `y` of it: Sigmoid, Transpose (all axes), Flatten ...
        more_inputs: names of further ones that the sum is made with.
        more_outputs: `z` is the hyperbolic tangent of what `y` is made of.
    """
    count = len(weight)
    last = "conv" if not more_inputs else "sum"
    channels_last = sides[3] == 3
    # ONNX's convolution has its channels first
    nodes = [node("Transpose", ("x",), "t", numbers("perm", (0, 3, 1, 2)))] if channels_last else []
    nodes.append(node("Conv", ("t" if channels_last else "x", "w", "b"), "conv"))
    map_sides = (1, count, *(sides[1:3] if channels_last else sides[2:]))
    nodes += [node("Add", ("conv", name), "sum") for name in more_inputs]
    nodes.append(node(ending, (last,), "y"))
    outputs = [value("y", map_sides)]
    if more_outputs:
        nodes.append(node("Tanh", (last,), "z"))
        outputs.append(value("z", map_sides))
    inputs = [value("x", sides), *(value(name, sides) for name in more_inputs)]
    graph = [piece(1, one) for one in nodes] + [piece(2, "made")]
    graph += [piece(5, tensor("w", weight[..., None, None])), piece(5, tensor("b", bias))]
    graph += [piece(11, one) for one in inputs] + [piece(12, one) for one in outputs]
    opset = piece(8, piece(1, "") + number(2, OPSET))
    path.write_bytes(number(1, IR_VERSION) + opset + piece(7, b"".join(graph)))
    return path
