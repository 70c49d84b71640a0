"""A config.json of Hugging Face's as the keys of a GGUF file.

It says what it does not know how to say: a setting that would change what the model computes, and
that no key of the architecture stands for, is an UnsupportedError and no wrong model. This file
knows words and numbers, and no tensors but those that it makes: the divisors of RoPE's frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..architectures import ARCHITECTURES, GELU_ERF, GELU_TANH, SILU
from ..errors import FormatError, UnsupportedError
from ..header_keys import MAX_WIDTH
from ..yarn import Yarn
from .names import ENCODERS, KINDS, Kind

Config = Mapping[str, Any]
MAX_LAYERS = 4096
MAX_NUMBER = 1e30
Keys = dict[str, Any]

ACTIVATIONS = {
    SILU: ("silu", "swish"),
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


class Settings:
    """A config.json, of which each word is asked for once and with its type."""

    def __init__(self, config: Config, kinds: Mapping[str, Kind] = KINDS) -> None:
        kind = config.get("model_type")
        if kind == "gemma3" and isinstance(config.get("text_config"), dict):
            config = config["text_config"]  # of a model that could see, its half that reads
            kind = config.get("model_type", "gemma3_text")
        if not isinstance(kind, str) or kind not in kinds:
            raise UnsupportedError(
                f"config.json has the model_type {kind!r:.60}, which is not converted here; "
                f"{', '.join(kinds)} are"
            )
        both = config.get("use_bidirectional_attention") is True
        self.kind: Kind = (ENCODERS if both and kind in ENCODERS else kinds)[kind]
        self.model_type = kind
        self.arch = ARCHITECTURES[self.kind.architecture]
        self._config = {**self.kind.defaults, **{k: v for k, v in config.items() if v is not None}}

    def get(self, *names: str, default: Any = None) -> Any:
        """The first of these that is there."""
        return next((self._config[name] for name in names if name in self._config), default)

    def _called(self, names: tuple[str, ...]) -> str:
        """The name that the file has for a setting."""
        return next((name for name in names if name in self._config), names[0])

    def whole(self, *names: str, default: int | None = None) -> int:
        value = self.get(*names, default=default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_WIDTH:
            raise FormatError(
                f"{self._called(names)} in config.json is {value!r:.60}; a number above 0 is right"
            )
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        value = self.get(*names, default=default)
        if not _numbers([value]):
            raise FormatError(
                f"{self._called(names)} in config.json is {value!r:.60}; a number above 0 is right"
            )
        return float(value)

    def object(self, *names: str) -> dict[str, Any]:
        return _object(self.get(*names, default={}), self._called(names))

    def refuse(self, name: str, *allowed: Any) -> None:
        """Raise where a setting has a value that does not run here. It may be missing."""
        value = self.get(name, default=allowed[0])
        if value not in allowed:
            raise UnsupportedError(
                f"{name} in config.json is {value!r:.100}; in {self.model_type} models "
                f"{' or '.join(map(repr, allowed))} runs here"
            )

    @property
    def dim(self) -> int:
        return self.whole("hidden_size", "n_embd")

    @property
    def n_layers(self) -> int:
        return self.whole("num_hidden_layers", "n_layer")

    @property
    def n_heads(self) -> int:
        return self.whole("num_attention_heads", "n_head", "num_heads")

    @property
    def n_kv_heads(self) -> int:
        return self.whole("num_key_value_heads", default=self.n_heads)

    @property
    def head_dim(self) -> int:
        if self.get("head_dim") is None and self.dim % self.n_heads:
            raise FormatError(
                f"config.json has {self.n_heads} heads, which do not share a width of {self.dim} "
                "evenly"
            )
        return self.whole("head_dim", default=self.dim // self.n_heads)

    @property
    def n_ctx(self) -> int:
        return self.whole("max_position_embeddings", "n_positions", "n_ctx")

    @property
    def tied(self) -> bool:
        return self.get("tie_word_embeddings", default=False) is True

    def rope(self) -> dict[str, Any]:
        """What turns the layers that see everything, by whichever words the file has."""
        found = self.object("rope_parameters", "rope_scaling")
        found = dict(_object(found.get("full_attention", found), "full_attention"))
        found.setdefault("rope_type", found.get("type", "default"))
        for name in ("rope_theta", "partial_rotary_factor"):
            if name in self._config:
                found.setdefault(name, self._config[name])
        found.setdefault("rope_theta", self.get("rotary_emb_base", default=10000.0))
        found.setdefault("partial_rotary_factor", self.get("rotary_pct", default=1.0))
        return found


def keys(settings: Settings) -> Keys:
    """The keys of the model's numbers, without the architecture's name and a dot before them."""
    s = settings
    _check(s)
    if s.arch.scans:
        return _scan_keys(s)
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
        found |= _rope_keys(s)
    if s.arch.windows and s.get("sliding_window") is not None:
        found["attention.sliding_window"] = s.whole("sliding_window")
    if s.arch.name == "gemma2":
        found["attn_logit_softcapping"] = s.number("attn_logit_softcapping")
        found["final_logit_softcapping"] = s.number("final_logit_softcapping")
    if s.arch.experts:
        found |= {
            "expert_count": s.whole("num_experts", "num_local_experts"),
            "expert_used_count": s.whole("num_experts_per_tok"),
        }
        s.refuse("decoder_sparse_step", 1)
        s.refuse("mlp_only_layers", [])
        if s.get("moe_intermediate_size") is not None:
            found["expert_feed_forward_length"] = s.whole("moe_intermediate_size")
    if not s.arch.causal:
        found["pooling_type"] = 1  # the mean
    if s.arch.name == "lfm2":
        found |= _lfm2_keys(s)
    if s.arch.parallel_key:
        found["use_parallel_residual"] = s.get("use_parallel_residual", default=True)
    return found


def _scales(s: Settings) -> Keys:
    """What embeddings, scores and results of blocks are multiplied by, and logits divided."""
    if s.arch.name == "minicpm":
        return {
            "embedding_scale": s.number("scale_emb"),
            "residual_scale": s.number("scale_depth") / math.sqrt(s.n_layers),
            "logit_scale": s.dim / s.number("dim_model_base"),
        }
    return {key: s.number(SCALES[key], default=1.0) for key in s.arch.scales}


def _scan_keys(s: Settings) -> Keys:
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


def _lfm2_keys(s: Settings) -> Keys:
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


def rope_factors(settings: Settings) -> dict[str, list[float]]:
    """Tensors that divide RoPE's frequencies: of Llama 3's scaling, or Phi-3's."""
    if not settings.arch.rope:
        return {}
    rope = settings.rope()
    if rope["rope_type"] == "longrope":
        found = {}
        for length in ("short", "long"):
            factors = rope.get(f"{length}_factor")
            wanted = _rope_dim(settings, rope) // 2
            if not isinstance(factors, list) or not _numbers(factors) or len(factors) != wanted:
                raise FormatError(
                    f"{length}_factor in config.json is {factors!r:.60}; a list of "
                    f"{wanted} numbers above 0 is right"
                )
            found[f"rope_factors_{length}.weight"] = [float(f) for f in factors]
        return found
    if rope["rope_type"] != "llama3":
        return {}
    base, dim = _rope_number(rope, "rope_theta"), settings.head_dim
    factor = _rope_number(rope, "factor")
    low, high = _rope_number(rope, "low_freq_factor"), _rope_number(rope, "high_freq_factor")
    trained = _rope_number(rope, "original_max_position_embeddings")
    if low >= high:
        raise FormatError(
            f"low_freq_factor of RoPE in config.json is {low}; less than high_freq_factor, {high}, "
            "is right"
        )
    factors = []
    for i in range(0, dim, 2):
        turns = trained / (2 * math.pi * base ** (i / dim))  # in the context it was trained for
        smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return {"rope_freqs.weight": factors}


def _rope_dim(s: Settings, rope: dict[str, Any]) -> int:
    return int(s.head_dim * min(_rope_number(rope, "partial_rotary_factor"), 1.0))


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{name} in config.json is {value!r:.60}; an object is right")
    return value


def _numbers(values: list[Any]) -> bool:
    """Whether all are numbers above 0 that a float32 holds."""
    return all(
        isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < MAX_NUMBER
        for v in values
    )


def _rope_number(rope: dict[str, Any], name: str) -> float:
    value = rope.get(name)
    if not _numbers([value]):
        raise FormatError(f"{name} of RoPE in config.json is {value!r:.60}; a number is right")
    return float(value or 0)


def _rope_keys(s: Settings) -> Keys:
    rope = s.rope()
    found: Keys = {
        "rope.freq_base": _rope_number(rope, "rope_theta"),
        "rope.dimension_count": _rope_dim(s, rope),
    }
    kind = rope["rope_type"]
    if kind == "linear":
        found |= {
            "rope.scaling.type": "linear",
            "rope.scaling.factor": _rope_number(rope, "factor"),
        }
    elif kind == "longrope" and "rope_factors_long.weight" in s.arch.optional:
        trained = s.whole(
            "original_max_position_embeddings",
            default=rope.get("original_max_position_embeddings"),
        )
        longer = s.n_ctx / trained if trained > 1 else 1.0
        magnitude = math.sqrt(1 + math.log(longer) / math.log(trained)) if longer > 1 else 1.0
        found |= {
            "rope.scaling.type": "longrope",
            "rope.scaling.original_context_length": trained,
            "rope.scaling.attn_factor": (
                _rope_number(rope, "attention_factor")
                if rope.get("attention_factor")
                else magnitude
            ),
        }
    elif kind == "dynamic" and rope.get("alpha") is not None and s.arch.name == "hunyuan-dense":
        width = max(s.head_dim, 4)  # a base that is larger by a fixed number, whatever it is called
        found["rope.freq_base"] *= _rope_number(rope, "alpha") ** (width / (width - 2))
    elif kind == "yarn" and not s.arch.windows:
        found |= _yarn_keys(s, rope)
    elif kind not in ("default", "llama3") or (
        kind == "llama3" and "rope_freqs.weight" not in s.arch.optional
    ):
        raise UnsupportedError(
            f"config.json scales RoPE by {kind!r:.40}; 'default', 'linear', 'yarn' where no layer "
            "has a window, 'llama3' in llama and exaone4 models, 'longrope' in phi3 and minicpm "
            "models and 'dynamic' with alpha in hunyuan models run here"
        )
    return found


def _yarn_keys(s: Settings, rope: dict[str, Any]) -> Keys:
    """YaRN's numbers, and how long texts may be with it, which a file may leave at what it is
    without. transformers says how much rotated values grow, GGUF how much more they do than by
    YaRN's own rule."""
    for name, allowed in (("mscale", None), ("mscale_all_dim", None), ("truncate", True)):
        if rope.get(name, allowed) != allowed:
            raise UnsupportedError(
                f"{name} of RoPE in config.json is {rope[name]!r:.60}, which does not run here"
            )
    factor = _rope_number(rope, "factor")
    trained = rope.get("original_max_position_embeddings", s.n_ctx)
    if not isinstance(trained, int) or isinstance(trained, bool) or not 1 <= trained <= MAX_WIDTH:
        raise FormatError(
            f"original_max_position_embeddings of RoPE in config.json is {trained!r:.60}; a number "
            "above 0 is right"
        )
    found: Keys = {
        "context_length": max(s.n_ctx, int(min(trained * factor, MAX_WIDTH))),
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": factor,
        "rope.scaling.original_context_length": trained,
    }
    if rope.get("attention_factor") is not None:
        own = Yarn(factor, trained).attention_factor
        found["rope.scaling.attn_factor"] = _rope_number(rope, "attention_factor") / own
    for name in ("beta_fast", "beta_slow"):
        if rope.get(name) is not None:
            found[f"rope.scaling.yarn_{name}"] = _rope_number(rope, name)
    return found


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
    if s.arch.no_rope_layer_interval:
        every, n = s.arch.no_rope_layer_interval, min(s.n_layers, MAX_LAYERS)
        s.refuse("no_rope_layers", [int(i % every != every - 1) for i in range(n)], None)
        s.refuse("no_rope_layer_interval", every)
        s.refuse("attention_bias", False)
        s.refuse("mlp_bias", False)


def _check_gemma(s: Settings) -> None:
    if s.arch.name in ("gemma3", "gemma-embedding"):
        s.refuse("attn_logit_softcapping", None)
        s.refuse("final_logit_softcapping", None)
    every = s.arch.sliding_window_pattern
    if s.n_layers > MAX_LAYERS:
        raise FormatError(f"config.json has {s.n_layers} layers; at most {MAX_LAYERS} are right")
    pattern = ["full" if i % every == every - 1 else "sliding" for i in range(s.n_layers)]
    s.refuse("layer_types", [f"{kind}_attention" for kind in pattern])
    s.refuse("sliding_window_pattern", every)
    wide = s.n_layers == s.arch.scale_by_width
    scalar = s.dim / s.n_heads if wide else s.head_dim
    s.refuse("query_pre_attn_scalar", scalar)
    rope = s.object("rope_parameters")
    local = _object(rope.get("sliding_attention", {}), "sliding_attention")
    base = local.get("rope_theta", s.get("rope_local_base_freq"))
    if s.arch.rope_base_local and base not in (None, s.arch.rope_base_local):
        raise UnsupportedError(
            f"config.json turns layers with a window by the base {base!r:.40}; "
            f"{s.arch.rope_base_local} runs here"
        )
