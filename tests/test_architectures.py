"""What a file has to say before it is a model that runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import SPECS, TinySpec, make
from thimble.errors import FormatError, ThimbleError, UnsupportedError
from thimble.gguf import GGUFHeader, TensorInfo, read_file_header, read_header
from thimble.model_config import (
    ARCHITECTURES,
    Features,
    ModelConfig,
    config_from_header,
    tensor_names,
)
from thimble.tensor_types import BF16, F16, F32, Q8_0

MODELS = Path(__file__).parents[2] / "shared" / "models"
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason=f"there is no folder {MODELS}")

HEADER = read_header(make(TinySpec()))


def changed(metadata: dict[str, Any] | None = None, *, without: str = "") -> GGUFHeader:
    """Return a good header with some keys changed, or without one."""
    pairs = HEADER.metadata | (metadata or {})
    return replace(HEADER, metadata={k: v for k, v in pairs.items() if k != without})


def with_tensors(*, without: str = "", extra: tuple[TensorInfo, ...] = (), **changes: Any) -> Any:
    """Return a good header without a tensor, with others, or with blk.0.attn_k.weight changed."""
    found = [
        replace(t, **changes) if t.name == "blk.0.attn_k.weight" else t
        for t in HEADER.tensors
        if t.name != without
    ]
    return replace(HEADER, tensors=(*found, *extra))


@pytest.mark.parametrize("name", SPECS)
def test_a_tiny_model_is_what_its_spec_says(name: str) -> None:
    spec = SPECS[name]
    header = read_header(make(spec))
    config = config_from_header(header)
    assert config == ModelConfig(
        architecture="llama",
        name=f"tiny-{spec.tensor_type.lower()}-{spec.seed}",
        n_layers=spec.n_layers,
        dim=spec.dim,
        n_heads=spec.n_heads,
        n_kv_heads=spec.n_kv_heads,
        head_dim=spec.head_dim,
        hidden_dim=spec.hidden_dim,
        n_vocab=len(header.metadata["tokenizer.ggml.tokens"]),
        n_ctx=spec.n_ctx,
        norm_eps=config.norm_eps,
        rope_base=spec.rope_base,
        rope_dim=spec.head_dim,
        rope_interleaved=True,
        rope_scale_linear=spec.rope_scale or 1.0,
        rope_freqs=spec.rope_freqs,
        tied_output=spec.tied,
    )
    assert config.norm_eps == pytest.approx(spec.norm_eps)
    assert tensor_names(config) == {t.name: t.shape for t in header.tensors}


@needs_models
def test_real_models_run() -> None:
    stories = config_from_header(read_file_header(MODELS / "stories260K.gguf"))
    assert (stories.n_layers, stories.dim, stories.hidden_dim) == (5, 64, 172)
    assert (stories.n_heads, stories.n_kv_heads, stories.head_dim) == (8, 4, 8)
    assert (stories.n_vocab, stories.n_ctx, stories.tied_output) == (512, 2048, False)
    llama = config_from_header(read_file_header(MODELS / "llama-2-tiny-random.gguf"))
    assert (llama.n_vocab, llama.head_dim) == (32000, 4)


def test_defaults_take_the_place_of_optional_keys() -> None:
    usual = config_from_header(HEADER)
    assert usual.rope_base == 10000.0
    for key in ("llama.rope.freq_base", "llama.rope.dimension_count", "general.name"):
        assert config_from_header(changed(without=key)) == replace(
            usual, name="" if key == "general.name" else usual.name
        )


def test_the_vocabulary_is_counted_by_its_tokens_or_its_key() -> None:
    n = len(HEADER.metadata["tokenizer.ggml.tokens"])
    keyed = changed({"llama.vocab_size": n}, without="tokenizer.ggml.tokens")
    assert config_from_header(keyed).n_vocab == n
    assert config_from_header(changed({"llama.vocab_size": n})).n_vocab == n
    with pytest.raises(FormatError, match=f"vocab_size is 9, but .* has {n}"):
        config_from_header(changed({"llama.vocab_size": 9}))
    with pytest.raises(FormatError, match=r"llama\.vocab_size is missing"):
        config_from_header(changed(without="tokenizer.ggml.tokens"))


def test_yarn_slows_down_what_turns_slowly() -> None:
    def features(base: float = 10000.0, **keys: Any) -> Features:
        pairs = {f"llama.rope.scaling.{key}": value for key, value in keys.items()}
        pairs |= {"llama.rope.scaling.type": "yarn", "llama.rope.freq_base": base}
        return config_from_header(changed(pairs)).features

    pairs = TinySpec().head_dim // 2
    assert features(factor=1.0, original_context_length=64).rope_divisors == (1.0,) * pairs
    found = features(factor=4.0, original_context_length=4096)
    assert found.rope_divisors[0] == 1.0
    assert list(found.rope_divisors) == sorted(found.rope_divisors)
    assert found.rope_divisors[-1] == 4.0
    assert found.attention_factor == pytest.approx(1.0 + 0.1 * math.log(4.0))
    more = features(factor=4.0, attn_factor=0.5)
    assert more.attention_factor == pytest.approx(found.attention_factor / 2)
    bad: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "factor is missing"),
        ({"factor": 0.5}, r"factor is 0\.5; 1 to 1048576 is right"),
        ({"factor": 1e30}, r"factor is 1e\+30"),
        ({"factor": 2.0, "yarn_beta_fast": 1e-30}, "yarn_beta_fast is 1e-30"),
        ({"factor": 2.0, "original_context_length": 0}, "original_context_length is 0"),
        ({"factor": 2.0, "base": 1.0}, r"freq_base is 1\.0; above 1 is right"),
    )
    for keys, words in bad:
        with pytest.raises(FormatError, match=words):
            features(**keys)


def test_scaling_is_none_or_linear() -> None:
    def scale(**keys: Any) -> float:
        pairs = {f"llama.rope.{key.replace('__', '.')}": value for key, value in keys.items()}
        return config_from_header(changed(pairs)).rope_scale_linear

    assert scale(scaling__type="none", scaling__factor=4.0) == 1.0
    assert scale(scaling__type="linear", scaling__factor=4.0) == 4.0
    assert scale(scaling__type="linear") == 1.0
    assert scale(scaling__factor=2.0) == 2.0
    assert scale(scale_linear=8.0) == 8.0
    assert scale(scaling__type="yarn", scaling__factor=4.0) == 1.0  # by YaRN's divisors instead
    with pytest.raises(UnsupportedError, match="'longrope'; 'none', 'linear' and 'yarn' run here"):
        scale(scaling__type="longrope", scaling__factor=4.0)
    with pytest.raises(FormatError, match="above 0"):
        scale(scaling__factor=-1.0)


@pytest.mark.parametrize("key", [
    "llama.context_length", "llama.embedding_length", "llama.block_count",
    "llama.feed_forward_length", "llama.attention.head_count",
    "llama.attention.layer_norm_rms_epsilon", "general.architecture",
])  # fmt: skip
def test_required_keys_are_named_when_missing(key: str) -> None:
    with pytest.raises(FormatError, match=key.replace(".", r"\.")):
        config_from_header(changed(without=key))


@pytest.mark.parametrize("key", [
    "llama.context_length", "llama.embedding_length", "llama.block_count",
    "llama.feed_forward_length", "llama.attention.head_count", "llama.attention.head_count_kv",
    "llama.attention.key_length", "llama.attention.value_length", "llama.rope.dimension_count",
    "llama.vocab_size",
])  # fmt: skip
@pytest.mark.parametrize("value", [0, -1, 1 << 40, 2.0, True, "x", [], [1, 2]])
def test_numbers_out_of_range_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ThimbleError, match=key.replace(".", r"\.")):
        config_from_header(changed({key: value}))


@pytest.mark.parametrize("key", [
    "llama.rope.freq_base", "llama.attention.layer_norm_rms_epsilon",
])  # fmt: skip
@pytest.mark.parametrize(
    "value", [0.0, -1.0, float("nan"), float("inf"), 1e300, 5e-41, "x", True, [1.0]]
)
def test_floats_out_of_range_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(FormatError, match=key.replace(".", r"\.")):
        config_from_header(changed({key: value}))


@pytest.mark.parametrize(("keys", "error", "words"), [
    ({"general.architecture": "mamba"}, UnsupportedError, "'mamba' does not run here; llama"),
    ({"general.architecture": 3}, FormatError, "names the architecture"),
    ({"general.name": 3}, FormatError, "a string is right"),
    ({"llama.expert_count": 8}, UnsupportedError, "expert_count is 8"),
    ({"llama.attention.causal": False}, UnsupportedError, "causal is False"),
    ({"llama.attention.head_count_kv": 3}, FormatError, "4 heads do not share 3"),
    ({"llama.attention.head_count_kv": [2, 1]}, UnsupportedError, "differs between layers"),
    ({"llama.attention.head_count": 3}, FormatError, "key_length is missing"),
    ({"llama.rope.dimension_count": 8}, FormatError, "from 16 to 16"),
    ({"llama.rope.dimension_count": 18}, FormatError, "from 16 to 16"),
    ({"llama.attention.value_length": 8}, UnsupportedError, "the length of the keys, 16"),
    ({"llama.embedding_length": 66, "llama.attention.key_length": 16}, UnsupportedError,
     "multiple of 4"),
    ({"llama.block_count": 1 << 20}, FormatError, "only 21 tensors"),
    ({"llama.block_count": 3}, FormatError, "no tensor 'blk.2.attn_norm.weight'"),
    ({"llama.block_count": 1}, UnsupportedError, "the tensor 'blk.1.attn_norm.weight'"),
    ({"llama.feed_forward_length": 64}, FormatError, r"(96, 64); (64, 64) is right"),
    ({"llama.attention.head_count_kv": 4}, FormatError, r"(32, 64); (64, 64) is right"),
])  # fmt: skip
def test_what_does_not_fit_together_is_refused(
    keys: dict[str, Any], error: type[ThimbleError], words: str
) -> None:
    with pytest.raises(error) as caught:
        config_from_header(changed(keys))
    assert words in str(caught.value)


def test_one_number_for_each_layer_is_fine_when_they_agree() -> None:
    listed = changed({"llama.attention.head_count_kv": [2, 2]})
    assert config_from_header(listed) == config_from_header(HEADER)


def test_missing_odd_and_misshapen_tensors_are_named() -> None:
    with pytest.raises(FormatError, match=r"no tensor 'blk\.0\.attn_k\.weight'"):
        config_from_header(with_tensors(without="blk.0.attn_k.weight"))
    bias = TensorInfo("blk.0.attn_k.bias", (32,), F32, 1 << 20, 128, 32)
    with pytest.raises(UnsupportedError, match=r"'blk\.0\.attn_k\.bias', which llama models"):
        config_from_header(with_tensors(extra=(bias,)))
    with pytest.raises(FormatError, match=r"\(64, 32\); \(32, 64\) is right"):
        config_from_header(with_tensors(shape=(64, 32)))
    with pytest.raises(FormatError, match=r"\(32, 64, 1\); \(32, 64\) is right"):
        config_from_header(with_tensors(shape=(32, 64, 1)))


def test_vectors_are_floats() -> None:
    def norm(kind: Any) -> GGUFHeader:
        found = [replace(t, type=kind) if "norm" in t.name else t for t in HEADER.tensors]
        return replace(HEADER, tensors=tuple(found))

    config_from_header(norm(F16))
    for kind in (BF16, Q8_0):
        with pytest.raises(UnsupportedError, match="F32 or F16 run for vectors"):
            config_from_header(norm(kind))


def test_a_architecture_is_one_entry() -> None:
    for name, arch in ARCHITECTURES.items():
        assert arch.name == name
        assert not arch.causal or "output.weight" in {**arch.optional, **arch.tensors}
