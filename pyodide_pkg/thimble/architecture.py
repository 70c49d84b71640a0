"""What sets one architecture apart from another: the fields of an entry in `architectures.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Shapes = Mapping[str, tuple[str, ...]]
"""Tensors and their shapes, as names of widths, rows first: `vocab`, `dim`, `hidden`, `q` (all
query heads together), `kv` (all key heads together), `qkv` (q and twice kv), `gates` (twice
hidden), `head` (one head), `pairs` (half of a head's rotated values), `context` (positions),
`taps` (positions that a short convolution reads), `gated_taps` (three times dim), `experts` (how
many there are of a feed-forward block's matrices), `projected` (what a first dense layer makes of
an encoder's vector), `types` (of a text's parts), `shared` (inside the expert that all tokens use),
and of a scan `inner` (its values), `value` (one head's), `scan_heads`, `conv` (its values and twice
its keys, which go through a convolution), `zxbcdt` (inner, conv and scan_heads); `gated_q` (twice
q)."""

SILU, GELU_TANH, GELU_ERF, SIGMOID = range(4)
"""What stands between the products of a feed-forward block, and what attention's gate is (the enum
in `thimble.h`)."""


CONVOLUTIONS = ("shortconv.conv.weight", "ssm_conv1d.weight")
"""Matrices that are in no product and must be F32, by the ends of their names."""
VECTORS = ("ssm_a", "ssm_d", "ssm_norm.weight")
"""What files have as matrices of one row or one column."""
EXACT = (*CONVOLUTIONS, *VECTORS, "ffn_gate_inp.weight")
"""Those that stay F32 in a conversion."""


GATED: Shapes = {
    "ffn_gate.weight": ("hidden", "dim"),
    "ffn_up.weight": ("hidden", "dim"),
    "ffn_down.weight": ("dim", "hidden"),
}
EXPERTS: Shapes = {
    "ffn_gate_inp.weight": ("experts", "dim"),
    "ffn_gate_exps.weight": ("experts", "hidden", "dim"),
    "ffn_up_exps.weight": ("experts", "hidden", "dim"),
    "ffn_down_exps.weight": ("experts", "dim", "hidden"),
}
SHARED: Shapes = {
    "ffn_gate_shexp.weight": ("shared", "dim"),
    "ffn_up_shexp.weight": ("shared", "dim"),
    "ffn_down_shexp.weight": ("dim", "shared"),
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture."""

    name: str
    """What `general.architecture` says."""
    layer_tensors: Shapes
    """Tensors that each layer has, behind `blk.0.`, `blk.1.` and so on."""
    tensors: Shapes = field(
        default_factory=lambda: {
            "token_embd.weight": ("vocab", "dim"),
            "output_norm.weight": ("dim",),
        }
    )
    """Tensors that there are once."""
    optional: Shapes = field(default_factory=lambda: {"output.weight": ("vocab", "dim")})
    """Tensors that may be missing. Without `output.weight` the token embedding takes its place."""
    layer_optional: Shapes = field(default_factory=dict)
    """Tensors that all layers may have, or none."""
    headless_tensors: Shapes = field(default_factory=dict)
    """Those of layers that `attention.head_count_kv` says have no heads, if there may be such."""
    fused: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tensors that are several, one below the other: what their rows become, in order, and how many
    each takes."""
    refused: Mapping[str, tuple[Any, ...]] = field(
        default_factory=lambda: {"expert_count": (0,), "attention.causal": (True,)}
    )
    """Keys, behind the architecture's name and a dot, with the only values that run here."""

    rope: bool = True
    """Whether positions rotate queries and keys; otherwise `position_embd.weight` tells them."""
    rope_interleaved: bool = False
    """Whether RoPE rotates the values 2i and 2i+1 of a head; otherwise i and i + rope_dim/2."""
    rope_whole_head: bool = False
    """Whether RoPE must rotate all of a head's values."""
    no_rope_layer_interval: int = 0
    """One layer of so many, the last of them, has no RoPE; 0 for none."""
    rope_base_local: float = 0.0
    """RoPE's base in layers with a window, where it is another one; without scaling."""
    layer_norm: bool = False
    """LayerNorm (the mean is taken off, and there may be a bias); otherwise RMSNorm."""
    activation: int = SILU
    activations: Mapping[str, int] = field(default_factory=dict)
    """Others, by what the key `hidden_activation` may say, which is ours: llama.cpp has none."""
    parallel: bool = False
    """Whether the feed-forward block stands beside attention, not behind it; without a norm of its
    own it shares attention's."""
    parallel_key: bool = False
    """Whether the key `use_parallel_residual` may say otherwise."""
    norm_after_rope: bool = False
    """Whether norms of queries and keys come behind RoPE, not before it."""
    plain_head_norms: bool = False
    """Whether those norms have no weights, and are in layers with RoPE only."""
    chunk: int = 0
    """If the key `attention.sliding_window` is not 0: layers with RoPE see so many positions from a
    multiple of it on, texts here are no longer, and layers without RoPE temper queries; otherwise
    all have RoPE."""
    scales: Mapping[str, bool] = field(default_factory=dict)
    """Keys of what embeddings, scores and a block's result are multiplied by, and logits divided,
    and whether a file must have them."""
    scaled_embedding: bool = False
    """Whether embeddings are multiplied by the square root of their width."""
    attn_logit_softcapping: float = 0.0
    """Where the file has no key: scores become cap · tanh(score / cap); 0 for not at all."""
    final_logit_softcapping: float = 0.0
    """The same for logits."""
    causal: bool = True
    """Whether a position sees none that come later; otherwise it is an encoder, which sees all, or
    with a window half of it to each side, and leaves a vector and no logits."""
    scans: bool = False
    """Whether layers have a scan (Mamba-2): those without attention, those that have it too, or all
    of them, without a feed-forward block."""
    delta: bool = False
    """Whether a scan follows the gated delta rule (Gated DeltaNet), whose keys have heads of their
    own, as many as the key `ssm.group_count` says."""
    attention_interval: int = 0
    """One layer of so many, the last of them, has attention, if the key `full_attention_interval`
    does not say otherwise; 0: `attention.head_count_kv` says which do."""
    gated_attention: bool = False
    """Whether each head's queries are followed by a gate of what it attends to."""
    nextn: bool = False
    """Whether there may be layers behind the last that predict further tokens; they are ignored."""
    rope_switch: bool = False
    """Whether the key `rope.scaling.finetuned` may say that nothing rotates."""
    experts: bool = False
    """Whether feed-forward blocks are several experts', of which a router chooses some."""
    experts_switch: bool = False
    """Whether they are if the key `expert_count` says so; `EXPERTS` then take `GATED`'s place."""
    experts_shared: bool = False
    """Whether there may be one more expert, `SHARED`, that all tokens use."""
    experts_normed: bool = False
    """Whether the shares of the chosen ones are divided by their sum."""
    taps_key: str = ""
    """The key that says how many positions a short convolution reads, if layers have one."""
    first_lacks: tuple[str, ...] = ()
    """Tensors that the first layer has not."""
    windows: bool = False
    """Whether layers may see some positions only, as `attention.sliding_window` says."""
    sliding_window_pattern: int = 0
    """One layer of so many, the last of them, sees all positions; 0: all layers have the window."""
    full_first: bool = False
    """Whether it is the first of them."""
    scale_by_width: int = 0
    """A model of so many layers divides scores by the square root of dim / n_heads, and not of a
    head's width: what llama.cpp knows of Gemma's largest ones without a key."""

    @property
    def only_scans(self) -> bool:
        """Whether a scan is all that a layer has."""
        return self.scans and "attn_q.weight" not in self.layer_tensors
