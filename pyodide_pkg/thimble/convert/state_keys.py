"""The keys of layers that keep another state than attention's: scans and short convolutions."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..errors import FormatError, UnsupportedError
from .names import SCANS
from .settings import Keys, Settings, numbers

ATTENDS = ("attention", "full_attention")
"""What Granite's `layer_types` calls a layer that has attention."""
MAX_LAYERS = 4096


def scan_keys(s: Settings) -> Keys:
    """A scan's numbers. Beside attention their words begin with `mamba_`, and "head_dim" is not
    theirs."""
    for name, allowed in (("n_groups", 1), ("use_bias", False), ("use_conv_bias", True),
                          ("rms_norm", True), ("mamba_n_groups", 1), ("mamba_proj_bias", False),
                          ("mamba_conv_bias", True)):  # fmt: skip
        s.refuse(name, allowed)
    if s.get("mamba_rms_norm", default=False) is True:
        s.refuse("mamba_norm_before_gate", False)
    endless = {"__float__": "Infinity"}  # as transformers writes it
    s.refuse("time_step_limit", [0.0, math.inf], [0.0, endless], None)
    heads = s.whole("mamba_n_heads", "num_heads")
    inner = s.whole("mamba_expand", "expand", default=2) * s.dim
    if s.get("mamba_d_ssm") is not None:
        inner = s.whole("mamba_d_ssm")
    width = s.get("mamba_d_head", default="auto" if s.get("mamba_n_heads") else s.get("head_dim"))
    if inner % heads or width not in ("auto", inner // heads):
        raise FormatError(
            f"config.json has {heads} heads of {width!r:.40}; together {inner} are right"
        )
    return {
        "ssm.conv_kernel": s.whole("mamba_d_conv", "conv_kernel", default=4),
        "ssm.inner_size": inner,
        "ssm.state_size": s.whole("mamba_d_state", "state_size"),
        "ssm.time_step_rank": heads,
        "ssm.group_count": 1,
    }


def mamba2_keys(s: Settings) -> Keys:
    """The numbers of a model that has scans alone, without any of attention's."""
    return {
        "context_length": s.n_ctx,
        "embedding_length": s.dim,
        "block_count": s.n_layers,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": s.number("layer_norm_epsilon", default=1e-5),
        **scan_keys(s),
    }


def granite_keys(s: Settings) -> Keys:
    """Of Granite 4: which layers have attention, whether it has RoPE, and how wide a feed-forward
    block is."""
    types = s.get("layer_types", default=[SCANS[0]] * min(s.n_layers, MAX_LAYERS))
    known = {**dict.fromkeys(SCANS, 0), **dict.fromkeys(ATTENDS, s.n_kv_heads)}
    found: Keys = {}
    if s.arch.scans:
        found = {**scan_keys(s), "attention.head_count_kv": per_layer(s, types, known)}
    s.refuse("position_embedding_type", None, "rope", "nope")
    found["rope.scaling.finetuned"] = s.get("position_embedding_type") == "rope"
    if s.kind.halves.keys() >= {"ffn_gate_up"}:
        found["feed_forward_length"] = s.whole("shared_intermediate_size", default=1024)
    return found


def delta_keys(s: Settings) -> Keys:
    """Of Qwen3.5: the delta rule's heads, and which layers have attention instead."""
    s.refuse("attention_bias", False)
    every = s.whole("full_attention_interval", default=s.arch.attention_interval)
    types = s.get("layer_types")
    if types is not None:
        attends = [one != 0 for one in per_layer(s, types, {"linear_attention": 0, ATTENDS[1]: 1})]
        every = attends.index(True) + 1 if True in attends else s.n_layers + 1
        if attends != [i % every == every - 1 for i in range(s.n_layers)]:
            raise UnsupportedError(
                f"layer_types in config.json is {types!r:.100}; one layer of so many with full "
                "attention, the last of them, runs here"
            )
    heads = s.whole("linear_num_value_heads")
    sections = s.rope().get("mrope_section", [11, 11, 10])
    if not isinstance(sections, list) or not numbers(sections) or len(sections) != 3:
        raise FormatError(f"mrope_section in config.json is {sections!r:.60}; 3 numbers are right")
    return {
        "full_attention_interval": every,
        "rope.dimension_sections": [*sections, 0],
        "ssm.conv_kernel": s.whole("linear_conv_kernel_dim", default=4),
        "ssm.inner_size": heads * s.whole("linear_value_head_dim"),
        "ssm.state_size": s.whole("linear_key_head_dim"),
        "ssm.time_step_rank": heads,
        "ssm.group_count": s.whole("linear_num_key_heads"),
    }


def per_layer(s: Settings, types: object, known: Mapping[str, int]) -> list[int]:
    """A number for each layer, by what `layer_types` says of it."""
    right = isinstance(types, list) and all(one in list(known) for one in types)
    if not isinstance(types, list) or len(types) != s.n_layers or not right:
        raise FormatError(
            f"layer_types in config.json is {types!r:.60}; {s.n_layers} times "
            f"{' or '.join(map(repr, known))} is right"
        )
    return [known[one] for one in types]


def factors(s: Settings) -> dict[str, list[tuple[int, float]]]:
    """What rows of matrices are multiplied by in Falcon-H1, as numbers of rows (0: all) and factors
    of each (https://arxiv.org/abs/2507.22448), by their names here."""
    if s.arch.name != "falcon-h1":
        return {}
    gate, down = _multipliers(s, "mlp_multipliers", 2)
    into, out = s.number("attention_in_multiplier", default=1.0), "attention_out_multiplier"
    n = scan_keys(s)
    heights = (*[n["ssm.inner_size"]] * 2, *[n["ssm.state_size"]] * 2, n["ssm.time_step_rank"])
    scan = s.number("ssm_in_multiplier", default=1.0)
    single = {
        "ffn_gate": gate,
        "ffn_down": down,
        "attn_q": into,
        "attn_k": into * s.number("key_multiplier", default=1.0),
        "attn_v": into,
        "attn_output": s.number(out, default=1.0),
        "ssm_out": s.number("ssm_out_multiplier", default=1.0),
        "output": s.number("lm_head_multiplier", default=1.0),
        "token_embd": s.number("embedding_multiplier", default=1.0),
    }
    parts = zip(heights, _multipliers(s, "ssm_multipliers", 5), strict=True)
    return {
        "ssm_in": [(rows, scan * factor) for rows, factor in parts],
        **{name: [(0, factor)] for name, factor in single.items()},
    }


def _multipliers(s: Settings, name: str, count: int) -> list[float]:
    found = s.get(name, default=[1.0] * count)
    if not isinstance(found, list) or len(found) != count or not numbers(found):
        raise FormatError(
            f"{name} in config.json is {found!r:.60}; a list of {count} numbers above 0 is right"
        )
    return [float(one) for one in found]


def lfm2_keys(s: Settings) -> Keys:
    """Which layers have attention, and how wide their feed-forward blocks are."""
    s.refuse("conv_bias", False)
    types = s.get("layer_types")
    if types is None:
        attends = s.get("full_attn_idxs", default=list(range(s.n_layers)))
        types = ["full_attention" if i in attends else "conv" for i in range(s.n_layers)]
    known = {"full_attention": s.n_kv_heads, "conv": 0}
    hidden = s.whole("block_ff_dim", "intermediate_size")
    if s.get("block_auto_adjust_ff_dim", default=True) is True:
        multiple = s.whole("block_multiple_of", default=256)
        hidden = int(s.number("block_ffn_dim_multiplier", default=1.0) * int(2 * hidden / 3))
        hidden = -(-hidden // multiple) * multiple
    return {
        "attention.head_count_kv": per_layer(s, types, known),
        "feed_forward_length": hidden,
        "shortconv.l_cache": s.whole("conv_L_cache", default=3),
    }
