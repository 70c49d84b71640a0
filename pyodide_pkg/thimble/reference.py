"""The same model in NumPy, to be read: what the kernels compute, without what makes them fast.

All positions go through each layer at once, in float64, under a causal mask; there is no cache.
The tests hold the kernels against this file, and this file against llama.cpp. It knows nothing of
text: ids in, logits out.

    model = ReferenceModel("stories260K.gguf")
    logits = model.logits([1, 403, 407])        # [3, n_vocab]; the last row predicts the 4th token
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .architectures import GELU_ERF, GELU_TANH
from .dequantize import dequantize
from .errors import OptionError
from .gguf import read_header
from .model_config import config_from_header, parts_of

Array: TypeAlias = NDArray[np.float64]

BLOCK = 32
"""Activations that share a scale."""


class ReferenceModel:
    """A model in float64, from a path or from the bytes of a GGUF file.

    `activations` is "float" for exact ones, or "q8_0" to round the input of each product with a
    quantized matrix to 8 bits as the kernels do. The rest stays in float64, so that what is
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
            if activations == "q8_0" and t.type.block > 1:
                self._rounded.add(t.name)
            self._split(t.name)

    def _split(self, name: str) -> None:
        """Give the parts of a tensor that is several, one below the other, their own names."""
        parts = parts_of(self.config, name)
        if parts is None:
            return
        whole, rounded = self.weights.pop(name), name in self._rounded
        self._rounded.discard(name)
        ends = np.cumsum([rows for _, rows in parts])[:-1]
        for (part, _), values in zip(parts, np.split(whole, ends), strict=True):
            self.weights[part] = values
            if rounded:
                self._rounded.add(part)

    def logits(self, ids: Sequence[int]) -> Array:
        """Return the logits behind each of `ids`, [len(ids), n_vocab]."""
        outside = [i for i in ids if not 0 <= i < self.config.n_vocab]
        if outside or not len(ids):
            raise OptionError(f"ids are {ids!r:.100}; 0 to {self.config.n_vocab - 1} are right")
        x = self.embed(ids)  # [n, dim], the residual stream
        for layer in range(self.config.n_layers):
            block = f"blk.{layer}."
            attended = self.attention(layer, self.norm(x, block + "attn_norm"))
            attended = self.norm(attended, block + "post_attention_norm")
            y = x if self.config.features.parallel else x + attended
            fed = self.feed_forward(block, self.norm(y, block + "ffn_norm"))
            x = x + attended + self.norm(fed, block + "post_ffw_norm")
        x = self.norm(x, "output_norm")
        output = "token_embd.weight" if self.config.tied_output else "output.weight"
        return soft_cap(self.matmul(x, output), self.config.features.final_logit_softcapping)

    def embed(self, ids: Sequence[int]) -> Array:
        """What goes into the first block: [len(ids), dim]."""
        x = self.weights["token_embd.weight"][list(ids)]
        if self.config.features.embed_scale:
            x = x * self.config.features.embed_scale
        if "position_embd.weight" in self.weights:
            x = x + self.weights["position_embd.weight"][: len(ids)]
        return x

    def attention(self, layer: int, x: Array) -> Array:
        """Causal self-attention (Vaswani et al. 2017), in which several heads share keys and
        values (Ainslie et al. 2023). x and the result: [n, dim]."""
        c, n, block = self.config, len(x), f"blk.{layer}."
        f = c.features
        q, k = self.product(x, block + "attn_q"), self.product(x, block + "attn_k")
        v = self.product(x, block + "attn_v").reshape(n, c.n_kv_heads, c.head_dim)
        q = self.head_norm(q, block + "attn_q_norm").reshape(n, c.n_heads, c.head_dim)
        k = self.head_norm(k, block + "attn_k_norm").reshape(n, c.n_kv_heads, c.head_dim)
        local = f.windowed(layer)
        if f.uses_rope(layer):
            q, k = self.rope(q, local=local), self.rope(k, local=local)
        k = np.repeat(k, c.n_heads // c.n_kv_heads, axis=1)  # head h reads key head h // group
        v = np.repeat(v, c.n_heads // c.n_kv_heads, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) * (f.score_scale or c.head_dim**-0.5)
        scores = soft_cap(scores, f.attn_logit_softcapping)
        unseen = np.triu(np.ones((n, n), dtype=bool), k=1)
        if local:
            unseen |= np.tril(np.ones((n, n), dtype=bool), k=-f.window)
        weights = softmax(np.where(unseen, -np.inf, scores))  # [n_heads, n, n]
        mixed = np.einsum("hqk,khd->qhd", weights, v).reshape(n, c.n_heads * c.head_dim)
        return self.product(mixed, block + "attn_output")

    def rope(self, x: Array, *, local: bool = False) -> Array:
        """Rotary position embedding (Su et al. 2021): pair i of each head turns by the position
        times base^(-2i/rope_dim). x: [n, heads, head_dim]; `local` in layers with a window."""
        c, half = self.config, self.config.rope_dim // 2
        if not half:
            return x
        base, scale = c.rope_base, c.rope_scale_linear
        if local and c.features.rope_base_local:
            base, scale = c.features.rope_base_local, 1.0
        frequency = base ** (-2.0 * np.arange(half) / c.rope_dim)
        for name in ("rope_freqs.weight", "rope_factors_short.weight"):
            if name in self.weights:
                frequency = frequency / self.weights[name]
        if c.features.rope_divisors:
            frequency = frequency / np.array(c.features.rope_divisors)
        angle = np.arange(len(x))[:, None] / scale * frequency  # [n, half]
        cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
        cos, sin = cos * c.features.attention_factor, sin * c.features.attention_factor
        if c.rope_interleaved:
            first, second = slice(0, c.rope_dim, 2), slice(1, c.rope_dim, 2)
        else:
            first, second = slice(0, half), slice(half, c.rope_dim)
        a, b = x[..., first], x[..., second]
        rotated = x.copy()
        rotated[..., first] = a * cos - b * sin
        rotated[..., second] = a * sin + b * cos
        return rotated

    def feed_forward(self, block: str, x: Array) -> Array:
        """SwiGLU (Shazeer 2020), or the architecture's own. x and the result: [n, dim]."""
        up = self.product(x, block + "ffn_up")
        if block + "ffn_gate.weight" in self.weights:
            up = self.activate(self.matmul(x, block + "ffn_gate.weight")) * up
        else:
            up = self.activate(up)
        return self.product(up, block + "ffn_down")

    def activate(self, x: Array) -> Array:
        """SiLU, or GELU (Hendrycks & Gimpel 2016) in one of its two forms."""
        activation = self.config.features.activation
        if activation == GELU_ERF:
            return np.asarray(0.5 * x * (1.0 + _erf(x / np.sqrt(2.0))))
        if activation == GELU_TANH:
            u = np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)
            return np.asarray(0.5 * x * (1.0 + np.tanh(u)))
        with np.errstate(over="ignore"):  # exp(-x) may become infinite; the quotient is 0 then
            return np.asarray(x / (1 + np.exp(-x)))

    def norm(self, x: Array, name: str) -> Array:
        """The norm called `name`, or x where the architecture has none there."""
        if name + ".weight" not in self.weights:
            return x
        if not self.config.features.layer_norm:
            return self.rms_norm(x, name + ".weight")
        x = x - x.mean(axis=-1, keepdims=True)
        x = self.rms_norm(x, name + ".weight")  # of what has no mean: LayerNorm (Ba et al. 2016)
        return x + self.weights[name + ".bias"] if name + ".bias" in self.weights else x

    def head_norm(self, x: Array, name: str) -> Array:
        """RMSNorm of queries or keys, as wide as its weights: a head, or all heads."""
        if name + ".weight" not in self.weights:
            return x
        width = self.weights[name + ".weight"].size
        return self.rms_norm(x.reshape(len(x), -1, width), name + ".weight").reshape(x.shape)

    def rms_norm(self, x: Array, weight: str) -> Array:
        """x over its root mean square (Zhang & Sennrich 2019)."""
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        return np.asarray(x / np.sqrt(mean_square + self.config.norm_eps) * self.weights[weight])

    def product(self, x: Array, name: str) -> Array:
        """x times a matrix, and its bias where it has one."""
        y = self.matmul(x, name + ".weight")
        return y + self.weights[name + ".bias"] if name + ".bias" in self.weights else y

    def matmul(self, x: Array, weight: str) -> Array:
        """x [n, columns] times a matrix [rows, columns]: [n, rows]."""
        if weight in self._rounded:
            x = round_activations(x)
        return x @ self.weights[weight].T


def softmax(scores: Array) -> Array:
    """exp(scores) over their sum, along the last axis."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def soft_cap(x: Array, cap: float) -> Array:
    """x, pressed into -cap to cap (Gemma Team 2024); x itself where cap is 0."""
    return np.asarray(cap * np.tanh(x / cap)) if cap else x


_erf = np.vectorize(math.erf, otypes=[np.float64])


def round_activations(x: Array) -> Array:
    """Round x [n, columns] to what 8 bits hold, block by block of 32 columns: to multiples of
    d = max|x| / 127, halves to even. In float32 and by the reciprocal of d, as in the kernels."""
    blocks = x.astype(np.float32).reshape(len(x), -1, BLOCK)
    d = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)
    q = np.rint(blocks * inverse)
    return np.asarray(d.astype(np.float64) * q).reshape(x.shape)
