"""Tensors whose weights are looked up back to float32, in NumPy: d s v, with v out of a table.

As `dequantize.py`, whose readers these are for the types in `LOOKED_UP`. The layouts are those of
https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h and ggml-quants.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import grids
from .tensor_types import LOOKED_UP

Floats: TypeAlias = NDArray[np.float32]
Bytes: TypeAlias = NDArray[np.uint8]
Parts: TypeAlias = tuple[Any, Any]
"""d s of each sub-block, [blocks, sub-blocks], and v of each weight, [blocks, values]."""

_NONLINEAR = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8
)
_E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)
"""Floats of 4 bits, doubled."""
_SIGNS = np.array([n | bin(n).count("1") % 2 << 7 for n in range(128)], np.uint8)
"""Eight signs by seven: an even number of them is negative."""


def dequantize_codes(raw: Bytes, name: str) -> Floats:
    """The values of whole blocks of the type called `name`."""
    kind = next(kind for kind in LOOKED_UP if kind.name == name)
    scale, values = _READERS[name](raw.reshape(-1, kind.nbytes))
    scale = np.asarray(scale, np.float32).reshape(len(values), -1, 1)
    product = scale * values.reshape(len(values), scale.shape[1], -1).astype(np.float32)
    return np.asarray(product, np.float32).reshape(-1)


def _half(raw: Bytes) -> Floats:
    return raw.copy().view("<f2").astype(np.float32)


def _u16(raw: Bytes) -> NDArray[np.uint16]:
    return raw.copy().view("<u2")


def _u32(raw: Bytes) -> NDArray[np.uint32]:
    return raw.copy().view("<u4")


def _fields(numbers: Any, width: int, count: int) -> Any:
    """[blocks, n] numbers as [blocks, n count] fields of `width` bits, the lowest first."""
    shifts = np.arange(count, dtype=numbers.dtype) * numbers.dtype.type(width)
    found = numbers[..., None] >> shifts & numbers.dtype.type((1 << width) - 1)
    return found.reshape(len(numbers), -1)


def _nibbles(raw: Bytes, size: int) -> Bytes:
    """Runs of `size` bytes: their lower halves, then their upper ones."""
    runs = raw.reshape(len(raw), -1, 1, size)
    both = np.concatenate([runs & np.uint8(15), runs >> np.uint8(4)], axis=2)
    return both.reshape(len(raw), -1)


def _grid(name: str, places: Any) -> Any:
    """[blocks, n] places as [blocks, values]."""
    columns, numbers = grids.numbers(name)
    values = np.array(grids.VALUES[name], np.int16)[np.frombuffer(numbers, np.uint8)]
    return values.reshape(-1, columns)[places].reshape(len(places), -1)


def _signed(sizes: Any, signs: Any) -> Any:
    """Sizes with the signs of [blocks, values / 8] bytes."""
    negative = np.unpackbits(signs.astype(np.uint8), axis=1, bitorder="little")
    return np.where(negative, -sizes, sizes)


def _odd(numbers: Any) -> Any:
    return 2 * numbers.astype(np.float32) + 1


def _q1_0(b: Bytes) -> Parts:
    """Blocks of 128: d, then a bit a weight: plus or minus d."""
    return _half(b[:, :2]), _fields(b[:, 2:], 1, 8).astype(np.int8) * 2 - 1


def _q2_0(b: Bytes) -> Parts:
    """Blocks of 64: d, then 2 bits a weight, less 1."""
    return _half(b[:, :2]), _fields(b[:, 2:], 2, 4).astype(np.int8) - 1


def _tq1_0(b: Bytes) -> Parts:
    """Blocks of 256 of -1, 0, 1: five in a byte, in base 3, the last 16 four; then d."""
    digits = []
    for first, last, count in ((0, 32, 5), (32, 48, 5), (48, 52, 4)):
        powers = np.array([1, 3, 9, 27, 81], np.uint8)[:count, None]
        rest = b[:, None, first:last] * powers  # of which the upper bits are not wanted
        digits.append((rest.astype(np.uint16) * 3 >> 8).reshape(len(b), -1))
    return _half(b[:, 52:]), np.concatenate(digits, axis=1).astype(np.int8) - 1


def _tq2_0(b: Bytes) -> Parts:
    """Blocks of 256 of -1, 0, 1: runs of 32 bytes have 2 bits of 128 columns; then d."""
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    codes = b[:, :64].reshape(len(b), 2, 1, 32) >> shifts & np.uint8(3)
    return _half(b[:, 64:]), codes.reshape(len(b), -1).astype(np.int8) - 1


def _iq4_nl(b: Bytes) -> Parts:
    """Blocks of 32: d, then places in a table of 16 values."""
    return _half(b[:, :2]), _NONLINEAR[_nibbles(b[:, 2:], 16)]


def _iq4_xs(b: Bytes) -> Parts:
    """Blocks of 256 in sub-blocks of 32: d, 2 upper bits of s, 4 lower ones, then as IQ4_NL."""
    s = _fields(b[:, 4:8], 4, 2) | _fields(_u16(b[:, 2:4]), 2, 8).astype(np.uint8) << np.uint8(4)
    scale = _half(b[:, :2]) * (s.astype(np.float32) - 32)
    return scale, _NONLINEAR[_nibbles(b[:, 8:], 16)]


def _mxfp4(b: Bytes) -> Parts:
    """Blocks of 32: the exponent of d, then floats of 4 bits (OCP Microscaling Formats 1.0)."""
    e = b[:, :1].astype(np.uint32)
    bits = np.where(e < 2, np.uint32(0x200000) << e, (e - 1) << np.uint32(23))
    return bits.astype(np.uint32).view(np.float32), _E2M1[_nibbles(b[:, 1:], 16)]


def _nvfp4(b: Bytes) -> Parts:
    """Blocks of 64 in sub-blocks of 16: scales as floats of 8 bits (4 of exponent, 3 of mantissa,
    no sign), then floats of 4 bits."""
    x = b[:, :4]
    exponent, mantissa = (x >> np.uint8(3) & np.uint8(15)).astype(int), (x & np.uint8(7)) / 8
    size = np.where(exponent == 0, mantissa * 2.0**-6, (1 + mantissa) * 2.0 ** (exponent - 7))
    scale = np.where(x == 0x7F, 0, size / 2)
    return scale, _E2M1[_nibbles(b[:, 4:], 8)]


def _iq2_xxs(b: Bytes) -> Parts:
    """Blocks of 256 in sub-blocks of 32: d; four places, then four times seven signs and s."""
    both = _u32(b[:, 2:]).reshape(len(b), -1, 2)
    places = both[:, :, 0].copy().view(np.uint8).reshape(len(b), -1)
    signs = _SIGNS[_fields(both[:, :, 1], 7, 4)]
    scale = _half(b[:, :2]) * _odd(both[:, :, 1] >> np.uint32(28)) / 8
    return scale, _signed(_grid("IQ2_XXS", places), signs)


def _iq2_xs(b: Bytes) -> Parts:
    """Blocks of 256 in sub-blocks of 16: d; of eight columns 9 bits of a place, seven signs; s."""
    both = _u16(b[:, 2:66])
    sizes = _grid("IQ2_XS", both & np.uint16(511))
    scale = _half(b[:, :2]) * _odd(_fields(b[:, 66:], 4, 2)) / 8
    return scale, _signed(sizes, _SIGNS[both >> np.uint16(9)])


def _iq2_s(b: Bytes) -> Parts:
    """Blocks of 256 in sub-blocks of 16: d; 8 bits of places, signs, 2 upper bits of places; s."""
    places = b[:, 2:34] | _fields(b[:, 66:74], 2, 4).astype(np.uint16) << np.uint16(8)
    scale = _half(b[:, :2]) * _odd(_fields(b[:, 74:], 4, 2)) / 8
    return scale, _signed(_grid("IQ2_S", places), b[:, 34:66])


def _iq3_xxs(b: Bytes) -> Parts:
    """Blocks of 256 in sub-blocks of 32: d; places of four columns; four times seven signs; s."""
    both = _u32(b[:, 66:])
    scale = _half(b[:, :2]) * _odd(both >> np.uint32(28)) / 4
    return scale, _signed(_grid("IQ3_XXS", b[:, 2:66]), _SIGNS[_fields(both, 7, 4)])


def _iq3_s(b: Bytes) -> Parts:
    """Blocks of 256 in sub-blocks of 32: d; 8 bits of places, their ninth bits; signs; s."""
    places = b[:, 2:66] | _fields(b[:, 66:74], 1, 8).astype(np.uint16) << np.uint16(8)
    scale = _half(b[:, :2]) * _odd(_fields(b[:, 106:], 4, 2))
    return scale, _signed(_grid("IQ3_S", places), b[:, 74:106])


def _iq1_s(b: Bytes) -> Parts:
    """Blocks of 256 in sub-blocks of 32: d; 8 bits of places; their 3 upper bits, s, and whether an
    eighth is taken off or added. In eighths."""
    rest = _u16(b[:, 34:])
    places = b[:, 2:34] | _fields(rest, 3, 4) << np.uint16(8)
    less = np.repeat(rest >> np.uint16(15), 32, axis=1)
    scale = _half(b[:, :2]) * _odd(rest >> np.uint16(12) & np.uint16(7)) / 8
    return scale, _grid("IQ1", places) * 8 + np.where(less, -1, 1)


def _iq1_m(b: Bytes) -> Parts:
    """Blocks of 256 in sub-blocks of 16: 8 bits of places; their 3 upper bits and whether an eighth
    is taken off or added; s, and d in the upper bits of four times four of them. In eighths."""
    rest, scales = _fields(b[:, 32:48], 4, 2), _u16(b[:, 48:])
    places = b[:, :32] | (rest & np.uint8(7)).astype(np.uint16) << np.uint16(8)
    d = (scales >> np.uint16(12)) << np.array([0, 4, 8, 12], np.uint16)
    whole = np.bitwise_or.reduce(d, axis=1, keepdims=True).astype("<u2").view("<f2")
    less = np.repeat(rest >> np.uint8(3), 8, axis=1)
    scale = whole.astype(np.float32) * _odd(_fields(scales, 3, 4)) / 8
    return scale, _grid("IQ1", places) * 8 + np.where(less, -1, 1)


_READERS: dict[str, Callable[[Bytes], Parts]] = {
    "Q1_0": _q1_0, "Q2_0": _q2_0, "TQ1_0": _tq1_0, "TQ2_0": _tq2_0, "IQ4_NL": _iq4_nl,
    "IQ4_XS": _iq4_xs, "MXFP4": _mxfp4, "NVFP4": _nvfp4, "IQ2_XXS": _iq2_xxs, "IQ2_XS": _iq2_xs,
    "IQ2_S": _iq2_s, "IQ3_XXS": _iq3_xxs, "IQ3_S": _iq3_s, "IQ1_S": _iq1_s, "IQ1_M": _iq1_m,
}  # fmt: skip
