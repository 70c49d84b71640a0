"""How a config.json says that positions rotate queries and keys, as the keys of a GGUF file and the
tensors that divide frequencies."""

from __future__ import annotations

import math
from typing import Any

from ..errors import FormatError, UnsupportedError
from ..header_keys import MAX_WIDTH
from ..yarn import Yarn
from .settings import Keys, Settings, numbers


def rope_keys(s: Settings) -> Keys:
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
            if not isinstance(factors, list) or not numbers(factors) or len(factors) != wanted:
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


def _rope_number(rope: dict[str, Any], name: str) -> float:
    value = rope.get(name)
    if not numbers([value]):
        raise FormatError(f"{name} of RoPE in config.json is {value!r:.60}; a number is right")
    return float(value or 0)
