"""Q4_K and Q6_K as we write them: as near to the weights as ggml's quantizers bring them; and what
stands in for them where rows fill no blocks of 256."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.tiny_models import TinySpec, random_values, write
from thimble.dequantize import dequantize
from thimble.gguf import read_file_header
from thimble.gguf_writer import GGUFWriter
from thimble.kernel import Scratch, default_kernel
from thimble.quantize import quantize_file
from thimble.tensor_types import F32, Q4_K, Q5_0, Q6_K, TensorType

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


ROWS = {"wide": 512, "smollm2": 576, "qwen2": 896, "odd": 172, "vector": 0}
"""Of matrices, by name."""

# What llama_model_quantize (llama-cpp-python 0.3.36, pure) makes of such rows, but that it turns
# what fills no blocks at all into F16; ours stays.
BECOMES = {
    "q4_k": {"wide": "Q4_K", "smollm2": "Q5_0", "qwen2": "Q5_0", "odd": "F32", "vector": "F32"},
    "q6_k": {"wide": "Q6_K", "smollm2": "Q8_0", "qwen2": "Q8_0", "odd": "F32", "vector": "F32"},
}


@pytest.mark.parametrize("to", BECOMES)
def test_rows_that_fill_no_large_blocks_become_what_llamacpp_makes_of_them(
    to: str, tmp_path: Path
) -> None:
    writer = GGUFWriter()
    for seed, (name, cols) in enumerate(ROWS.items()):
        shape = (4, cols) if cols else (576,)
        writer.add_tensor(name, shape, F32, random_values(seed, shape, 1.0))
    writer.write(tmp_path / "in.gguf")
    report = quantize_file(tmp_path / "in.gguf", tmp_path / "out.gguf", to)
    found = {t.name: t.type.name for t in read_file_header(tmp_path / "out.gguf").tensors}
    assert found == BECOMES[to]
    instead = BECOMES[to]["qwen2"]
    assert report.replaced == (
        f"2 of 3 matrices are {instead}, as llama.cpp makes them: their rows of 576, 896 values "
        "fill no blocks of 256"
    )
    assert (report.converted, report.misfits) == (3, ("odd",))
    with pytest.raises(thimble.OptionError, match="are that already"):
        quantize_file(tmp_path / "out.gguf", tmp_path / "again.gguf", to)


@pytest.mark.parametrize("name", ["flat", "thick"])
def test_q5_0_is_to_the_bit_what_the_reference_writes(name: str) -> None:
    values = samples(name)
    values[0, :64] = 0.0
    values[1, :32] = np.arange(32) - 16  # every code, and ties
    values[2, :32] = 1e-30
    expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q5_0)
    assert encode(values, Q5_0) == expected.tobytes()
