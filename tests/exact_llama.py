"""A llama in float64 that shares no arithmetic with ours: the PyPI package `gguf` dequantizes,
NumPy computes. Of ours is only the header, which says where the bytes are.

    logits = exact_logits(path, ids)        # [len(ids), n_vocab]
    close = compare(exact, found)           # how two sets of logits agree
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, dequantize
from numpy.typing import NDArray

from thimble.gguf import read_file_header

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How logits agree with exact ones, over positions."""

    top_1: float
    """Share of positions whose likeliest token is the same."""
    largest: float
    """Difference of a logit."""
    mean_kl: float
    """Mean divergence of the distribution from the exact one, nats."""


def compare(exact: Array, found: Array) -> Agreement:
    p, q = log_softmax(exact), log_softmax(found)
    return Agreement(
        top_1=float((exact.argmax(-1) == found.argmax(-1)).mean()),
        largest=float(np.abs(exact - found).max()),
        mean_kl=float((np.exp(p) * (p - q)).sum(-1).mean()),
    )


def log_softmax(logits: Array) -> Array:
    x = logits - logits.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def exact_logits(path: Path, ids: list[int]) -> Array:
    """Logits behind each of `ids`, of the weights as they are dequantized; a layer's weights are
    held at a time."""
    header = read_file_header(path)
    numbers = header.metadata
    tensors = {t.name: t for t in header.tensors}
    data = np.memmap(path, np.uint8, "r")

    def weight(name: str) -> Array:
        t = tensors[f"{name}.weight"]
        raw, kind = data[t.offset : t.offset + t.nbytes], GGMLQuantizationType(t.type.ggml_id)
        return dequantize(raw, kind).reshape(t.shape).astype(np.float64)

    heads = numbers["llama.attention.head_count"]
    shared = numbers["llama.attention.head_count_kv"]
    epsilon = numbers["llama.attention.layer_norm_rms_epsilon"]
    base = numbers["llama.rope.freq_base"]

    def norm(x: Array, name: str) -> Array:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight(name)

    embeddings = weight("token_embd")
    x = embeddings[ids]
    n, width = len(ids), x.shape[1] // heads
    angle = np.arange(n)[:, None] * base ** (-2.0 * np.arange(width // 2) / width)
    turn = np.exp(1j * angle)[:, None]

    def rope(x: Array) -> Array:
        """Pairs of neighbours as complex numbers, which turn."""
        pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
        return np.stack([pairs.real, pairs.imag], -1).reshape(x.shape)

    for layer in range(numbers["llama.block_count"]):
        b = f"blk.{layer}."
        h = norm(x, b + "attn_norm")
        q = rope((h @ weight(b + "attn_q").T).reshape(n, heads, width))
        k = rope((h @ weight(b + "attn_k").T).reshape(n, shared, width))
        v = (h @ weight(b + "attn_v").T).reshape(n, shared, width)
        mixed = np.empty_like(q)
        for head in range(heads):
            own = head * shared // heads
            scores = q[:, head] @ k[:, own].T / np.sqrt(width)
            scores[np.triu_indices(n, 1)] = -np.inf
            e = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, head] = e / e.sum(-1, keepdims=True) @ v[:, own]
        x = x + mixed.reshape(n, -1) @ weight(b + "attn_output").T
        h = norm(x, b + "ffn_norm")
        gate = h @ weight(b + "ffn_gate").T
        x = (
            x
            + (gate / (1 + np.exp(-gate)) * (h @ weight(b + "ffn_up").T)) @ weight(b + "ffn_down").T
        )
    output = weight("output") if "output.weight" in tensors else embeddings
    return norm(x, "output_norm") @ output.T
