"""Rows of floats as the bytes of an encoding: the last step of every conversion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import NumericError
from ..kernel import Kernel, Scratch
from ..tensor_types import F16, F32, Q4_0, Q8_0, TensorType

TYPES = {t.name.lower(): t for t in (F16, F32, Q8_0, Q4_0)}
"""What matrices can become."""


def type_of(shape: tuple[int, ...], wanted: TensorType) -> TensorType:
    """What a tensor becomes: vectors stay exact, and rows that do not fill blocks are F16."""
    if len(shape) < 2:
        return F32
    return wanted if shape[-1] % wanted.block == 0 else F16


def check_finite(name: str, values: NDArray[np.float32], first: int) -> None:
    """Raise NumericError where `values`, the rows from `first` on, are not all finite."""
    if not np.isfinite(values).all():
        row = first + int(np.argwhere(~np.isfinite(values))[0][0])
        raise NumericError(f"tensor {name!r} holds a weight that is not finite, in row {row}")


def encode(
    kernel: Kernel, name: str, to: TensorType, values: NDArray[np.float32]
) -> bytes | memoryview:
    """The bytes of finite `values`. Raises NumericError where they are too large for F16."""
    if to == F32:
        return values.data
    if to == F16:
        with np.errstate(over="ignore"):
            halves = values.astype("<f2")
        if not np.isfinite(halves).all():
            raise NumericError(
                f"tensor {name!r} holds {np.abs(values).max():g}, which is too large for F16; "
                "convert with --type f32"
            )
        return halves.data
    nbytes = to.size(values.size)
    scratch = Scratch(kernel, values.nbytes + nbytes, "converting")
    scratch.write(values.data)
    out = scratch.address + values.nbytes
    kernel.call("quantize", to.ggml_id, scratch.address, out, values.size)
    made = kernel.read(out, nbytes)
    scratch.close()
    return made
