"""Mixtures of experts: a router chooses some of each layer's feed-forward blocks for each token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thimble
from tests.fingerprint import logits_hash
from tests.test_session import load
from tests.test_state import ids_for
from tests.tiny_folders import converted, recorded, write_folder
from thimble.convert.folder import convert_folder
from thimble.errors import FormatError, HookError, UnsupportedError
from thimble.gguf import read_header
from thimble.model_config import config_from_header
from thimble.quantize import quantize_file

WEIGHTS, INDICES = "mlp.hook_expert_weights", "mlp.hook_expert_indices"


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    return load(converted("olmoe", "f32"))


def test_the_best_experts_are_chosen_by_the_softmax_of_all(model: thimble.Model) -> None:
    _, cache = model.run_with_cache(ids_for(model, 20))
    for layer in range(2):
        logits = cache[f"blocks.{layer}.mlp.hook_router"]
        assert logits.shape == (20, 6)
        shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        order = np.argsort(-shares, axis=-1)[:, :3]
        assert (cache[f"blocks.{layer}.{INDICES}"] == order).all()
        found = cache[f"blocks.{layer}.{WEIGHTS}"]
        np.testing.assert_allclose(found, np.take_along_axis(shares, order, -1), rtol=1e-5)
        assert (found.sum(axis=-1) < 1).all()  # they are not made to add up


@pytest.mark.parametrize("name", ["qwen3moe", "granitemoe"])
def test_shares_of_the_chosen_add_up_where_the_architecture_says_so(name: str) -> None:
    model = load(converted(name, "f32"))
    _, cache = model.run_with_cache(ids_for(model, 20))
    chosen = np.sort(np.exp(cache["blocks.1.mlp.hook_router"]), axis=-1)[:, :-4:-1]
    wanted = chosen / chosen.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(cache[f"blocks.1.{WEIGHTS}"], wanted, rtol=1e-5)


def test_a_matrix_of_gates_and_their_partners_that_cannot_be_halved_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = recorded()["models"]["granitemoe"]
    name = "model.layers.1.block_sparse_moe.input_linear.weight"
    monkeypatch.setitem(
        recorded()["models"],
        "granitemoe",
        {**record, "tensors": {**record["tensors"], name: [6, 63, 64]}},
    )
    folder = write_folder(tmp_path / "granitemoe", "granitemoe")
    with pytest.raises(FormatError, match=r"input_linear.*\(6, 63, 64\); an even number of rows"):
        convert_folder(folder, tmp_path / "out.gguf", "f32")


def test_a_hook_may_choose_other_experts_and_none_that_there_is_not(model: thimble.Model) -> None:
    ids = ids_for(model, 8)
    plain = model.run_with_hooks(ids)

    def choose(number: float) -> Any:
        def change(values: Any, _hook: Any) -> None:
            values[:] = number

        return [(f"blocks.1.{INDICES}", change)]

    changed = model.run_with_hooks(ids, choose(4))
    assert np.isfinite(changed).all() and (changed != plain).any()
    for number in (6, -1, 0.5):
        with pytest.raises(HookError, match=r"layer 1 .* an expert that there is not"):
            model.run_with_hooks(ids, choose(number))
    assert (model.run_with_hooks(ids) == plain).all()


@pytest.mark.parametrize(("key", "value", "error", "words"), [
    ("expert_count", 0, FormatError, "expert_count is 0; a whole number from 1"),
    ("expert_count", 7, FormatError, r"gate_inp\.weight' has the shape \(6, 64\); \(7, 64\)"),
    ("expert_count", 5000, UnsupportedError, "expert_count is 5,000; at most 1,024 run here"),
    ("expert_used_count", 0, FormatError, "expert_used_count is 0; a whole number from 1"),
    ("expert_used_count", 7, FormatError, "expert_used_count is 7, but there are 6 experts"),
    ("attention.clamp_kqv", 8.0, UnsupportedError, r"clamp_kqv is 8\.0; 0\.0 runs here"),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(
    key: str, value: object, error: type[Exception], words: str
) -> None:
    header = read_header(converted("olmoe", "f32"))
    with pytest.raises(error, match=words):
        config_from_header(replace(header, metadata={**header.metadata, f"olmoe.{key}": value}))


def test_an_expert_that_is_missing_in_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = recorded()["models"]["olmoe"]
    gone = "model.layers.0.mlp.experts.2.up_proj.weight"
    tensors = {name: shape for name, shape in record["tensors"].items() if name != gone}
    monkeypatch.setitem(recorded()["models"], "olmoe", {**record, "tensors": tensors})
    folder = write_folder(tmp_path / "olmoe", "olmoe")
    with pytest.raises(FormatError, match=r"experts of .*up_proj.* are numbers \[0, 1, 3, 4, 5\]"):
        convert_folder(folder, tmp_path / "out.gguf", "f32")


def test_experts_are_quantized_and_the_router_is_not(tmp_path: Path) -> None:
    source = tmp_path / "f32.gguf"
    source.write_bytes(converted("olmoe", "f32"))
    quantize_file(source, tmp_path / "q8_0.gguf", "q8_0")
    data = (tmp_path / "q8_0.gguf").read_bytes()
    types = {t.name: t.type.name for t in read_header(data, file_size=len(data)).tensors}
    assert types["blk.1.ffn_down_exps.weight"] == "Q8_0"
    assert types["blk.1.ffn_gate_inp.weight"] == "F32"
    assert logits_hash(load(data)) == logits_hash(load(converted("olmoe", "q8_0")))


def test_a_token_reads_the_experts_that_it_uses(model: thimble.Model) -> None:
    c, call, address = model.config, model.kernel.call, model.weights.address
    layer = 2 * c.dim * c.dim * 2 + 6 * c.dim + 3 * 3 * c.dim * c.hidden_dim
    products = c.n_layers * layer + c.n_vocab * c.dim
    assert call("machine_products", address, 1) == products
    assert call("machine_products", address, 0) == 0
