"""The llama network in PyTorch, small enough to be read in one sitting.

Attributes have GGUF's names, so a parameter's name is the name of its tensor in the file. This file
knows how a network computes; it does not know how it starts, how it is trained, or what a token
means.

Sources: Touvron et al. 2023 (LLaMA), https://arxiv.org/abs/2302.13971; RMSNorm, Zhang & Sennrich
2019; RoPE, Su et al. 2021; SwiGLU, Shazeer 2020; grouped queries, Ainslie et al. 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .recipe import Recipe

NO_TARGET = -100
"""A place where nothing is predicted; PyTorch's own number for it."""
QUERY_BLOCK = 256
"""Queries that attend at once: no query of a block sees keys behind it, so these are left out."""
WORD = 0xFFFFFFFF


def rotary_tables(r: Recipe) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of position * theta^(-2i/D), each (context, D/2)."""
    d = r.head_dim
    frequency = r.rope_theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.arange(r.context, dtype=torch.float64)[:, None] * frequency
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (2i, 2i+1) of x (B, T, H, D) by its position's angle, as `llama` files do."""
    even, odd = x[..., 0::2], x[..., 1::2]
    c, s = cos[None, :, None, :], sin[None, :, None, :]
    return torch.stack((even * c - odd * s, even * s + odd * c), dim=-1).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """Softmax attention of q (B, H, T, D) to k and v (B, G, T, D), H/G query heads to one of them.

    `visible` (B, 1, T, T) says which key a query may see. Written out, because PyTorch's fused
    attention for CPUs has a slow backward pass.
    """
    B, H, T, D = q.shape
    G = k.shape[1]
    q = q * D**-0.5
    blocks = []
    for start in range(0, T, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, T)
        n = stop - start
        keys = k[:, :, :stop].reshape(B * G, stop, D)
        values = v[:, :, :stop].reshape(B * G, stop, D)
        # The query heads of one group lie behind each other, as if they were more queries.
        queries = q[:, :, start:stop].reshape(B * G, H // G * n, D)
        scores = (queries @ keys.transpose(1, 2)).view(B, H, n, stop).float()
        scores = scores.masked_fill(~visible[:, :, start:stop, :stop], float("-inf"))
        weights = scores.softmax(-1).to(v.dtype).view(B * G, H // G * n, stop)
        blocks.append((weights @ values).view(B, H, n, D))
    return torch.cat(blocks, 2)


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Dropout(nn.Module):
    """Leaves out the places that our kernels leave out (`tk_drop_rows`): an element's fate depends
    on a key and on its place, so it is the same in however many processes."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        single = torch.tensor(rate, dtype=torch.float32)
        self.limit = int(single * (1 << 24))
        self.grow = float(1 / (1 - single))

    def forward(self, x: Tensor, key: Tensor | None) -> Tensor:
        """`key` has the two halves of 64 bits; without one, nothing is left out."""
        if key is None:
            return x
        # MurmurHash3's mixing of 32 bits (Appleby 2011), twice keyed. Its constants are written
        # less 2^32, so that no product leaves 64 bits.
        h = (torch.arange(x.numel(), device=x.device) * -0x61C8864F + key[0]) & WORD
        h = ((h ^ h >> 16) * -0x7A143595) & WORD
        h = ((h ^ h >> 13) * -0x3D4D51CB) & WORD
        h = (((h ^ h >> 16) ^ key[1]) * -0x7A143595) & WORD
        h = ((h ^ h >> 13) * -0x3D4D51CB) & WORD
        kept = (h ^ h >> 16) >> 8 >= self.limit
        return x * self.grow * kept.view(x.shape)


class Block(nn.Module):
    """One layer: attention, then a gated feed-forward, each added to what came in."""

    def __init__(self, r: Recipe) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = r.n_heads, r.n_kv_heads, r.head_dim
        kv = r.n_kv_heads * r.head_dim
        self.attn_norm = RMSNorm(r.dim, r.norm_eps)
        self.attn_q = nn.Linear(r.dim, r.dim, bias=False)
        self.attn_k = nn.Linear(r.dim, kv, bias=False)
        self.attn_v = nn.Linear(r.dim, kv, bias=False)
        self.attn_output = nn.Linear(r.dim, r.dim, bias=False)
        self.ffn_norm = RMSNorm(r.dim, r.norm_eps)
        self.ffn_gate = nn.Linear(r.dim, r.hidden, bias=False)
        self.ffn_up = nn.Linear(r.dim, r.hidden, bias=False)
        self.ffn_down = nn.Linear(r.hidden, r.dim, bias=False)
        self.dropout = Dropout(r.dropout)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, visible: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        B, T, dim = x.shape
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(B, T, self.n_heads, self.head_dim), cos, sin)
        k = rotate(self.attn_k(h).view(B, T, self.n_kv_heads, self.head_dim), cos, sin)
        v = self.attn_v(h).view(B, T, self.n_kv_heads, self.head_dim).transpose(1, 2)
        q, k = q.to(v.dtype).transpose(1, 2), k.to(v.dtype).transpose(1, 2)
        y = attend(q, k, v, visible).transpose(1, 2).reshape(B, T, dim)
        keys = (None, None) if noise is None else (noise[0], noise[1])
        x = x + self.dropout(self.attn_output(y), keys[0])
        h = self.ffn_norm(x)
        h = self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))
        out: Tensor = x + self.dropout(h, keys[1])
        return out


class Llama(nn.Module):
    """The whole network; the token embedding is the output matrix as well. Its parameters, in
    order, are `network.tensors`."""

    cos: Tensor
    sin: Tensor

    def __init__(self, r: Recipe) -> None:
        super().__init__()
        self.token_embd = nn.Embedding(r.vocab_size, r.dim)
        self.blk = nn.ModuleList(Block(r) for _ in range(r.n_layers))
        self.output_norm = RMSNorm(r.dim, r.norm_eps)
        for name, table in zip(("cos", "sin"), rotary_tables(r), strict=True):
            self.register_buffer(name, table, persistent=False)

    def logits(self, inputs: Tensor, documents: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return (B, T, vocab) for inputs and documents (B, T): a place sees its own story only.

        Positions count from the row's beginning, not the story's: RoPE knows only differences.
        `noise` (n_layers, 2, 2) has the keys of the layers' dropouts.
        """
        T = inputs.shape[1]
        visible = (documents[:, None, :, None] == documents[:, None, None, :]).tril()
        x = self.token_embd(inputs)
        for layer, block in enumerate(self.blk):
            key = None if noise is None else noise[layer]
            x = block(x, self.cos[:T], self.sin[:T], visible, key)
        return F.linear(self.output_norm(x), self.token_embd.weight).float()

    def forward(
        self, inputs: Tensor, targets: Tensor, documents: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Return the sum, not the mean, of the targets' negative log-likelihoods, in nats."""
        logits = self.logits(inputs, documents, noise).flatten(0, 1)
        return F.cross_entropy(logits, targets.flatten(), ignore_index=NO_TARGET, reduction="sum")
