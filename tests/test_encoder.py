"""Encoders: every position sees all others, and a text becomes a vector.

transformers' and llama.cpp's vectors of the same weights are recorded
(`vectors/record_architectures.py`); llama.cpp takes GELU from a table in half precision.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.test_architectures_peers import peer
from tests.test_browser_talk import ask
from tests.test_session import load
from tests.tiny_folders import ENCODERS, converted, recorded, write_folder
from tests.tiny_models import SPECS, make
from tests.vectors.record_architectures import ENCODED
from thimble import lens
from thimble.browser import Engine
from thimble.convert.folder import convert_folder
from thimble.errors import ContextError, NumericError, UnsupportedError
from thimble.gguf import read_header
from thimble.kernel import default_kernel
from thimble.model_config import config_from_header
from thimble.reference import ReferenceModel

TOLERANCE = {"f32": 2e-5, "f16": 5e-3, "q8_0": 0.05}
"""How far a number of a vector of length 1 may be from transformers'."""
TABLE = 1e-3
LONGEST = ENCODED[-1]


def of_length_1(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    found: NDArray[np.floating] = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return found


@pytest.mark.parametrize("kind", TOLERANCE)
@pytest.mark.parametrize("name", ENCODERS)
def test_vectors_are_the_peers(name: str, kind: str) -> None:
    model = load(converted(name, kind))
    ids = recorded()["models"][name]["encoded"]
    assert [model.tokenizer.encode(text) for text in ENCODED] == ids
    assert len(ids[-1]) >= 64
    found = np.array(thimble.embed(model, ENCODED))
    original = of_length_1(peer(f"transformers/{name}"))
    other = of_length_1(peer(f"llama.cpp/{name}/{kind}"))
    assert np.abs(found - original).max() < TOLERANCE[kind]
    assert np.abs(found - other).max() < TOLERANCE[kind] + TABLE
    if kind == "f32":
        exact = ReferenceModel(converted(name, kind))
        rows = of_length_1(np.stack([exact.vector(one) for one in ids]))
        assert np.abs(found - rows).max() < TOLERANCE[kind]


def test_threads_and_the_lens_change_no_bit_of_a_vector() -> None:
    model, kernel = load(converted("gemma-embedding-dense", "q8_0")), default_kernel()
    vector = model.embed(LONGEST)
    ids = model.tokenizer.encode(LONGEST)
    found, cache = model.run_with_cache(ids)
    assert found.shape == (1, model.config.dim)
    np.testing.assert_array_equal(np.float32(of_length_1(found[0].astype(np.float64))), vector)
    # Early tokens see late ones, in layers with a window those that are near.
    pattern = cache["blocks.0.attn.hook_pattern"]
    far = np.abs(np.subtract.outer(np.arange(len(ids)), np.arange(len(ids)))) > 12
    assert (pattern[:, far] == 0).all() and (pattern[:, ~far] > 0).all()
    assert (cache["blocks.5.attn.hook_pattern"] > 0).all()
    try:
        for threads in (2, 3, 7):
            kernel.call("threads", threads)
            assert model.embed(LONGEST) == vector
    finally:
        kernel.call("threads", 1)


@pytest.mark.parametrize("name", ["gemma-embedding", "bert-first", "nomic-bert", "modern-bert"])
def test_every_value_inside_is_the_references(name: str) -> None:
    data = converted(name, "f32")
    model = load(data)
    ids = model.tokenizer.encode(LONGEST)[:40]
    _, cache = model.run_with_cache(ids)
    expected = ReferenceModel(data).run(ids)
    for site in lens.site_names(model.config):
        value = expected[site].reshape(cache[site].shape)
        finite = np.isfinite(value)
        assert (np.isfinite(cache[site]) == finite).all(), site
        worst = np.abs(cache[site][finite] - value[finite]).max()
        assert worst <= 1e-4 * np.abs(value[finite]).max(), site


def test_a_value_that_is_changed_inside_flows_into_the_vector() -> None:
    model = load(converted("gemma-embedding", "f32"))

    def quiet(values: Any, _hook: Any) -> None:
        values[-1] = 0

    plain = model.run_with_hooks(LONGEST)
    assert (model.run_with_hooks(LONGEST, [("blocks.2.attn.hook_z", quiet)]) != plain).any()


def test_an_encoder_writes_no_text_and_says_so() -> None:
    model = load(converted("gemma-embedding", "f32"))
    with pytest.raises(UnsupportedError, match="is an encoder: it gives vectors"):
        model.session()
    for look in (
        lambda: lens.logit_lens(model, LONGEST),
        lambda: lens.logit_attribution(model, LONGEST),
        lambda: lens.rank_heads(model, [LONGEST]),
    ):
        with pytest.raises(UnsupportedError, match="it leaves vectors, no logits"):
            look()
    with pytest.raises(ContextError, match="the context holds 128"):
        model.embed(LONGEST * 4)


def test_the_page_says_so_at_the_first_bytes_and_goes_on() -> None:
    engine = Engine()
    load_id = ask(engine, "begin_load", "encoder", None, None)
    data = converted("gemma-embedding", "f32")
    answer = json.loads(engine.call("feed", load_id, data[: len(data) // 2]))
    assert answer["error"][0] == "UnsupportedError"
    assert "'encoder' is an encoder: it gives vectors" in answer["error"][1]
    load_id = ask(engine, "begin_load", "tiny", None, None)
    ask(engine, "feed", load_id, make(SPECS["q8_0-tied"]))
    ask(engine, "finish", load_id)
    assert isinstance(ask(engine, "open", "tiny", "{}"), int)


def test_a_value_that_is_not_finite_is_said() -> None:
    data = bytearray(converted("gemma-embedding", "f32"))
    header = read_header(bytes(data), file_size=len(data))
    place = next(t for t in header.tensors if t.name == "blk.3.ffn_down.weight")
    data[place.offset : place.offset + place.nbytes] = np.full(
        place.nbytes // 4, 3e38, "<f4"
    ).tobytes()
    with pytest.raises(NumericError, match="not finite after layer 3"):
        load(bytes(data)).embed(LONGEST)


def test_a_vector_is_the_first_positions_or_the_mean_of_all() -> None:
    ids = recorded()["models"]["bert-first"]["encoded"][-1]
    first, mean = (load(converted(name, "f32")) for name in ("bert-first", "bert"))
    for model, wanted in ((first, 0), (mean, slice(None))):
        vector, cache = model.run_with_cache(ids)
        rows = np.atleast_2d(cache["blocks.1.hook_resid_post"][wanted]).mean(axis=0)
        np.testing.assert_allclose(vector[0], rows, rtol=1e-5, atol=1e-6)


def test_the_first_of_three_layers_sees_everything_in_modern_bert() -> None:
    model = load(converted("modern-bert", "f32"))
    _, cache = model.run_with_cache(recorded()["models"]["modern-bert"]["encoded"][-1])
    seen = [bool((cache[f"blocks.{i}.attn.hook_pattern"][:, -1, 0] > 0).all()) for i in range(4)]
    assert seen == [True, False, False, True]
    assert "blocks.0.ln1.hook_scale" not in cache and "blocks.1.ln1.hook_scale" in cache


@pytest.mark.parametrize(("key", "value", "words"), [
    ("attention.causal", True, "attention.causal is True; False runs here"),
    ("pooling_type", 2, "pooling_type is 2; 1 runs here"),
])  # fmt: skip
def test_a_file_of_another_kind_is_refused(key: str, value: object, words: str) -> None:
    header = read_header(converted("gemma-embedding", "f32"))
    metadata = {**header.metadata, f"gemma-embedding.{key}": value}
    with pytest.raises(UnsupportedError, match=words):
        config_from_header(replace(header, metadata=metadata))


def test_a_dense_layer_with_a_function_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "encoder", "gemma-embedding-dense")
    config = folder / "2_Dense" / "config.json"
    config.write_text(config.read_text().replace("linear.Identity", "activation.Tanh"))
    with pytest.raises(UnsupportedError, match=r"2_Dense/config\.json has .*Tanh"):
        convert_folder(folder, tmp_path / "out.gguf", "f32")
