"""Matrix products of every encoding against NumPy, at every shape of tile."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.random_blocks import random_blocks
from thimble import grids
from thimble.dequantize import dequantize
from thimble.kernel import Scratch, default_kernel
from thimble.tensor_types import (
    BF16,
    BIG,
    F16,
    F32,
    LOOKED_UP,
    Q4_0,
    Q8_0,
    SCALED,
    TENSOR_TYPES,
    TensorType,
)

F32Array = NDArray[np.float32]


def encode(values: F32Array, kind: TensorType) -> bytes:
    kernel = default_kernel()
    source = Scratch(kernel, values.nbytes, "values")
    target = Scratch(kernel, kind.size(values.size), "encoded")
    source.write(values.tobytes())
    assert kernel.call("quantize", kind.ggml_id, source.address, target.address, values.size) == 0
    return kernel.read(target.address, target.nbytes)


def product(data: bytes, kind: TensorType, rows: int, x: F32Array) -> F32Array:
    """x times the transpose of the encoded matrix, [tokens, rows]."""
    kernel, (tokens, cols) = default_kernel(), x.shape
    grids.ensure(kernel, (kind,))
    tensor = kernel.call("tensor_new", kind.ggml_id, rows, cols)
    source, inputs = Scratch(kernel, len(data), "rows"), Scratch(kernel, x.nbytes, "x")
    source.write(data)
    inputs.write(x.tobytes())
    assert kernel.call("pack_rows", tensor, 0, rows, source.address) == 0
    padded = (rows + 3) & ~3
    out = Scratch(kernel, 4 * tokens * padded, "y")
    assert kernel.call("product", tensor, inputs.address, tokens, out.address) == 0
    y = np.array(out.floats(tokens * padded), np.float32).reshape(tokens, padded)
    kernel.call("tensor_free", tensor)
    return y[:, :rows]


def rounded(x: F32Array) -> NDArray[np.float64]:
    """Activations as the quantized products see them: 8 bits, a scale for each 32."""
    blocks = x.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    q = np.rint(blocks * (np.float32(1) / np.where(d == 0, 1, d)))
    return (q * d.astype(np.float64)).reshape(x.shape)


@pytest.mark.parametrize("kind", [F32, F16, BF16, Q8_0, Q4_0], ids=lambda kind: kind.name)
@pytest.mark.parametrize("rows", [1, 3, 4, 7, 16, 17, 30, 32, 67])
@pytest.mark.parametrize(
    ("tokens", "cols"), [(1, 32), (2, 64), (3, 96), (4, 64), (5, 32), (7, 96), (32, 160)]
)
def test_products_agree_with_numpy(kind: TensorType, rows: int, tokens: int, cols: int) -> None:
    rng = np.random.default_rng(rows * 1000 + tokens)
    data = encode(rng.normal(0, 1, (rows, cols)).astype(np.float32), kind)
    x = rng.normal(0, 1, (tokens, cols)).astype(np.float32)
    weights = dequantize(memoryview(data), kind, (rows, cols)).astype(np.float64)
    seen = rounded(x) if kind in (Q8_0, Q4_0) else x.astype(np.float64)
    expected = seen @ weights.T
    assert np.abs(product(data, kind, rows, x) - expected).max() < 1e-5 * np.sqrt(cols) * 4


BLOCKS = (*SCALED, *LOOKED_UP)


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("rows", "tokens"), [(1, 1), (4, 3), (17, 4), (30, 7), (67, 2), (16, 32)])
def test_products_of_blocks_with_scales_agree_with_numpy(
    kind: TensorType, rows: int, tokens: int
) -> None:
    cols = 2 * BIG
    data = random_blocks(kind, rows, cols, seed=rows)
    x = np.random.default_rng(tokens).normal(0, 1, (tokens, cols)).astype(np.float32)
    weights = dequantize(memoryview(data), kind, (rows, cols)).astype(np.float64)
    expected = rounded(x) @ weights.T
    found = product(data, kind, rows, x)
    assert np.abs(found - expected).max() < 2e-6 * np.sqrt(cols) * np.abs(weights).max()
    # A token's product is the same whatever it is computed with.
    for token in range(tokens):
        alone = product(data, kind, rows, x[token : token + 1])
        assert np.array_equal(alone[0], found[token])


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name)
def test_rows_of_blocks_with_scales_are_the_files_values(kind: TensorType) -> None:
    rows, cols = 7, 2 * BIG
    data = random_blocks(kind, rows, cols)
    expected = dequantize(memoryview(data), kind, (rows, cols))
    kernel = default_kernel()
    grids.ensure(kernel, (kind,))
    tensor = kernel.call("tensor_new", kind.ggml_id, rows, cols)
    source, out = Scratch(kernel, len(data), "rows"), Scratch(kernel, 4 * cols, "a row")
    source.write(data)
    assert kernel.call("pack_rows", tensor, 0, rows, source.address) == 0
    for row in range(rows):
        kernel.call("tensor_row", tensor, row, out.address)
        found = np.array(out.floats(cols), np.float32)
        assert np.array_equal(found.view(np.uint32), expected[row].view(np.uint32))
    kernel.call("tensor_free", tensor)


@pytest.mark.parametrize("kind", [Q8_0, Q4_0], ids=lambda kind: kind.name)
def test_extreme_activations_stay_exact(kind: TensorType) -> None:
    """The largest magnitudes that 8 bits hold overflow nothing, and zeros and tiny blocks pass."""
    rows, cols = 16, 64
    signs = np.where(np.arange(cols) % 2, 1.0, -1.0)
    data = encode(np.tile(signs, (rows, 1)).astype(np.float32), kind)
    weights = dequantize(memoryview(data), kind, (rows, cols)).astype(np.float64)
    for x in (signs * 3e4, signs * 0.0, signs * 1e-44, signs * 1e-30):
        found = product(data, kind, rows, x[None].astype(np.float32))
        expected = x[None].astype(np.float32).astype(np.float64) @ weights.T
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max() + 1e-36


def test_a_nan_is_not_lost() -> None:
    data = encode(np.ones((4, 32), np.float32), Q8_0)
    for bad in (np.nan, np.inf):
        x = np.ones((1, 32), np.float32)
        x[0, 5] = bad
        assert not np.isfinite(product(data, Q8_0, 4, x)).any()


@pytest.mark.parametrize("kind", TENSOR_TYPES.values(), ids=lambda kind: kind.name)
def test_matrices_take_little_more_memory_than_in_the_file(kind: TensorType) -> None:
    """Grids of two bits and less become codes of at most 4 bits a weight; others stay as small."""
    kernel, rows, cols = default_kernel(), 1024, 4 * BIG
    scratch = Scratch(kernel, 8, "a size")
    kernel.call("tensor_size", kind.ggml_id, rows, cols, scratch.address)
    found = int.from_bytes(kernel.read(scratch.address, 8), "little")
    small = kind.name.startswith(("IQ1", "IQ2"))
    most = rows * cols / 2 if small else 1.1 * kind.size(rows * cols)
    assert kind.size(rows * cols) <= found <= most
