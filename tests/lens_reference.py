"""The reference model with everything kept that arises on its way, under the lens's names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thimble.reference import Array, ReferenceModel, softmax


class CapturingReference(ReferenceModel):
    """Written out again from the papers, so that it shares no step with the kernel's stages."""

    def capture(self, ids: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        kept: dict[str, Array] = {}
        x = kept["hook_embed"] = self.weights["token_embd.weight"][list(ids)]
        for layer in range(self.config.n_layers):
            x = self._layer(f"blk.{layer}.", f"blocks.{layer}.", x, kept)
        normed = self._norm("ln_final", x, "output_norm.weight", kept)
        output = "token_embd.weight" if self.config.tied_output else "output.weight"
        kept["logits"] = self.matmul(normed, output)
        return kept

    def _norm(self, name: str, x: Array, weight: str, kept: dict[str, Array]) -> Array:
        scale = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.config.norm_eps)
        kept[f"{name}.hook_scale"], kept[f"{name}.hook_normalized"] = scale, x / scale
        return np.asarray(x / scale * self.weights[weight])

    def _layer(self, block: str, to: str, x: Array, kept: dict[str, Array]) -> Array:
        c, n = self.config, len(x)
        kept[to + "hook_resid_pre"] = x
        h = self._norm(to + "ln1", x, block + "attn_norm.weight", kept)
        heads = {"q": c.n_heads, "k": c.n_kv_heads, "v": c.n_kv_heads}
        q, k, v = (
            (
                self.matmul(h, f"{block}attn_{kind}.weight")
                + self.weights.get(f"{block}attn_{kind}.bias", 0)  # Qwen 2
            ).reshape(n, count, c.head_dim)
            for kind, count in heads.items()
        )
        at = to + "attn."
        kept |= {at + "hook_q": q, at + "hook_k": k, at + "hook_v": v}
        if f"{block}attn_q_norm.weight" in self.weights:  # Qwen 3
            q, k = (
                one / np.sqrt(np.mean(one * one, axis=-1, keepdims=True) + c.norm_eps)
                * self.weights[f"{block}attn_{kind}_norm.weight"]
                for kind, one in (("q", q), ("k", k))
            )  # fmt: skip
        q, k = self._rotated(q), self._rotated(k)
        kept |= {at + "hook_rot_q": q, at + "hook_rot_k": k}
        group = c.n_heads // c.n_kv_heads
        scores = np.full((c.n_heads, n, n), -np.inf)
        z = np.zeros((n, c.n_heads, c.head_dim))
        for head in range(c.n_heads):
            for i in range(n):
                scores[head, i, : i + 1] = k[: i + 1, head // group] @ q[i, head]
        scores /= np.sqrt(c.head_dim)
        pattern = softmax(scores)
        for head in range(c.n_heads):
            z[:, head] = pattern[head] @ v[:, head // group]
        output = self.weights[block + "attn_output.weight"].reshape(c.dim, c.n_heads, c.head_dim)
        mixed = self.rounded(z.reshape(n, -1), block + "attn_output.weight")
        result = np.einsum("nhd,mhd->nhm", mixed.reshape(z.shape), output)
        kept |= {at + "hook_attn_scores": scores, at + "hook_pattern": pattern, at + "hook_z": z}
        kept |= {at + "hook_result": result, to + "hook_attn_out": result.sum(axis=1)}
        x = kept[to + "hook_resid_mid"] = x + result.sum(axis=1)
        h = self._norm(to + "ln2", x, block + "ffn_norm.weight", kept)
        gate, up = (self.matmul(h, f"{block}ffn_{kind}.weight") for kind in ("gate", "up"))
        post = gate / (1 + np.exp(-gate)) * up
        out = self.matmul(post, block + "ffn_down.weight")
        kept |= {to + "mlp.hook_pre": gate, to + "mlp.hook_pre_linear": up}
        kept |= {to + "mlp.hook_post": post, to + "hook_mlp_out": out}
        x = kept[to + "hook_resid_post"] = x + out
        return np.asarray(x)

    def _rotated(self, x: Array) -> Array:
        """x [n, heads, head_dim] as complex numbers, each turned by its angle."""
        c = self.config
        base = c.rope_base ** (-np.arange(0, c.rope_dim, 2) / c.rope_dim)
        angle = np.arange(len(x))[:, None, None] / c.rope_scale_linear * base
        angle = angle / self.weights.get("rope_freqs.weight", 1.0)
        half = c.rope_dim // 2
        parts = (
            (x[..., 0::2], x[..., 1::2]) if c.rope_interleaved else (x[..., :half], x[..., half:])
        )
        turned = (parts[0] + 1j * parts[1]) * np.exp(1j * angle)
        if c.rope_interleaved:
            return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)
        return np.concatenate([turned.real, turned.imag], axis=-1)
