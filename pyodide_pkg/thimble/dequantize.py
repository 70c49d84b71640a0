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

from .dequantize_codes import dequantize_codes
from .errors import FormatError, UnsupportedError
from .tensor_types import (
    BF16,
    F16,
    F32,
    LOOKED_UP,
    Q2_K,
    Q3_K,
    Q4_0,
    Q4_1,
    Q4_K,
    Q5_0,
    Q5_1,
    Q5_K,
    Q6_K,
    Q8_0,
    TensorType,
)

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
    if tensor_type not in LOOKED_UP and tensor_type.name not in _READERS:
        raise UnsupportedError(f"{tensor_type.name} has no reader; {', '.join(_READERS)} have")
    # An infinite scale makes NaNs, which are the answer.
    with np.errstate(invalid="ignore", over="ignore"):
        if tensor_type in LOOKED_UP:
            return dequantize_codes(raw, tensor_type.name).reshape(shape)
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


def _half(raw: Bytes) -> Floats:
    """[blocks, 2] bytes as [blocks, 1] numbers."""
    return raw.copy().view("<f2").astype(np.float32)


def _nibbles(raw: Bytes) -> Bytes:
    """Lower halves of each block's bytes, then their upper halves."""
    return np.concatenate([raw & np.uint8(15), raw >> np.uint8(4)], axis=1)


def _fifth(raw: Bytes) -> Bytes:
    """[blocks, 4] bytes as [blocks, 32] bits, each worth 16."""
    return np.unpackbits(raw, axis=1, bitorder="little") << np.uint8(4)


def _q4_1(raw: Bytes) -> Floats:
    """Blocks of 32: d, m, then as Q4_0 without an offset; the values are d q + m."""
    b = raw.reshape(-1, Q4_1.nbytes)
    return _half(b[:, :2]) * _nibbles(b[:, 4:]).astype(np.float32) + _half(b[:, 2:4])


def _q5_0(raw: Bytes) -> Floats:
    """Blocks of 32: d, the fifth bits, then the lower four; the values are d (q - 16)."""
    b = raw.reshape(-1, Q5_0.nbytes)
    q = (_nibbles(b[:, 6:]) | _fifth(b[:, 2:6])).astype(np.int8) - np.int8(16)
    return _half(b[:, :2]) * q.astype(np.float32)


def _q5_1(raw: Bytes) -> Floats:
    """Blocks of 32: d, m, the fifth bits, the lower four; the values are d q + m."""
    b = raw.reshape(-1, Q5_1.nbytes)
    q = _nibbles(b[:, 8:]) | _fifth(b[:, 4:8])
    return _half(b[:, :2]) * q.astype(np.float32) + _half(b[:, 2:4])


def _planes(raw: Bytes, width: int, bits: int) -> Bytes:
    """Fields of `bits` bits: for each run of `width` bytes all lowest fields, then the next."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8).reshape(1, 1, -1, 1)
    fields = raw.reshape(len(raw), -1, 1, width) >> shifts & np.uint8((1 << bits) - 1)
    return fields.reshape(len(raw), -1)


def _scaled(d: Floats, scales: Any, q: Any, low: Floats | None = None, m: Any = None) -> Floats:
    """d s q, or d s q - low m, with s and m of each sub-block."""
    blocks, parts = scales.shape
    each = (d * scales.astype(np.float32)).reshape(blocks, parts, 1)
    values: Floats = each * q.reshape(blocks, parts, -1).astype(np.float32)
    if low is not None:
        values = values - (low * m.astype(np.float32)).reshape(blocks, parts, 1)
    return values


def _q2_k(raw: Bytes) -> Floats:
    """Blocks of 256 in sub-blocks of 16: s and m of 4 bits each, q of 2 bits, d, low."""
    b = raw.reshape(-1, Q2_K.nbytes)
    scales, q = b[:, :16], _planes(b[:, 16:80], 32, 2)
    low = _half(b[:, 82:])
    return _scaled(_half(b[:, 80:82]), scales & np.uint8(15), q, low, scales >> np.uint8(4))


def _q3_k(raw: Bytes) -> Floats:
    """Blocks of 256 in sub-blocks of 16: the third bits of q, the lower two, s of 6 bits, d. Where
    the third bit is 0, q is 4 less; s is 32 too large."""
    b = raw.reshape(-1, Q3_K.nbytes)
    third = _planes(b[:, :32], 32, 1)
    q = _planes(b[:, 32:96], 32, 2).astype(np.int8) - ((third ^ 1) << np.uint8(2)).astype(np.int8)
    s = _planes(b[:, 96:104], 8, 4) | _planes(b[:, 104:108], 4, 2) << np.uint8(4)
    return _scaled(_half(b[:, 108:]), s.astype(np.int8) - np.int8(32), q)


def _scales_k4(b: Bytes) -> tuple[Bytes, Bytes]:
    """s and m of eight sub-blocks, 6 bits each, of 12 bytes."""
    first, second, rest = b[:, 0:4], b[:, 4:8], b[:, 8:12]
    s = rest & np.uint8(15) | first >> np.uint8(6) << np.uint8(4)
    m = rest >> np.uint8(4) | second >> np.uint8(6) << np.uint8(4)
    low = np.uint8(63)
    return np.concatenate([first & low, s], axis=1), np.concatenate([second & low, m], axis=1)


def _q4_k(raw: Bytes) -> Floats:
    """Blocks of 256 in sub-blocks of 32: d, low, s and m, q of 4 bits."""
    b = raw.reshape(-1, Q4_K.nbytes)
    s, m = _scales_k4(b[:, 4:16])
    return _scaled(_half(b[:, :2]), s, _planes(b[:, 16:], 32, 4), _half(b[:, 2:4]), m)


def _q5_k(raw: Bytes) -> Floats:
    """As Q4_K, with the fifth bits of q before the lower four."""
    b = raw.reshape(-1, Q5_K.nbytes)
    s, m = _scales_k4(b[:, 4:16])
    q = _planes(b[:, 48:], 32, 4) | _planes(b[:, 16:48], 32, 1) << np.uint8(4)
    return _scaled(_half(b[:, :2]), s, q, _half(b[:, 2:4]), m)


def _q6_k(raw: Bytes) -> Floats:
    """Blocks of 256 in sub-blocks of 16: the lower four bits of q, the upper two, s, d; q is 32 too
    large."""
    b = raw.reshape(-1, Q6_K.nbytes)
    q = _planes(b[:, :128], 64, 4) | _planes(b[:, 128:192], 32, 2) << np.uint8(4)
    return _scaled(_half(b[:, 208:]), b[:, 192:208].view(np.int8), q.astype(np.int8) - np.int8(32))


_READERS: dict[str, Callable[[Bytes], Floats]] = {
    F32.name: _f32,
    F16.name: _f16,
    BF16.name: _bf16,
    Q8_0.name: _q8_0,
    Q4_0.name: _q4_0,
    Q4_1.name: _q4_1,
    Q5_0.name: _q5_0,
    Q5_1.name: _q5_1,
    Q2_K.name: _q2_k,
    Q3_K.name: _q3_k,
    Q4_K.name: _q4_k,
    Q5_K.name: _q5_k,
    Q6_K.name: _q6_k,
}
