"""Small random adapters for the models of `tiny_models.py`, made on the spot with the PyPI package
`gguf`, so that what our reader reads here, our writer has not written.

    data = make_adapter(SPECS["q8_0"], rank=5, alpha=10.0)

The same arguments give the same bytes everywhere.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.tiny_models import TinySpec, make, random_values
from thimble.adapter import MATRICES
from thimble.gguf import read_header

Factors = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""A [rank, columns] and B [rows, rank], by the name of the matrix they change."""


def factors(spec: TinySpec, rank: int, matrices: tuple[str, ...] = MATRICES) -> Factors:
    """Random factors for these matrices of a tiny model, and for its output where it has one."""
    found: Factors = {}
    for i, tensor in enumerate(read_header(make(spec)).tensors):
        kind = tensor.name.removesuffix(".weight").rpartition(".")[2]
        if kind in matrices or kind == "output":
            rows, cols = tensor.shape
            down = random_values(31_000 + 2 * i, (rank, cols), cols**-0.5)
            found[tensor.name] = (down, random_values(31_001 + 2 * i, (rows, rank), 0.5))
    return found


def make_adapter(
    spec: TinySpec, *, rank: int = 5, alpha: float = 10.0, type: str = "F32",
    matrices: tuple[str, ...] = MATRICES,
) -> bytes:  # fmt: skip
    """The bytes of an adapter's file, as llama.cpp's `convert_lora_to_gguf.py` writes them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        writer.add_name(f"tiny adapter of rank {rank}")
        kind = gguf.GGMLQuantizationType[type]
        for name, pair in factors(spec, rank, matrices).items():
            for end, values in zip(("lora_a", "lora_b"), pair, strict=True):
                data = gguf.quants.quantize(values, kind)
                writer.add_tensor(f"{name}.{end}", data, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()
