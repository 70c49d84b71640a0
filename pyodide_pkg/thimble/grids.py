"""The grids that the IQ types look weights up in, and how kernels get them.

A grid is [places, columns] values: of IQ3 sizes of four columns, which products read; of IQ2 and
IQ1 numbers of eight columns' values, which only packing reads. The tables themselves are a module
of their own, which is imported when a file needs one.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterable

from .errors import MemoryLimitError
from .kernel import Kernel, Scratch
from .tensor_types import TensorType

NAMES = ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1")
"""In the order of the kernels' numbers, from 1 on."""
VALUES = {
    "IQ2_XXS": (8, 25, 43), "IQ2_XS": (8, 25, 43), "IQ2_S": (8, 25, 43), "IQ1": (-1, 0, 1),
    "IQ3_XXS": (4, 12, 20, 28, 36, 44, 52, 62), "IQ3_S": (1, 3, 5, 7, 9, 11, 13, 15),
}  # fmt: skip
"""What the numbers in a table stand for."""


def numbers(name: str) -> tuple[int, bytes]:
    """How many columns a place of a grid has, and the number of each column's value."""
    from .grid_tables import PACKED

    bits = 3 if name.startswith("IQ3") else 2
    columns, mask = (4, 7) if bits == 3 else (8, 3)
    places = array("H", base64.b85decode(PACKED[name]))
    found = bytes(place >> bits * j & mask for place in places for j in range(columns))
    return columns, found


def ensure(kernel: Kernel, types: Iterable[TensorType]) -> None:
    """Give the kernels the grids that they lack for tensors of these types."""
    for tensor_type in types:
        number = kernel.call("grid_missing", tensor_type.ggml_id)
        if not number:
            continue
        name = NAMES[number - 1]
        data = numbers(name)[1]
        if name.startswith("IQ3"):
            data = bytes(VALUES[name][n] for n in data)
        scratch = Scratch(kernel, len(data), "a grid")
        scratch.write(data)
        failed = kernel.call("grid_set", number, scratch.address, len(data))
        scratch.close()
        if failed:
            raise MemoryLimitError(f"no memory for a grid of {len(data):,} bytes")
