"""The same model in NumPy, to be read: what the kernels compute, without what makes them fast.

All positions go through each layer at once, in float64, under a causal mask; there is no cache.
The tests hold the kernels against this file, and this file against llama.cpp. It knows nothing of
text: ids in, logits out.

    model = ReferenceModel("stories260K.gguf")
    logits = model.logits([1, 403, 407])        # [3, n_vocab]; the last row predicts the 4th token
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .dequantize import dequantize
from .errors import OptionError
from .families import config_from_header
from .gguf import read_header
from .tensor_types import Q4_0, Q8_0

Array: TypeAlias = NDArray[np.float64]

BLOCK = 32
"""Activations that share a scale."""


class ReferenceModel:
    """A model in float64, from a path or from the bytes of a GGUF file.

    `activations` is "float" for exact ones, or "q8_0" to round the input of each product with a
    Q8_0 or Q4_0 matrix to 8 bits as the kernels do. The rest stays in float64, so that what is
    left between the two is the kernels' float32 arithmetic, and now and then an activation that
    falls to the other side of a half.
    """

    def __init__(
        self, source: str | os.PathLike[str] | bytes, *, activations: str = "float"
    ) -> None:
        if activations not in ("float", "q8_0"):
            raise OptionError(f"activations={activations!r}; 'float' or 'q8_0' is right")
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        header = read_header(data, file_size=len(data))
        self.config = config_from_header(header)
        self.weights: dict[str, Array] = {}
        self._rounded: set[str] = set()
        for t in header.tensors:
            raw = memoryview(data)[t.offset : t.offset + t.nbytes]
            self.weights[t.name] = dequantize(raw, t.type, t.shape).astype(np.float64)
            if activations == "q8_0" and t.type in (Q8_0, Q4_0):
                self._rounded.add(t.name)

    def logits(self, ids: Sequence[int]) -> Array:
        """Return the logits behind each of `ids`, [len(ids), n_vocab]."""
        outside = [i for i in ids if not 0 <= i < self.config.n_vocab]
        if outside or not len(ids):
            raise OptionError(f"ids are {ids!r:.100}; 0 to {self.config.n_vocab - 1} are right")
        x = self.weights["token_embd.weight"][list(ids)]  # [n, dim], the residual stream
        for layer in range(self.config.n_layers):
            block = f"blk.{layer}."
            x = x + self.attention(block, self.rms_norm(x, block + "attn_norm.weight"))
            x = x + self.feed_forward(block, self.rms_norm(x, block + "ffn_norm.weight"))
        x = self.rms_norm(x, "output_norm.weight")
        output = "token_embd.weight" if self.config.tied_output else "output.weight"
        return self.matmul(x, output)

    def attention(self, block: str, x: Array) -> Array:
        """Causal self-attention (Vaswani et al. 2017), in which several heads share keys and
        values (Ainslie et al. 2023). x and the result: [n, dim]."""
        c, n = self.config, len(x)
        q = self.matmul(x, block + "attn_q.weight").reshape(n, c.n_heads, c.head_dim)
        k = self.matmul(x, block + "attn_k.weight").reshape(n, c.n_kv_heads, c.head_dim)
        v = self.matmul(x, block + "attn_v.weight").reshape(n, c.n_kv_heads, c.head_dim)
        q, k = self.rope(q), self.rope(k)
        k = np.repeat(k, c.n_heads // c.n_kv_heads, axis=1)  # head h reads key head h // group
        v = np.repeat(v, c.n_heads // c.n_kv_heads, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(c.head_dim)
        future = np.triu(np.ones((n, n), dtype=bool), k=1)
        weights = softmax(np.where(future, -np.inf, scores))  # [n_heads, n, n]
        mixed = np.einsum("hqk,khd->qhd", weights, v).reshape(n, c.n_heads * c.head_dim)
        return self.matmul(mixed, block + "attn_output.weight")

    def rope(self, x: Array) -> Array:
        """Rotary position embedding (Su et al. 2021): pair i of each head turns by the position
        times base^(-2i/rope_dim). x: [n, heads, head_dim]."""
        c, half = self.config, self.config.rope_dim // 2
        frequency = c.rope_base ** (-2.0 * np.arange(half) / c.rope_dim)
        if c.rope_freqs:
            frequency = frequency / self.weights["rope_freqs.weight"]
        angle = np.arange(len(x))[:, None] / c.rope_scale_linear * frequency  # [n, half]
        cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
        if c.rope_interleaved:
            first, second = slice(0, c.rope_dim, 2), slice(1, c.rope_dim, 2)
        else:
            first, second = slice(0, half), slice(half, c.rope_dim)
        a, b = x[..., first], x[..., second]
        turned = x.copy()
        turned[..., first] = a * cos - b * sin
        turned[..., second] = a * sin + b * cos
        return turned

    def feed_forward(self, block: str, x: Array) -> Array:
        """SwiGLU (Shazeer 2020). x and the result: [n, dim]."""
        gate = self.matmul(x, block + "ffn_gate.weight")
        up = self.matmul(x, block + "ffn_up.weight")
        with np.errstate(over="ignore"):  # exp(-gate) may become infinite; the quotient is 0 then
            silu = gate / (1 + np.exp(-gate))
        return self.matmul(silu * up, block + "ffn_down.weight")

    def rms_norm(self, x: Array, weight: str) -> Array:
        """x over its root mean square (Zhang & Sennrich 2019)."""
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        return np.asarray(x / np.sqrt(mean_square + self.config.norm_eps) * self.weights[weight])

    def matmul(self, x: Array, weight: str) -> Array:
        """x [n, columns] times a matrix [rows, columns]: [n, rows]."""
        if weight in self._rounded:
            x = round_activations(x)
        return x @ self.weights[weight].T


def softmax(scores: Array) -> Array:
    """exp(scores) over their sum, along the last axis."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def round_activations(x: Array) -> Array:
    """Round x [n, columns] to what 8 bits hold, block by block of 32 columns: to multiples of
    d = max|x| / 127, halves to even. In float32 and by the reciprocal of d, as in the kernels."""
    blocks = x.astype(np.float32).reshape(len(x), -1, BLOCK)
    d = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)
    q = np.rint(blocks * inverse)
    return np.asarray(d.astype(np.float64) * q).reshape(x.shape)
