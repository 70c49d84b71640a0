"""A model whose heads do what we know, because we wrote their weights.

Two layers of two heads, no MLP to speak of. The residual stream holds a token's code (random
signs), the code of the token before, and a constant:

    L0H0  looks at the token before, and copies its code          (previous token)
    L0H1  looks at where the same token stands, itself included   (duplicate token)
    L1H1  looks for a token whose predecessor is the current one, and says it again   (induction)
    L1H0  does nothing

The composition of L0H0 and L1H1 is the induction circuit of Elhage et al. 2021.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests import tiny_models
from tests.tiny_models import TinySpec, bpe_vocab, random_values

CODE, PREVIOUS, CONSTANT, DIM, HEAD = slice(0, 64), slice(64, 128), 128, 132, 64
SPEC = TinySpec(dim=DIM, n_heads=2, n_kv_heads=2, head_dim=HEAD, hidden_dim=32, n_ctx=128, seed=77)
SLOW = slice(32, 64)
"""The half of a head's values that RoPE hardly turns: at most 0.01 radians a position."""

Array = NDArray[np.float32]


@functools.cache
def make() -> bytes:
    """The bytes of the model's GGUF file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "induction.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        tiny_models._add_config(writer, SPEC)
        tiny_models._add_vocab(writer, SPEC.vocab)
        for name, values in _tensors(len(bpe_vocab()[0])).items():
            writer.add_tensor(f"{name}.weight", values.astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def _tensors(n_vocab: int) -> dict[str, Array]:
    code = np.sign(random_values(1, (n_vocab, 64), 1.0))
    embedding = np.zeros((n_vocab, DIM), np.float32)
    embedding[:, CODE], embedding[:, CONSTANT] = code, 8.0
    output = np.zeros_like(embedding)
    output[:, CODE] = code
    tensors = {"token_embd": embedding, "output": output, "output_norm": np.ones(DIM, np.float32)}
    for layer in range(2):
        tensors |= {f"blk.{layer}.{name}": values for name, values in _layer(layer).items()}
    return tensors


def _layer(layer: int) -> dict[str, Array]:
    zeros = {
        "attn_q": (2 * HEAD, DIM), "attn_k": (2 * HEAD, DIM), "attn_v": (2 * HEAD, DIM),
        "attn_output": (DIM, 2 * HEAD), "ffn_gate": (32, DIM), "ffn_up": (32, DIM),
        "ffn_down": (DIM, 32),
    }  # fmt: skip
    t: dict[str, Array] = {name: np.zeros(shape, np.float32) for name, shape in zeros.items()}
    t["attn_norm"] = t["ffn_norm"] = np.ones(DIM, np.float32)
    first, second = slice(0, HEAD), slice(HEAD, 2 * HEAD)
    if layer == 0:
        _look_back(t["attn_q"][first], t["attn_k"][first])
        t["attn_v"][first, CODE] = np.eye(64)
        t["attn_output"][PREVIOUS, first] = np.eye(64)
        _match(t["attn_q"][second], t["attn_k"][second], CODE)
    else:
        _match(t["attn_q"][second], t["attn_k"][second], PREVIOUS)
        t["attn_v"][second, CODE] = np.eye(64)
        t["attn_output"][CODE, second] = 4 * np.eye(64)
    return t


def _look_back(q: Array, k: Array) -> None:
    """Every pair of the key is turned by one position more than the query's: their product is
    largest for the position before."""
    angle = 10000.0 ** (-2.0 * np.arange(HEAD // 2) / HEAD)
    q[0::2, CONSTANT] = 1.2
    k[0::2, CONSTANT], k[1::2, CONSTANT] = 1.2 * np.cos(angle), 1.2 * np.sin(angle)


def _match(q: Array, k: Array, where: slice) -> None:
    """Half of the current token's code against the same half of what stands elsewhere."""
    q[SLOW, 0:32] = 2.5 * np.eye(32)
    k[SLOW, where.start : where.start + 32] = 2.5 * np.eye(32)
