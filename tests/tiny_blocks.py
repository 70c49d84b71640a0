"""Small random llama models whose matrices are blocks of any encoding, every bit of them drawn.

data = make_blocks("Q4_K")        # the bytes of a GGUF file
data = make_blocks("UD")          # with a different encoding for each kind of matrix
"""

from __future__ import annotations

import functools

import numpy as np

from tests.random_blocks import random_blocks
from tests.tiny_models import TinySpec, make
from thimble.dequantize import dequantize
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.tensor_types import LOOKED_UP, SCALED, TENSOR_TYPES, TensorType

KINDS = {kind.name: kind for kind in (*SCALED, *LOOKED_UP)}
MIXES = {
    "Q4_K_M": {"attn_v": "Q6_K", "ffn_down": "Q6_K", "output": "Q6_K", "": "Q4_K"},
    "UD": {
        "token_embd": "Q4_K", "attn_q": "IQ2_S", "attn_k": "IQ3_XXS", "attn_v": "Q5_K",
        "attn_output": "IQ4_XS", "ffn_gate": "IQ2_XXS", "ffn_up": "IQ1_M", "ffn_down": "Q3_K",
        "output": "Q6_K",
    },
}  # fmt: skip
"""Files of several encodings: llama.cpp's Q4_K_M, and one as dynamic quantizers make them."""
NAMES = (*KINDS, *MIXES)
SPEC = TinySpec(dim=256, hidden_dim=512, n_layers=1, n_heads=4, head_dim=64, seed=41)


@functools.cache
def make_blocks(name: str) -> bytes:
    """`SPEC` with other matrices: rows of about the size that keeps activations near 1."""
    source = make(SPEC)
    header = read_header(source, file_size=len(source))
    writer = GGUFWriter()
    for key, value in header.metadata.items():
        writer.add(key, value)
    for i, t in enumerate(header.tensors):
        raw, to = source[t.offset : t.offset + t.nbytes], t.type
        if len(t.shape) == 2:
            to = _kind(name, t.name)
            size = _unit(to) * 1.5 / t.shape[1] ** 0.5
            raw = random_blocks(to, *t.shape, seed=i, size=size)
        writer.add_tensor(t.name, t.shape, to, functools.partial(iter, (raw,)))
    return writer.to_bytes()


def _kind(name: str, tensor: str) -> TensorType:
    mix = MIXES.get(name)
    if mix is None:
        return KINDS[name]
    part = tensor.removesuffix(".weight").rpartition(".")[2]
    wanted = mix.get(part) or mix[""]
    return next(kind for kind in TENSOR_TYPES.values() if kind.name == wanted)


@functools.cache
def _unit(kind: TensorType) -> float:
    """Which size of scales gives weights of about 1."""
    probe = dequantize(random_blocks(kind, 4, 1024), kind, (4, 1024))
    return 0.01 / float(np.sqrt(np.mean(probe.astype(np.float64) ** 2)))
