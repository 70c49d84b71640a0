"""Quantizing: the same bytes as the PyPI package `gguf` makes."""

from __future__ import annotations

import struct

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny_models import random_values
from thimble.kernel import default_kernel
from thimble.tensor_types import Q4_0, Q8_0, TENSOR_TYPES, TensorType

ENCODINGS = [t.name for t in TENSOR_TYPES.values()]


def quantize(values: NDArray[np.float32], to: TensorType) -> bytes:
    """What the kernel makes of values."""
    kernel = default_kernel()
    source, target = kernel.alloc(values.nbytes, "values"), kernel.alloc(values.nbytes, "bytes")
    kernel.write(source, values.tobytes())
    assert kernel.call("quantize", to.ggml_id, source, target, values.size) == 0
    data = kernel.read(target, to.size(values.size))
    kernel.free(source)
    kernel.free(target)
    return data


def dequantize(data: bytes, of: TensorType, n: int) -> NDArray[np.float32]:
    """What the kernel reads in bytes."""
    kernel = default_kernel()
    source, target = kernel.alloc(len(data), "bytes"), kernel.alloc(4 * n, "values")
    kernel.write(source, data)
    assert kernel.call("dequantize", of.ggml_id, source, target, n) == 0
    values = np.frombuffer(kernel.read(target, 4 * n), np.float32)
    kernel.free(source)
    kernel.free(target)
    return values


def samples() -> NDArray[np.float32]:
    """Blocks of many kinds: smooth, on a grid (where ties are), tiny, large, zero, one-sided."""
    smooth = random_values(1, (60_000, 32), 3.0)
    # Thirds of eighths: products with a scale's reciprocal then often fall just beside a half,
    # where rounding after each step and rounding once differ.
    grid = np.round(random_values(2, (60_000, 32), 16.0)) / np.float32(3)
    exponents = np.ldexp(np.float32(1), np.arange(-29, 15, dtype=np.int32)).astype(np.float32)
    scaled = random_values(3, (44, 32), 1.0) * exponents[:, None]
    edges = np.zeros((5, 32), np.float32)
    edges[1, 7], edges[2, 7] = 1.5, -1.5
    edges[3] = np.arange(-16, 16)
    edges[4, ::2] = -2.0
    return np.concatenate([smooth, grid, scaled, edges]).astype(np.float32)


@pytest.mark.parametrize("name", ENCODINGS)
def test_bytes_are_those_of_the_gguf_package(name: str) -> None:
    values, kind = samples(), gguf.GGMLQuantizationType[name]
    expected = gguf.quants.quantize(values, kind)
    assert quantize(values, TENSOR_TYPES[kind]) == expected.tobytes()
    read = dequantize(expected.tobytes(), TENSOR_TYPES[kind], values.size)
    assert read.tobytes() == gguf.quants.dequantize(expected, kind).tobytes()


@pytest.mark.parametrize("to", [Q8_0, Q4_0])
def test_blocks_of_subnormal_values_become_zero(to: TensorType) -> None:
    # The reciprocal of their scale is infinite, and what infinity becomes as an integer would be
    # the machine's choice.
    values = np.full(64, 1e-40, np.float32)
    values[5] = 0.0
    assert not dequantize(quantize(values, to), to, 64).any()


@pytest.mark.parametrize("of", [Q8_0, Q4_0])
def test_an_infinite_scale_is_read_as_one(of: TensorType) -> None:
    data = struct.pack("<e", float("inf")) + bytes([0x11]) * (of.nbytes - 2)
    assert not np.isfinite(dequantize(data, of, 32)).any()
