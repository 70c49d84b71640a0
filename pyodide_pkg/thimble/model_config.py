"""What a file says about its model, checked against its architecture.

An architecture is one entry in `architectures.py`: its tensors, their shapes, and in what it
differs from the others. `config_from_header` turns the keys of a file into numbers that the rest
of the engine can rely on. This file knows names, shapes and ranges; it reads no tensor and computes
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from .architectures import ARCHITECTURES, CONVOLUTIONS, VECTORS, Architecture
from .errors import FormatError, UnsupportedError
from .features import Features
from .gguf import GGUFHeader, TensorInfo
from .gguf_lists import is_list
from .header_keys import MAX_WIDTH, Keys
from .tensor_shapes import is_run, layer_parts, once_parts, parts_of, tensor_names
from .tensor_types import F16, F32
from .yarn import rope_scale, yarn_of

LANES = 4
"""Widths are multiples of this: the kernels work on four values at a time."""

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Features",
    "ModelConfig",
    "architecture_of",
    "config_from_header",
    "is_run",
    "layer_parts",
    "once_parts",
    "parts_of",
    "tensor_names",
]

NEXTN = "nextn_predict_layers"
TEMPER = "attention.temperature_scale"
MAX_HEAD = 4096
"""Values of a head; models in use have at most 512."""
MAX_EXPERTS = 1024
"""Models in use have at most 512."""
MAX_KEY = 1024
"""Numbers of a key of the delta rule; models in use have 128."""
MAX_TAPS = 64
"""Positions that a short convolution may read; models in use have 3 or 4."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The numbers that make up a model."""

    architecture: str
    name: str
    n_layers: int
    dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    hidden_dim: int
    n_vocab: int
    n_ctx: int
    """Positions that the model was trained for."""
    norm_eps: float
    rope_base: float
    rope_dim: int
    """Values of each head that RoPE rotates, in pairs."""
    rope_interleaved: bool
    rope_scale_linear: float
    """Positions are divided by this before RoPE; 1.0 for none."""
    rope_freqs: bool
    """Whether `rope_freqs.weight` divides RoPE's frequencies, one divisor a pair."""
    tied_output: bool
    """Whether the output matrix is the token embedding."""
    features: Features = field(default_factory=Features)


def config_from_header(header: GGUFHeader) -> ModelConfig:
    """Return the model's numbers, all present and in range, with every tensor that they promise.

    Raises `UnsupportedError` for an architecture, a feature or a tensor that does not run here,
    `FormatError` where a value or a tensor is missing, out of its range or of the wrong shape.
    """
    arch = architecture_of(header)
    keys = Keys(header.metadata, arch.name)
    for key, allowed in arch.refused.items():
        value = keys.metadata.get(keys.full(key), allowed[0])
        if value not in allowed:
            raise UnsupportedError(f"{keys.full(key)} is {value!r:.100}; {allowed[0]!r} runs here")
    # A scan's heads are no attention's, but are as many and as wide for whoever asks.
    scans, dim = arch.only_scans, keys.width("embedding_length")
    n_heads = keys.width("ssm.time_step_rank" if scans else "attention.head_count")
    inner = keys.width("ssm.inner_size") if scans else dim
    head_dim = keys.width("attention.key_length", default=_divide(inner, n_heads))
    names = {tensor.name for tensor in header.tensors}
    n_layers = _n_layers(keys, arch, len(header.tensors))
    n_kv_heads, headless = (n_heads, ()) if scans else _kv_heads(keys, arch, n_layers, n_heads)
    rope_short = "rope_factors_short.weight" in names
    config = ModelConfig(
        architecture=arch.name,
        name=keys.text("general.name", default=""),
        n_layers=n_layers,
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        hidden_dim=inner if scans else _hidden_dim(keys, arch),
        n_vocab=_n_vocab(keys),
        n_ctx=_n_ctx(keys, arch, rope_short),
        norm_eps=keys.number(
            "attention.layer_norm_epsilon"
            if arch.layer_norm
            else "attention.layer_norm_rms_epsilon"
        ),
        rope_base=keys.number("rope.freq_base", default=10000.0),
        rope_dim=_rope_dim(keys, arch, head_dim),
        rope_interleaved=arch.rope_interleaved,
        rope_scale_linear=rope_scale(keys, rope_short) if arch.rope else 1.0,
        rope_freqs="rope_freqs.weight" in names,
        tied_output="output.weight" not in names,
    )
    optional = tuple(name for name in arch.layer_optional if f"blk.0.{name}" in names)
    features = replace(
        _features(config, arch, keys, rope_short), headless=headless, layer_optional=optional
    )
    if "token_types.weight" in arch.tensors:
        rows = next((t.shape[0] for t in header.tensors if t.name == "token_types.weight"), 1)
        features = replace(features, token_types=rows)
    if "dense_2.weight" in names and "dense_2.weight" in arch.optional:
        features = replace(features, projected=keys.width("dense_2_feat_out"))
    config = replace(config, features=features)
    _check_widths(config, arch, keys)
    _check_tensors(config, header)
    return config


def _features(config: ModelConfig, arch: Architecture, keys: Keys, rope_short: bool) -> Features:
    """Return in what a model differs from llama."""
    window = keys.count("attention.sliding_window") if arch.windows else 0
    parallel = arch.parallel
    if arch.parallel_key:
        parallel = keys.metadata.get(keys.full("use_parallel_residual"), parallel) is True
    wide = config.n_layers == arch.scale_by_width
    scales = {key: _scale(keys, key, must) for key, must in arch.scales.items()}
    score_scale = (config.dim / config.n_heads) ** -0.5 if wide else 0.0
    yarn = yarn_of(arch, keys, config.rope_base, config.n_ctx)
    several = arch.experts or (arch.experts_switch and keys.count("expert_count"))
    experts, used = _experts(keys) if several else (0, 0)
    heads, width = _scan_heads(config, arch, keys) if arch.scans else (0, 0)
    factor = yarn.attention_factor if yarn else 1.0
    temper = _in_chunks(keys, arch) and keys.metadata.get(keys.full(TEMPER)) != 0
    return Features(
        layer_norm=arch.layer_norm,
        activation=_activation(arch, keys),
        parallel=parallel,
        window=window if arch.causal or not window else window // 2 + 1,
        causal=arch.causal,
        pool_first=not arch.causal and keys.metadata.get(keys.full("pooling_type")) == 2,
        scan_state=keys.width("ssm.state_size") if arch.scans else 0,
        scan_heads=heads,
        scan_width=width,
        scan_groups=keys.width("ssm.group_count") if arch.delta else 1,
        gated_attention=arch.gated_attention,
        sliding_window_pattern=arch.sliding_window_pattern if window else 0,
        full_first=arch.full_first,
        embed_scale=(
            math.sqrt(config.dim) if arch.scaled_embedding else scales.get("embedding_scale", 0.0)
        ),
        score_scale=scales.get("attention.scale", score_scale),
        residual_scale=scales.get("residual_scale", 0.0),
        logit_scale=scales.get("logit_scale", 0.0),
        norm_after_rope=arch.norm_after_rope,
        attn_logit_softcapping=_cap(keys, "attn_logit_softcapping", arch.attn_logit_softcapping),
        final_logit_softcapping=_cap(keys, "final_logit_softcapping", arch.final_logit_softcapping),
        attention_factor=(
            keys.number("rope.scaling.attn_factor", default=1.0) if rope_short else factor
        ),
        rope_divisors=yarn.divisors(config.rope_base, config.rope_dim) if yarn else (),
        no_rope_layer_interval=(
            arch.no_rope_layer_interval if not arch.chunk or _in_chunks(keys, arch) else 0
        ),
        plain_head_norms=arch.plain_head_norms,
        temper_scale=keys.number(TEMPER, default=0.1) if temper else 0.0,
        temper_length=(
            keys.width("attention.temperature_length", default=arch.chunk) if temper else 0
        ),
        rope_base_local=(
            keys.number("rope.freq_base_swa", default=arch.rope_base_local)
            if arch.rope_base_local
            else 0.0
        ),
        taps=keys.width(arch.taps_key) if arch.taps_key else 0,
        experts=experts,
        experts_used=used,
        shared=(
            keys.count("expert_shared_feed_forward_length")
            if arch.experts_shared and several
            else 0
        ),
        experts_normed=arch.experts_normed,
        rope_short=rope_short,
    )


def _kv_heads(
    keys: Keys, arch: Architecture, n_layers: int, n_heads: int
) -> tuple[int, tuple[bool, ...]]:
    """Return how many heads of keys and values layers have, and which of them have none."""
    key = "attention.head_count_kv"
    counts = keys.metadata.get(keys.full(key))
    if arch.attention_interval and not (is_list(counts) and 0 in counts):
        return keys.width(key, default=n_heads), _without_attention(keys, arch, n_layers)
    if not arch.headless_tensors or not is_list(counts):
        return keys.width(key, default=n_heads), ()
    if len(counts) != n_layers:
        raise FormatError(f"{keys.full(key)} has {len(counts)} numbers for {n_layers} layers")
    found = [count for count in counts if count != 0]
    rest = replace(keys, metadata={keys.full(key): found}) if found else keys
    return rest.width(key), tuple(count == 0 for count in counts)


def _n_layers(keys: Keys, arch: Architecture, n_tensors: int) -> int:
    """Return how many layers there are, without those that predict further tokens."""
    total, more = keys.width("block_count"), keys.count(NEXTN) if arch.nextn else 0
    if total > n_tensors:
        raise FormatError(
            f"{keys.full('block_count')} is {total}, but the file has only {n_tensors} tensors"
        )
    if more >= total:
        raise FormatError(f"{keys.full(NEXTN)} is {more}; less than the {total} blocks is right")
    return total - more


def _without_attention(keys: Keys, arch: Architecture, n_layers: int) -> tuple[bool, ...]:
    """Return of each layer whether it has no attention, by a list or by an interval."""
    listed = keys.metadata.get(keys.full("attention.recurrent_layers"))
    if listed is None:
        every = keys.width("full_attention_interval", default=arch.attention_interval)
        return tuple(i % every != every - 1 for i in range(n_layers))
    found = list(listed)[:n_layers] if is_list(listed) else []
    if len(found) < n_layers or any(one not in (0, 1) for one in found):
        raise FormatError(
            f"{keys.full('attention.recurrent_layers')} is {listed!r:.100}; true or false for each "
            f"of {n_layers} layers is right"
        )
    return tuple(bool(one) for one in found)


def _hidden_dim(keys: Keys, arch: Architecture) -> int:
    """Return how wide a feed-forward block is inside, or each expert's."""
    own = "expert_feed_forward_length"
    return keys.width(own if arch.experts and keys.count(own) else "feed_forward_length")


def _rope_dim(keys: Keys, arch: Architecture, head_dim: int) -> int:
    """Return how many values of a head are rotated."""
    switch = "rope.scaling.finetuned"
    on = keys.metadata.get(keys.full(switch), True) if arch.rope_switch else True
    if not isinstance(on, bool):
        raise FormatError(f"{keys.full(switch)} is {on!r:.100}; true or false is right")
    return keys.width("rope.dimension_count", default=head_dim) if arch.rope and on else 0


def _scan_heads(config: ModelConfig, arch: Architecture, keys: Keys) -> tuple[int, int]:
    """Return how many heads a scan has, and of how many values each."""
    if arch.only_scans:
        return config.n_heads, config.head_dim
    heads, inner = keys.width("ssm.time_step_rank"), keys.width("ssm.inner_size")
    if inner % heads:
        raise FormatError(
            f"{keys.full('ssm.time_step_rank')} is {heads}, which does not divide "
            f"{keys.full('ssm.inner_size')}, {inner}"
        )
    return heads, inner // heads


def _scale(keys: Keys, key: str, must: bool) -> float:
    """Return what something is multiplied or divided by; 0 where a file does not say."""
    return keys.number(key) if must or keys.full(key) in keys.metadata else 0.0


def _experts(keys: Keys) -> tuple[int, int]:
    """Return how many experts there are, and how many of them a token uses."""
    count, used = keys.width("expert_count"), keys.width("expert_used_count")
    if count > MAX_EXPERTS:
        raise UnsupportedError(
            f"{keys.full('expert_count')} is {count:,}; at most {MAX_EXPERTS:,} run here"
        )
    if used > count:
        raise FormatError(
            f"{keys.full('expert_used_count')} is {used}, but there are {count} experts"
        )
    return count, used


def _activation(arch: Architecture, keys: Keys) -> int:
    """Return what stands between the products of a feed-forward block."""
    full = keys.full("hidden_activation")
    name = keys.metadata.get(full) if arch.activations else None
    if name is None:
        return arch.activation
    if not isinstance(name, str) or name not in arch.activations:
        raise UnsupportedError(
            f"{full} is {name!r:.100}; {' or '.join(map(repr, arch.activations))} runs here"
        )
    return arch.activations[name]


def architecture_of(header: GGUFHeader) -> Architecture:
    """Return the architecture that a file names; raises `UnsupportedError` for an unknown one."""
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise FormatError(
            f"general.architecture is {architecture!r:.100}; it names the architecture"
        )
    if architecture not in ARCHITECTURES:
        raise UnsupportedError(
            f"the architecture {architecture!r:.100} does not run here; "
            f"{', '.join(ARCHITECTURES)} do"
        )
    return ARCHITECTURES[architecture]


def _divide(dim: int, n_heads: int) -> int | None:
    """Return the values of each head where the file does not say; None where it has to."""
    return dim // n_heads if dim % n_heads == 0 else None


def _n_vocab(keys: Keys) -> int:
    """Return the number of tokens: of the tokenizer's list, as in llama.cpp, or else by its key."""
    tokens = keys.metadata.get("tokenizer.ggml.tokens")
    if tokens is None:
        return keys.width("vocab_size")
    if not is_list(tokens) or not 1 <= len(tokens) <= MAX_WIDTH:
        raise FormatError(f"tokenizer.ggml.tokens is {tokens!r:.100}; a list of strings is right")
    n_vocab = keys.width("vocab_size", default=len(tokens))
    if n_vocab != len(tokens):
        raise FormatError(
            f"{keys.full('vocab_size')} is {n_vocab}, but tokenizer.ggml.tokens has {len(tokens)}"
        )
    return n_vocab


def _in_chunks(keys: Keys, arch: Architecture) -> bool:
    """Whether layers see a part of a longer text, as `Architecture.chunk` says."""
    return bool(arch.chunk) and keys.metadata.get(keys.full("attention.sliding_window")) != 0


def _n_ctx(keys: Keys, arch: Architecture, rope_short: bool) -> int:
    """Return how long a text may be."""
    n_ctx = keys.width("context_length")
    if _in_chunks(keys, arch):
        return min(n_ctx, arch.chunk)
    if rope_short:
        return min(n_ctx, keys.width("rope.scaling.original_context_length", default=n_ctx))
    return n_ctx


def _cap(keys: Keys, key: str, default: float) -> float:
    """Return a soft cap, or 0 where the architecture has none."""
    return keys.number(key, default=default) if default else 0.0


def _check_widths(config: ModelConfig, arch: Architecture, keys: Keys) -> None:
    """Check what the numbers say about each other."""
    if config.n_heads % config.n_kv_heads:
        raise FormatError(
            f"{config.n_heads} heads do not share {config.n_kv_heads} key and value heads evenly"
        )
    value_length = keys.width("attention.value_length", default=config.head_dim)
    if value_length != config.head_dim:
        raise UnsupportedError(
            f"{keys.full('attention.value_length')} is {value_length}; "
            f"the length of the keys, {config.head_dim}, runs here"
        )
    if config.head_dim > MAX_HEAD:
        raise UnsupportedError(
            f"{keys.full('attention.key_length')} is {config.head_dim:,}; at most {MAX_HEAD:,} "
            "runs here"
        )
    if config.features.taps > MAX_TAPS:
        raise UnsupportedError(
            f"{keys.full(arch.taps_key)} is {config.features.taps:,}; at most {MAX_TAPS} runs here"
        )
    smallest, rope_dim = config.head_dim if arch.rope_whole_head else 2, config.rope_dim
    if rope_dim and (rope_dim % 2 or not smallest <= rope_dim <= config.head_dim):
        raise FormatError(
            f"{keys.full('rope.dimension_count')} is {config.rope_dim}; an even number "
            f"from {smallest} to {config.head_dim} is right"
        )
    widths = {"embedding_length": config.dim, "feed_forward_length": config.hidden_dim,
              "attention.key_length": config.head_dim,
              "dense_2_feat_out": config.features.projected,
              "ssm.state_size": config.features.scan_state,
              "ssm.time_step_rank": config.features.scan_heads,
              "ssm.inner_size": config.features.scan_heads * config.features.scan_width,
              "expert_shared_feed_forward_length": config.features.shared}  # fmt: skip
    for key, width in widths.items():
        if width % LANES:
            raise UnsupportedError(f"{keys.full(key)} is {width}; a multiple of {LANES} runs here")
    if arch.delta:
        _check_delta(config.features, keys)


def _check_delta(features: Features, keys: Keys) -> None:
    """Check what heads of the delta rule share, and how wide they are."""
    heads, groups = features.scan_heads, features.scan_groups
    if heads % groups:
        raise FormatError(
            f"{keys.full('ssm.group_count')} is {groups}, which does not divide "
            f"{keys.full('ssm.time_step_rank')}, {heads}"
        )
    if features.scan_state > MAX_KEY:
        raise UnsupportedError(
            f"{keys.full('ssm.state_size')} is {features.scan_state:,}; at most {MAX_KEY:,} runs "
            "here"
        )
    if features.scan_width % LANES:
        raise UnsupportedError(
            f"{keys.full('ssm.inner_size')} over {keys.full('ssm.time_step_rank')} is "
            f"{features.scan_width}; a multiple of {LANES} runs here"
        )


def _check_tensors(config: ModelConfig, header: GGUFHeader) -> None:
    """Check that exactly the tensors of the architecture are there, each of the right shape."""
    wanted = tensor_names(config)
    found = {tensor.name: tensor for tensor in header.tensors}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise FormatError(f"the file has no tensor {_some(missing)}")
    odd = [name for name in found if name not in wanted and is_run(config, name)]
    if odd:
        raise UnsupportedError(
            f"the file has the tensor {_some(odd)}, which {config.architecture} models here lack"
        )
    for name, shape in wanted.items():
        _check_tensor(found[name], shape)
    for name in (name for name in wanted if name.endswith(CONVOLUTIONS)):
        if found[name].type != F32:
            raise UnsupportedError(
                f"tensor {name!r} is stored as {found[name].type.name}; F32 runs for convolutions"
            )


def is_vector(tensor: TensorInfo) -> bool:
    """Whether the numbers of a tensor are taken one by one, and not by a product."""
    return len(tensor.shape) == 1 or tensor.name.endswith(VECTORS)


def _check_tensor(tensor: TensorInfo, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise FormatError(
            f"tensor {tensor.name!r} has the shape {tensor.shape}; {shape} is right, rows first"
        )
    if is_vector(tensor) and tensor.type not in (F32, F16):
        raise UnsupportedError(
            f"tensor {tensor.name!r} is stored as {tensor.type.name}; F32 or F16 run for vectors"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more
