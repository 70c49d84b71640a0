"""What hooks are given: NumPy's arrays where NumPy is there, and else a plain buffer with a shape.

In a page NumPy is megabytes that only some visitors need, so it counts as there once somebody has
imported it. Natively it is imported here. This file knows memory and shapes, not what is in them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from math import prod
from types import ModuleType
from typing import Any, TypeAlias

from ..errors import OptionError

Array: TypeAlias = Any
"""`numpy.ndarray` of float32, or `Tensor`."""
Floats: TypeAlias = Any
"""A memoryview of float32 numbers."""


def numpy() -> ModuleType | None:
    """NumPy, where it may be used."""
    if "numpy" in sys.modules:
        return sys.modules["numpy"]
    if sys.platform == "emscripten":
        return None
    try:
        import numpy as found
    except ImportError:
        return None
    return found


class Tensor:
    """float32 numbers with a shape. `t[i]` is a part that shares the memory, `t[i, j]` the same
    further in, a number at the end; `t[i, j] = ...` takes a number for all, or as many as fit.

    `memory` is the whole as a memoryview of that shape; NumPy takes a Tensor as an array.
    """

    __slots__ = ("flat", "shape")

    def __init__(self, flat: Floats, shape: Sequence[int]) -> None:
        self.flat = flat
        self.shape = tuple(shape)
        if len(flat) != prod(self.shape):
            raise OptionError(f"{len(flat)} numbers have no shape {self.shape}")

    @property
    def memory(self) -> Floats:
        return self.flat.cast("B").cast("f", self.shape) if self.shape else self.flat

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | tuple[int, ...]) -> Any:
        part, shape = self._part(index)
        return Tensor(part, shape) if shape else part[0]

    def __setitem__(self, index: int | tuple[int, ...], value: Any) -> None:
        part, _ = self._part(index)
        if isinstance(value, (int, float)):
            value = array("f", (value,)) * len(part)
        part[:] = flat(value) if not isinstance(value, array) else memoryview(value)

    def _part(self, index: int | tuple[int, ...]) -> tuple[Floats, tuple[int, ...]]:
        part, shape = self.flat, self.shape
        for one in index if isinstance(index, tuple) else (index,):
            at = one + shape[0] if one < 0 else one
            if not 0 <= at < shape[0]:
                raise IndexError(f"index {one} is outside of an axis of {shape[0]}")
            size = len(part) // shape[0]
            part, shape = part[at * size : (at + 1) * size], shape[1:]
        return part, shape

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def fill(self, value: float) -> None:
        """Set every number."""
        self.flat[:] = memoryview(array("f", (value,)) * len(self.flat))

    def tolist(self) -> Any:
        """Nested lists."""
        return self.memory.tolist()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy as np

        found = np.frombuffer(self.flat, dtype=np.float32).reshape(self.shape)
        return found if dtype is None else found.astype(dtype)

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape})"


def to_array(data: bytes | bytearray, shape: Sequence[int]) -> Array:
    """float32 numbers as an array of their own that can be written to."""
    own = data if isinstance(data, bytearray) else bytearray(data)
    np = numpy()
    if np is None:
        return Tensor(memoryview(own).cast("f"), shape)
    return np.frombuffer(own, dtype=np.float32).reshape(tuple(shape))


def flat(value: Array) -> Floats:
    """The float32 numbers of an array in their order, shared where it lies in one piece."""
    if isinstance(value, Tensor):
        return value.flat
    np = numpy()
    if np is not None and not isinstance(value, (array, memoryview)):
        return memoryview(np.ascontiguousarray(value, dtype=np.float32).reshape(-1))
    if isinstance(value, (list, tuple)):
        return memoryview(array("f", value))
    view = memoryview(value)
    return view.cast("B").cast("f") if view.ndim != 1 else view


def shape_of(value: Array) -> tuple[int, ...] | None:
    """The shape of an array; None for what is none."""
    if isinstance(value, Tensor):
        return value.shape
    shape = getattr(value, "shape", None)
    if shape is not None:
        return tuple(shape)
    np = numpy()
    if np is not None and isinstance(value, (list, tuple)):
        return tuple(np.shape(value))
    return None
