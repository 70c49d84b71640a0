"""A config.json of Hugging Face's as the keys of a GGUF file.

It says what it does not know how to say: a setting that would change what the model computes, and
that no key of the architecture stands for, is an UnsupportedError and no wrong model.
"""

from __future__ import annotations

import math

from ..architectures import GELU_ERF, GELU_TANH, SILU
from ..errors import FormatError, UnsupportedError
from .rope_keys import rope_factors, rope_keys
from .settings import Keys, Settings, object_of
from .state_keys import (
    MAX_LAYERS,
    delta_keys,
    factors,
    granite_keys,
    lfm2_keys,
    mamba2_keys,
    scan_keys,
)

__all__ = ["MAX_LAYERS", "Settings", "factors", "keys", "rope_factors"]


ACTIVATIONS = {
    SILU: ("silu", "swish", "swiglu"),
    GELU_TANH: ("gelu_pytorch_tanh", "gelu_new", "gelu_fast"),
    GELU_ERF: ("gelu",),
}


SCALES = {
    "embedding_scale": "embedding_multiplier",
    "attention.scale": "attention_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}
"""What a config.json calls the scales of `Architecture.scales`."""


def keys(settings: Settings) -> Keys:
    """The keys of the model's numbers, without the architecture's name and a dot before them."""
    s = settings
    _check(s)
    if s.arch.only_scans:
        return mamba2_keys(s)
    epsilon = "layer_norm_epsilon" if s.arch.layer_norm else "layer_norm_rms_epsilon"
    found: Keys = {
        "context_length": s.n_ctx,
        "embedding_length": s.dim,
        "block_count": s.n_layers,
        "feed_forward_length": s.whole("intermediate_size", "n_inner", default=4 * s.dim),
        "attention.head_count": s.n_heads,
        "attention.head_count_kv": s.n_kv_heads,
        f"attention.{epsilon}": s.number(
            "rms_norm_eps", "norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon",
            default=1e-5,
        ),
        **_scales(s),
    }  # fmt: skip
    if s.head_dim * s.n_heads != s.dim:
        found |= {"attention.key_length": s.head_dim, "attention.value_length": s.head_dim}
    if s.arch.rope:
        found |= rope_keys(s)
    if s.arch.windows and s.get("sliding_window", "local_attention") is not None:
        found["attention.sliding_window"] = s.whole("sliding_window", "local_attention")
    if s.arch.name == "gemma2":
        found["attn_logit_softcapping"] = s.number("attn_logit_softcapping")
        found["final_logit_softcapping"] = s.number("final_logit_softcapping")
    if s.arch.experts or (s.arch.experts_switch and "ffn_gate_up" not in s.kind.halves):
        found |= {
            "expert_count": s.whole("num_experts", "num_local_experts"),
            "expert_used_count": s.whole("num_experts_per_tok"),
        }
        s.refuse("decoder_sparse_step", 1)
        s.refuse("mlp_only_layers", [])
        if s.get("moe_intermediate_size") is not None:
            found["expert_feed_forward_length"] = s.whole("moe_intermediate_size")
    if not s.arch.causal:
        found |= {"attention.causal": False, "pooling_type": 1}  # the mean
    shared = "shared_intermediate_size"
    if s.arch.experts_shared and s.get(shared) and "ffn_gate_up" not in s.kind.halves:
        found["expert_shared_feed_forward_length"] = s.whole(shared)
    if s.model_type == "granitemoehybrid":
        found |= granite_keys(s)
    if s.arch.name == "falcon-h1":
        found |= scan_keys(s)
    if s.arch.delta:
        found |= delta_keys(s)
    if s.arch.chunk:
        found |= _llama4_keys(s)
    if s.arch.name == "lfm2":
        found |= lfm2_keys(s)
    if s.arch.parallel_key:
        found["use_parallel_residual"] = s.get("use_parallel_residual", default=True)
    return found


def _llama4_keys(s: Settings) -> Keys:
    """Of a Llama 4 without experts, whose layers all have RoPE, or all but each fourth."""
    every, n = s.arch.no_rope_layer_interval, min(s.n_layers, MAX_LAYERS)
    for name, allowed in (("num_local_experts", 0), ("moe_layers", []), ("use_qk_norm", True),
                          ("attention_bias", False)):  # fmt: skip
        s.refuse(name, allowed)
    wholly, mixed = [1] * n, [int(i % every != every - 1) for i in range(n)]
    s.refuse("no_rope_layers", mixed, wholly, [])
    found: Keys = {
        "feed_forward_length": s.whole("intermediate_size_mlp"),
        "expert_feed_forward_length": s.whole("intermediate_size"),
        "expert_count": 0,
        "expert_used_count": 0,
        "interleave_moe_layer_step": 0,
    }
    asked = s.get("no_rope_layers") or mixed
    chunked = ["chunked_attention" if one else "full_attention" for one in asked]
    s.refuse("layer_types", chunked, ["full_attention"] * n)
    if s.get("layer_types", default=chunked) == chunked and "chunked_attention" in chunked:
        size = s.whole("attention_chunk_size", default=s.arch.chunk)
        if s.n_ctx > size and (size != s.arch.chunk or asked == wholly):
            raise UnsupportedError(
                f"attention_chunk_size in config.json is {size}; {s.arch.chunk} with a layer of "
                f"{every} without RoPE, or no less than max_position_embeddings, runs here"
            )
    if asked == wholly:
        return {**found, "attention.sliding_window": 0}
    tuned = bool(s.get("attn_temperature_tuning", default=True))
    return {
        **found,
        "attention.temperature_scale": s.number("attn_scale", default=0.1) if tuned else 0.0,
        "attention.temperature_length": s.whole("floor_scale", default=s.arch.chunk),
    }


def _scales(s: Settings) -> Keys:
    """What embeddings, scores and results of blocks are multiplied by, and logits divided."""
    if s.arch.name == "minicpm":
        return {
            "embedding_scale": s.number("scale_emb"),
            "residual_scale": s.number("scale_depth") / math.sqrt(s.n_layers),
            "logit_scale": s.dim / s.number("dim_model_base"),
        }
    return {key: s.number(SCALES[key], default=1.0) for key in s.arch.scales}


def _check(s: Settings) -> None:
    """Refuse what would change the result and has no key."""
    activation = s.get("hidden_activation", "activation_function", "hidden_act", default=None)
    if s.kind.architecture == "gemma":
        activation = ACTIVATIONS[GELU_TANH][0]  # whatever the file says: "gelu" was a mistake
    if activation is not None and activation not in ACTIVATIONS[s.arch.activation]:
        raise UnsupportedError(
            f"config.json asks for the activation {activation!r:.60}; in {s.model_type} models "
            f"{' or '.join(map(repr, ACTIVATIONS[s.arch.activation]))} runs here"
        )
    if not s.arch.windows:
        unused = s.get("use_sliding_window") is False
        if s.whole("sliding_window", default=s.n_ctx) < s.n_ctx and not unused:
            raise UnsupportedError(
                f"sliding_window in config.json is {s.get('sliding_window')!r:.40}; "
                f"{s.model_type} models run here without one"
            )
    if "token_types.weight" in s.arch.tensors:
        _check_bert(s)
    s.refuse("scale_attn_by_inverse_layer_idx", False)
    s.refuse("scale_attn_weights", True)
    s.refuse("add_cross_attention", False)
    s.refuse("use_bidirectional_attention", not s.arch.causal)
    s.refuse("clip_qkv", None)
    s.refuse("norm_topk_prob", s.arch.experts_normed)
    if not s.arch.parallel_key:
        s.refuse("use_parallel_residual", s.arch.parallel)
    if "attention.sliding_window" in s.arch.refused:
        s.refuse("sliding_window", None)
    if s.arch.sliding_window_pattern:
        _check_gemma(s)
    if s.arch.no_rope_layer_interval and not s.arch.chunk:
        every, n = s.arch.no_rope_layer_interval, min(s.n_layers, MAX_LAYERS)
        s.refuse("no_rope_layers", [int(i % every != every - 1) for i in range(n)], None)
        s.refuse("no_rope_layer_interval", every)
        s.refuse("attention_bias", False)
        s.refuse("mlp_bias", False)


def _check_bert(s: Settings) -> None:
    """What BERT's descendants could do otherwise, by words that are theirs."""
    for name, allowed in (("is_decoder", False), ("position_embedding_type", "absolute"),
                          ("prenorm", False), ("rotary_emb_interleaved", False),
                          ("rotary_emb_fraction", 1.0), ("moe_every_n_layers", 0)):  # fmt: skip
        s.refuse(name, allowed)


def _check_gemma(s: Settings) -> None:
    if s.arch.name in ("gemma3", "gemma-embedding"):
        s.refuse("attn_logit_softcapping", None)
        s.refuse("final_logit_softcapping", None)
    every = s.arch.sliding_window_pattern
    if s.n_layers > MAX_LAYERS:
        raise FormatError(f"config.json has {s.n_layers} layers; at most {MAX_LAYERS} are right")
    full = 0 if s.arch.full_first else every - 1
    pattern = ["full" if i % every == full else "sliding" for i in range(s.n_layers)]
    s.refuse("layer_types", [f"{kind}_attention" for kind in pattern])
    s.refuse("sliding_window_pattern", every)
    s.refuse("global_attn_every_n_layers", every)
    wide = s.n_layers == s.arch.scale_by_width
    scalar = s.dim / s.n_heads if wide else s.head_dim
    s.refuse("query_pre_attn_scalar", scalar)
    rope = s.object("rope_parameters")
    local = object_of(rope.get("sliding_attention", {}), "sliding_attention")
    base = local.get("rope_theta", s.get("rope_local_base_freq"))
    if s.arch.rope_base_local and base not in (None, s.arch.rope_base_local):
        raise UnsupportedError(
            f"config.json turns layers with a window by the base {base!r:.40}; "
            f"{s.arch.rope_base_local} runs here"
        )
