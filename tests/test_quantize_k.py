"""Q4_K and Q6_K as we write them: as near to the weights as ggml's quantizers bring them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.tiny_models import TinySpec, random_values, write
from thimble.dequantize import dequantize
from thimble.kernel import Scratch, default_kernel
from thimble.quantize import quantize_file
from thimble.tensor_types import Q4_K, Q6_K, TensorType

# Root mean square errors of ggml_quantize_chunk (llama-cpp-python 0.3.36) with `samples`.
PEER = {
    Q4_K: {"flat": 0.0314816, "thick": 0.0273649},
    Q6_K: {"flat": 0.0076477, "thick": 0.0065949},
}


def samples(name: str) -> NDArray[np.float32]:
    """64 rows of 1024: values drawn evenly, or their cubes, which have a few large ones."""
    values = random_values(1, (64, 1024), 1.0)
    return values if name == "flat" else values * values * values


def encode(values: NDArray[np.float32], kind: TensorType) -> bytes:
    kernel = default_kernel()
    source = Scratch(kernel, values.nbytes, "values")
    target = Scratch(kernel, kind.size(values.size), "bytes")
    source.write(values.tobytes())
    assert kernel.call("encode", kind.ggml_id, source.address, target.address, values.size) == 0
    return kernel.read(target.address, target.nbytes)


@pytest.mark.parametrize("kind", [Q4_K, Q6_K], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["flat", "thick"])
def test_errors_are_no_larger_than_the_peers(kind: TensorType, name: str) -> None:
    values = samples(name)
    found = dequantize(encode(values, kind), kind, values.shape).astype(np.float64)
    error = float(np.sqrt(np.mean((found - values) ** 2)))
    assert error < 1.05 * PEER[kind][name]


@pytest.mark.parametrize("kind", [Q4_K, Q6_K], ids=lambda kind: kind.name)
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e-30, -1e-12, 300.0])
def test_blocks_of_one_value_come_back(kind: TensorType, value: float) -> None:
    values = np.full((1, 256), value, np.float32)
    found = dequantize(encode(values, kind), kind, values.shape)
    assert np.abs(found - values).max() <= abs(value) * 0.02 + 1e-6


@pytest.mark.parametrize("to", ["q4_k", "q6_k"])
def test_a_model_is_written_and_runs(to: str, tmp_path: Path) -> None:
    spec = TinySpec(dim=256, hidden_dim=256, n_layers=1, n_heads=4, head_dim=64, seed=21)
    source = write(tmp_path / "m.gguf", spec)
    report = quantize_file(source, tmp_path / "small.gguf", to)
    assert report.converted == 9 and not report.misfits
    exact, small = thimble.load(source).session(), thimble.load(tmp_path / "small.gguf").session()
    exact.append([1, 2, 3, 4])
    small.append([1, 2, 3, 4])
    a, b = np.array(exact.logits()), np.array(small.logits())
    assert np.corrcoef(a, b)[0, 1] > {"q4_k": 0.97, "q6_k": 0.995}[to]


@pytest.mark.parametrize("large", [1e9, 1e20, 3e38])
def test_too_large_a_weight_is_not_made_small(large: float) -> None:
    values = np.ones((1, 256), np.float32)
    values[0, 5] = large
    for kind in (Q4_K, Q6_K):
        found = dequantize(encode(values, kind), kind, values.shape)
        assert not np.isfinite(found).all(), "what the loader and the quantizer then refuse"
