"""Dequantization, bit for bit as in the PyPI package `gguf`."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.random_blocks import UNKNOWN_TO_GGUF, random_bytes
from thimble import grids
from thimble.dequantize import dequantize
from thimble.errors import FormatError, UnsupportedError
from thimble.kernel import Scratch, default_kernel
from thimble.tensor_types import BF16, F16, F32, Q4_0, Q8_0, TENSOR_TYPES, TensorType

VECTORS = Path(__file__).parent / "vectors" / "blocks.npz"
TYPES = tuple(kind for kind in TENSOR_TYPES.values() if kind not in UNKNOWN_TO_GGUF)


def peers(raw: NDArray[np.uint8], kind: TensorType) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore", over="ignore"):
        found: NDArray[np.float32] = gguf.quants.dequantize(
            raw, gguf.GGMLQuantizationType[kind.name]
        )
    return found


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_random_bytes_become_the_peers_bits(kind: TensorType) -> None:
    """Any bytes are a tensor, with infinities, NaNs and subnormal scales among its values."""
    raw = np.random.default_rng(1).integers(0, 256, 8 * 512 * kind.nbytes, dtype=np.uint8)
    shape = (8, 512 * kind.block)
    theirs = peers(raw.reshape(8, -1), kind)
    ours = dequantize(raw.tobytes(), kind, shape)
    assert ours.dtype == np.float32
    assert np.array_equal(ours.view(np.uint32), theirs.reshape(shape).view(np.uint32))


@pytest.mark.parametrize("kind", UNKNOWN_TO_GGUF, ids=lambda kind: kind.name)
def test_blocks_that_the_peer_does_not_know_become_ggmls_bits(kind: TensorType) -> None:
    with np.load(VECTORS) as arrays:
        wanted = arrays[f"values/{kind.name}"]
    found = dequantize(random_bytes(kind), kind, wanted.shape)
    assert np.array_equal(found.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("kind", TENSOR_TYPES.values(), ids=lambda kind: kind.name)
def test_kernels_decode_the_same_bits(kind: TensorType) -> None:
    """NaNs of either sign are one; which it is, processors decide."""
    kernel, n = default_kernel(), 40 * kind.block
    raw = np.random.default_rng(3).integers(0, 256, 40 * kind.nbytes, dtype=np.uint8).tobytes()
    grids.ensure(kernel, (kind,))
    source, out = Scratch(kernel, len(raw), "blocks"), Scratch(kernel, 4 * n, "values")
    source.write(raw)
    kernel.call("decode", kind.ggml_id, source.address, out.address, n)
    found, wanted = np.array(out.floats(n), np.float32), dequantize(raw, kind, (n,))
    assert np.array_equal(np.isnan(found), np.isnan(wanted))
    there = ~np.isnan(wanted)
    assert np.array_equal(found[there].view(np.uint32), wanted[there].view(np.uint32))


@pytest.mark.parametrize("name", grids.NAMES)
def test_grids_are_ggmls(name: str) -> None:
    peer = getattr(gguf.quants, "IQ1_S" if name == "IQ1" else name)
    peer.init_grid()
    columns, numbers = grids.numbers(name)
    values = np.array(grids.VALUES[name])[np.frombuffer(numbers, np.uint8)].reshape(-1, columns)
    assert np.array_equal(values, peer.grid.reshape(peer.grid_shape))


@pytest.mark.parametrize("kind", (F32, F16, BF16, Q8_0, Q4_0), ids=lambda kind: kind.name)
def test_what_the_peer_quantizes_comes_back_close(kind: TensorType) -> None:
    values = np.random.default_rng(2).standard_normal((4, 96), dtype=np.float32)
    raw = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind.name])
    steps = {"F32": 0.0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 0.6 / 127, "Q4_0": 1.1 / 8}
    largest = np.abs(values).reshape(4, 3, 32).max(axis=-1).repeat(32, axis=-1)
    found = dequantize(raw, kind, values.shape)
    assert (np.abs(found - values) <= steps[kind.name] * largest).all()


@pytest.mark.parametrize("code", [0x0000, 0x8000, 0x0001, 0x7BFF, 0x7C00, 0xFC00, 0x7E00])
def test_special_scales_become_the_peers_bits(code: int) -> None:
    raw = code.to_bytes(2, "little") + bytes(17 * i for i in range(16))
    theirs = peers(np.frombuffer(raw, np.uint8).reshape(1, -1), Q4_0)
    ours = dequantize(raw, Q4_0, (1, 32))
    assert np.array_equal(ours.view(np.uint32), theirs.view(np.uint32))


def test_another_number_of_bytes_is_refused() -> None:
    with pytest.raises(FormatError, match=r"17 bytes.*\(1, 32\).*18 are right"):
        dequantize(bytes(17), Q4_0, (1, 32))


def test_an_encoding_without_a_reader_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"Q9_9.*F32"):
        dequantize(bytes(4), TensorType("Q9_9", 99, 1, 4), (1,))
