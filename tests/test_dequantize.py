"""Dequantization, bit for bit as in the PyPI package `gguf`."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from thimble.dequantize import dequantize
from thimble.errors import FormatError, UnsupportedError
from thimble.tensor_types import BF16, F16, F32, Q4_0, Q8_0, TENSOR_TYPES, TensorType

TYPES = tuple(TENSOR_TYPES.values())


def peers(raw: NDArray[np.uint8], kind: TensorType) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore"):
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
