"""Tensors back to float32, in NumPy: what the bytes of each encoding mean.

For reading, tests, conversion and the reference model; generation uses the kernels' own. Each
function gives the same bits as `gguf.quants.dequantize` of the PyPI package `gguf`.

Source: the block layouts in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError, UnsupportedError
from .tensor_types import BF16, F16, F32, Q4_0, Q8_0, TensorType

Floats: TypeAlias = NDArray[np.float32]
Bytes: TypeAlias = NDArray[np.uint8]


def dequantize(data: Any, tensor_type: TensorType, shape: tuple[int, ...]) -> Floats:
    """Return the values of a tensor as float32 of `shape`, rows first.

    `data` is any buffer with exactly the tensor's bytes. Raises `FormatError` for another number of
    bytes, `UnsupportedError` for an encoding without a function below.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    n = int(np.prod(shape, dtype=np.int64))
    if raw.size != tensor_type.size(n):
        raise FormatError(
            f"{raw.size} bytes for a {tensor_type.name} tensor of shape {shape}; "
            f"{tensor_type.size(n)} are right"
        )
    if tensor_type.name not in _READERS:
        raise UnsupportedError(f"{tensor_type.name} has no reader; {', '.join(_READERS)} have")
    with np.errstate(invalid="ignore"):  # an infinite scale makes NaNs, which are the answer
        return _READERS[tensor_type.name](raw).reshape(shape)


def _f32(raw: Bytes) -> Floats:
    return raw.view("<f4").astype(np.float32)


def _f16(raw: Bytes) -> Floats:
    return raw.view("<f2").astype(np.float32)


def _bf16(raw: Bytes) -> Floats:
    """The upper half of a float32."""
    return (raw.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def _q8_0(raw: Bytes) -> Floats:
    """Blocks of 32: a float16 scale d, then 32 signed bytes q; the values are d q."""
    blocks = raw.reshape(-1, Q8_0.nbytes)
    d = blocks[:, :2].copy().view("<f2").astype(np.float32)
    return d * blocks[:, 2:].view(np.int8).astype(np.float32)


def _q4_0(raw: Bytes) -> Floats:
    """Blocks of 32: a float16 scale d, then 16 bytes. Byte j holds value j in its lower half and
    value j + 16 in its upper half, each 8 too large; the values are d (q - 8)."""
    blocks = raw.reshape(-1, Q4_0.nbytes)
    d = blocks[:, :2].copy().view("<f2").astype(np.float32)
    pairs = blocks[:, 2:]
    q = np.concatenate([pairs & np.uint8(15), pairs >> np.uint8(4)], axis=1)
    return d * (q.astype(np.float32) - np.float32(8))


_READERS: dict[str, Callable[[Bytes], Floats]] = {
    F32.name: _f32,
    F16.name: _f16,
    BF16.name: _bf16,
    Q8_0.name: _q8_0,
    Q4_0.name: _q4_0,
}
