"""Just enough of ONNX's file format to write a graph: protocol buffers, by the field numbers of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.

It knows no operators and checks nothing; the runtime does when it loads the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 10
OPSETS = {"": 21, "com.microsoft": 1}
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}

Dims = tuple[int | str, ...]
"""A shape; names stand for sizes that are known when the graph runs."""


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: Any) -> bytes:
    """A number of NodeProto's `attribute`; kinds are 1 float, 2 int, 7 ints."""
    if isinstance(value, float):
        return _bytes(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _int(20, 1)
    if isinstance(value, int):
        return _bytes(1, name) + _int(3, value) + _int(20, 2)
    return _bytes(1, name) + b"".join(_int(8, one) for one in value) + _int(20, 7)


def _value_info(name: str, type_name: str, dims: Dims) -> bytes:
    shape = b"".join(
        _bytes(1, _int(1, dim) if isinstance(dim, int) else _bytes(2, dim)) for dim in dims
    )
    tensor = _int(1, TYPES[type_name]) + _bytes(2, shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


@dataclass
class Graph:
    """Collects nodes and constants in the order of the calls, then writes them."""

    _parts: list[bytes] = field(default_factory=list)
    _count: int = 0

    def input(self, name: str, type_name: str, dims: Dims) -> str:
        self._parts.append(_bytes(11, _value_info(name, type_name, dims)))
        return name

    def output(self, name: str, type_name: str, dims: Dims) -> None:
        self._parts.append(_bytes(12, _value_info(name, type_name, dims)))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """An initializer; its name is for the graph's other nodes."""
        dims = b"".join(_int(1, dim) for dim in value.shape)
        kind = _int(2, TYPES[value.dtype.name])
        data = _bytes(9, np.ascontiguousarray(value).tobytes())
        self._parts.append(_bytes(5, dims + kind + _bytes(8, name) + data))
        return name

    def node(
        self, kind: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any
    ) -> str:
        """Add an operator, "domain:Name" for one that is not ONNX's own; returns its first output.

        An input or output called "" is left out.
        """
        domain, _, name = kind.rpartition(":")
        self._count += 1
        outputs = outputs or (f"{name}_{self._count}",)
        node = b"".join(_bytes(1, one) for one in inputs)
        node += b"".join(_bytes(2, one) for one in outputs)
        node += _bytes(3, f"{name}_{self._count}") + _bytes(4, name) + _bytes(7, domain)
        node += b"".join(_bytes(5, _attribute(key, one)) for key, one in attributes.items())
        self._parts.append(_bytes(1, node))
        return outputs[0]

    def write(self, path: Path) -> None:
        graph = b"".join(self._parts) + _bytes(2, "graph")
        opsets = b"".join(
            _bytes(8, _bytes(1, domain) + _int(2, version)) for domain, version in OPSETS.items()
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_int(1, IR_VERSION) + opsets + _bytes(7, graph))
