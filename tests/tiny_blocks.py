"""Small random llama models whose matrices are blocks with scales, every bit of them drawn.

data = make_blocks(Q4_K)        # the bytes of a GGUF file
"""

from __future__ import annotations

import functools

import numpy as np

from tests.random_blocks import random_blocks
from tests.tiny_models import TinySpec, make
from thimble.dequantize import dequantize
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.tensor_types import BF16, F16, F32, Q4_0, Q8_0, TENSOR_TYPES, TensorType

KINDS = {
    kind.name: kind for kind in TENSOR_TYPES.values() if kind not in (F32, F16, BF16, Q8_0, Q4_0)
}
SPEC = TinySpec(dim=256, hidden_dim=512, n_layers=1, n_heads=4, head_dim=64, seed=41)


@functools.cache
def make_blocks(kind: TensorType) -> bytes:
    """`SPEC` with other matrices: rows of about the size that keeps activations near 1."""
    source = make(SPEC)
    header = read_header(source, file_size=len(source))
    writer = GGUFWriter()
    for key, value in header.metadata.items():
        writer.add(key, value)
    probe = dequantize(random_blocks(kind, 4, 1024), kind, (4, 1024))
    size = 0.01 / float(np.sqrt(np.mean(probe.astype(np.float64) ** 2)))
    for i, t in enumerate(header.tensors):
        raw, to = source[t.offset : t.offset + t.nbytes], t.type
        if len(t.shape) == 2:
            raw = random_blocks(kind, *t.shape, seed=i, size=1.5 * size / t.shape[1] ** 0.5)
            to = kind
        writer.add_tensor(t.name, t.shape, to, functools.partial(iter, (raw,)))
    return writer.to_bytes()
