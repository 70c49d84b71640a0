"""Llama 4 without experts: which layers have RoPE, norms without weights, and tempered queries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.fingerprint import load
from tests.tiny_folders import converted, recorded
from thimble import lens
from thimble.convert.config import Settings, keys
from thimble.errors import FormatError, UnsupportedError
from thimble.gguf import read_header
from thimble.model_config import ModelConfig, config_from_header

IDS = [(i * 7) % 300 for i in range(40)]


def config_with(name: str = "llama4", **changed: Any) -> ModelConfig:
    """A model's configuration with keys changed; None leaves one out."""
    header = read_header(converted(name, "f32"))
    own = {f"llama4.{key.replace('__', '.')}": value for key, value in changed.items()}
    found = {key: value for key, value in (header.metadata | own).items() if value is not None}
    return config_from_header(replace(header, metadata=found))


def test_queries_without_rope_grow_with_their_position() -> None:
    model = load(converted("llama4-tempered", "f32"))
    names = lens.site_names(model.config)
    assert "blocks.3.attn.hook_tempered_q" in names
    assert "blocks.3.attn.hook_rot_q" not in names and "blocks.2.attn.hook_rot_q" in names
    _, cache = model.run_with_cache(IDS)
    q, grown = (
        np.asarray(cache[f"blocks.3.attn.{one}"]).reshape(len(IDS), -1)
        for one in ("hook_q", "hook_tempered_q")
    )
    factor = 1 + 0.25 * np.log1p((np.arange(len(IDS)) + 1) // 5)
    np.testing.assert_allclose(grown, q * factor[:, None], rtol=1e-6)


def test_a_file_says_whether_layers_see_chunks() -> None:
    chunked = config_with()
    assert [chunked.features.uses_rope(i) for i in range(4)] == [True, True, True, False]
    assert config_with(context_length=1 << 20).n_ctx == 8192
    wholly = config_with(attention__sliding_window=0, context_length=1 << 20)
    assert all(wholly.features.uses_rope(i) for i in range(4)) and wholly.n_ctx == 1 << 20
    assert wholly.features.temper_scale == 0.0 and config_with("llama4-rope").n_ctx == 128
    usual = config_with(attention__temperature_scale=None, attention__temperature_length=None)
    assert (usual.features.temper_scale, usual.features.temper_length) == (0.1, 8192)
    assert config_with(attention__temperature_scale=0.0).features.temper_scale == 0.0


@pytest.mark.parametrize(("key", "value", "error", "words"), [
    ("expert_count", 16, UnsupportedError, "llama4.expert_count is 16; 0 runs here"),
    ("attention__temperature_length", 0, FormatError, "temperature_length is 0; a whole number"),
    ("attention__temperature_scale", -0.1, FormatError, "temperature_scale is -0.1; a float above"),
    ("attention__temperature_scale", "x", FormatError, "temperature_scale is 'x'"),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(
    key: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        config_with(**{key: value})


FULL, CHUNKED = "full_attention", "chunked_attention"


@pytest.mark.parametrize(("changes", "words"), [
    ({"num_local_experts": 16}, "num_local_experts in config.json is 16"),
    ({"moe_layers": [1, 3]}, "moe_layers in config.json is"),
    ({"use_qk_norm": False}, "use_qk_norm in config.json is False"),
    ({"no_rope_layers": [1, 1, 0, 1]}, "no_rope_layers in config.json is"),
    ({"layer_types": [CHUNKED, FULL, FULL, FULL]}, "layer_types in config.json is"),
    ({"attention_chunk_size": 64}, "attention_chunk_size in config.json is 64; 8192 with a layer"),
    ({"no_rope_layers": [1] * 4, "layer_types": [CHUNKED] * 4,
      "max_position_embeddings": 32768}, "attention_chunk_size in config.json is 8192"),
])  # fmt: skip
def test_settings_that_do_not_run_are_named(changes: dict[str, object], words: str) -> None:
    config = recorded()["models"]["llama4"]["config"]
    with pytest.raises(UnsupportedError, match=words):
        keys(Settings({**config, **changes}))


def test_layers_that_all_have_rope_see_everything() -> None:
    config = recorded()["models"]["llama4"]["config"]
    said = {**config, "no_rope_layers": [1] * 4, "layer_types": [FULL] * 4}
    found = keys(Settings({**said, "max_position_embeddings": 32768}))
    assert found["attention.sliding_window"] == 0 and found["context_length"] == 32768
    assert "attention.temperature_scale" not in found
    # In chunks that hold the whole context it is the same.
    found = keys(Settings({**said, "layer_types": [CHUNKED] * 4}))
    assert found["attention.sliding_window"] == 0
    untuned = keys(Settings({**config, "attn_temperature_tuning": False}))
    assert untuned["attention.temperature_scale"] == 0.0
