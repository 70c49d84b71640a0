"""In what a model differs from llama, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Features:
    """In what a model differs from llama, for which all of this is as it stands here.

    `architectures.py` says what each is.
    """

    layer_norm: bool = False
    activation: int = 0
    parallel: bool = False
    window: int = 0
    """Positions that layers see, the query's included; 0 for all."""
    sliding_window_pattern: int = 0
    full_first: bool = False
    embed_scale: float = 0.0
    score_scale: float = 0.0
    """Scores are multiplied by it; 0 for one over the square root of a head's width."""
    attn_logit_softcapping: float = 0.0
    final_logit_softcapping: float = 0.0
    attention_factor: float = 1.0
    """Rotated values are multiplied by it."""
    rope_divisors: tuple[float, ...] = ()
    """RoPE's frequencies are divided by these, one a pair; none where YaRN is not asked for."""
    no_rope_layer_interval: int = 0
    """One layer of so many, the last of them, has no RoPE; 0 for none."""
    rope_base_local: float = 0.0
    headless: tuple[bool, ...] = ()
    """Of each layer whether it has no attention; none where all have it."""
    taps: int = 0
    """Positions that a short convolution reads, its own included."""
    scan_state: int = 0
    """Numbers that a scan keeps for each of its values; 0 where no layer has one."""
    scan_heads: int = 0
    scan_width: int = 0
    """Values of each of a scan's heads."""
    scan_groups: int = 1
    """Heads of a scan's keys, which heads of its values share."""
    gated_attention: bool = False
    causal: bool = True
    pool_first: bool = False
    """Whether an encoder's vector is its first position's row, and not the mean of all."""
    token_types: int = 0
    """Rows of `token_types.weight`, of which all tokens have the first."""
    projected: int = 0
    """Width of an encoder's first dense layer; 0 without any."""
    experts: int = 0
    """Of each feed-forward block; 0 where it is one network."""
    experts_used: int = 0
    """That a token's router chooses."""
    shared: int = 0
    """Width inside the expert that all tokens use; 0 where there is none."""
    experts_normed: bool = False
    """Whether the shares of those are divided by their sum."""
    residual_scale: float = 0.0
    """What a block adds is multiplied by it; 0 for not at all."""
    logit_scale: float = 0.0
    """Logits are divided by it; 0 for not at all."""
    norm_after_rope: bool = False
    plain_head_norms: bool = False
    temper_scale: float = 0.0
    """How much queries without RoPE grow, each `temper_length` positions; 0 for not at all."""
    temper_length: int = 0
    layer_optional: tuple[str, ...] = ()
    """Those tensors of `Architecture.layer_optional` that layers have."""
    rope_short: bool = False
    """Whether `rope_factors_short.weight` divides RoPE's frequencies. Those for longer texts are
    left alone, and texts kept as short as the others allow."""

    def windowed(self, layer: int) -> bool:
        """Whether a layer sees the nearest positions only."""
        last = self.sliding_window_pattern and layer % self.sliding_window_pattern == (
            0 if self.full_first else self.sliding_window_pattern - 1
        )
        return bool(self.window and not last)

    def attends(self, layer: int) -> bool:
        """Whether a layer has attention."""
        return not self.headless or not self.headless[layer]

    def uses_rope(self, layer: int) -> bool:
        """Whether RoPE rotates the queries and keys of a layer."""
        every = self.no_rope_layer_interval
        return not every or layer % every != every - 1
