"""Rows of floats as the bytes of an encoding: the last step of every conversion."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import NumericError
from ..kernel import Kernel
from ..quantize import Values, replaced_rows
from ..tensor_types import F16, F32, TensorType, fitting

Plan = Mapping[str, tuple[tuple[int, ...], TensorType]]
"""The tensors of a new file: their shapes, and what they become."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion did."""

    architecture: str
    type: TensorType
    n_tensors: int
    replaced: str | None
    """How many matrices became `FALLBACKS[type]`, and why, in one line."""
    misfits: tuple[str, ...]
    """Matrices that are F16, because their rows fill no blocks."""
    nbytes: int
    """Of the file."""


def converted(
    architecture: str, wanted: TensorType, plan: Plan, target: str | os.PathLike[str]
) -> Converted:
    """What was done, of a file that has been written to `target`."""
    rows = {name: shape[-1] for name, (shape, to) in plan.items() if to.block > 1}
    return Converted(
        architecture=architecture,
        type=wanted,
        n_tensors=len(plan),
        replaced=replaced_rows(list(rows.values()), wanted),
        misfits=tuple(n for n, (_, to) in plan.items() if wanted.block > 1 and to == F16),
        nbytes=os.path.getsize(target),
    )


def type_of(shape: tuple[int, ...], wanted: TensorType) -> TensorType:
    """What a tensor becomes: vectors stay exact, matrices are `wanted` or what stands in for it,
    and F16 where their rows fill no blocks at all."""
    if len(shape) < 2:
        return F32
    return fitting(wanted, shape[-1]) or F16


def check_finite(name: str, values: NDArray[np.float32], first: int) -> None:
    """Raise NumericError where `values`, the rows from `first` on, are not all finite."""
    if not np.isfinite(values).all():
        row = first + int(np.argwhere(~np.isfinite(values))[0][0])
        raise NumericError(f"tensor {name!r} holds a weight that is not finite, in row {row}")


def encode(
    kernel: Kernel, name: str, to: TensorType, values: NDArray[np.float32]
) -> bytes | memoryview:
    """The bytes of finite `values`. Raises NumericError where they are too large for `to`."""
    if to == F32:
        return values.data
    held = Values(kernel, values.size)
    try:
        held.take(F32, values.data)
        made, bad = held.give(to)
    finally:
        held.close()
    if bad:
        raise NumericError(
            f"tensor {name!r} holds {np.abs(values).max():g}, which is too large for {to.name}; "
            "convert with --type f32"
        )
    return made
