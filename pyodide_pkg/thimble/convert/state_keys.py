"""The keys of layers that keep another state than attention's: scans and short convolutions."""

from __future__ import annotations

import math

from ..errors import FormatError
from .settings import Keys, Settings


def scan_keys(s: Settings) -> Keys:
    """A scan's numbers, without any of attention's."""
    s.refuse("n_groups", 1)
    s.refuse("use_bias", False)
    s.refuse("use_conv_bias", True)
    s.refuse("rms_norm", True)
    endless = {"__float__": "Infinity"}  # as transformers writes it
    s.refuse("time_step_limit", [0.0, math.inf], [0.0, endless], None)
    inner, heads = s.whole("expand") * s.dim, s.whole("num_heads")
    if heads * s.whole("head_dim") != inner:
        raise FormatError(
            f"config.json has {heads} heads of {s.whole('head_dim')}; together {inner} are right"
        )
    return {
        "context_length": s.n_ctx,
        "embedding_length": s.dim,
        "block_count": s.n_layers,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": s.number("layer_norm_epsilon", default=1e-5),
        "ssm.conv_kernel": s.whole("conv_kernel"),
        "ssm.inner_size": inner,
        "ssm.state_size": s.whole("state_size"),
        "ssm.time_step_rank": heads,
        "ssm.group_count": 1,
    }


def lfm2_keys(s: Settings) -> Keys:
    """Which layers have attention, and how wide their feed-forward blocks are."""
    s.refuse("conv_bias", False)
    types = s.get("layer_types")
    if types is None:
        attends = s.get("full_attn_idxs", default=list(range(s.n_layers)))
        types = ["full_attention" if i in attends else "conv" for i in range(s.n_layers)]
    known = {"full_attention": s.n_kv_heads, "conv": 0}
    if not isinstance(types, list) or len(types) != s.n_layers or not set(types) <= set(known):
        raise FormatError(
            f"layer_types in config.json is {types!r:.60}; {s.n_layers} times "
            f"{' or '.join(map(repr, known))} is right"
        )
    hidden = s.whole("block_ff_dim", "intermediate_size")
    if s.get("block_auto_adjust_ff_dim", default=True) is True:
        multiple = s.whole("block_multiple_of", default=256)
        hidden = int(s.number("block_ffn_dim_multiplier", default=1.0) * int(2 * hidden / 3))
        hidden = -(-hidden // multiple) * multiple
    return {
        "attention.head_count_kv": [known[one] for one in types],
        "feed_forward_length": hidden,
        "shortconv.l_cache": s.whole("conv_L_cache", default=3),
    }
