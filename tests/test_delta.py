"""Qwen3.5: the gated delta rule's heads, layers that predict further tokens, and its folders.

What all architectures have in common is tested where they all are; `test_scan.py` cuts, forks and
grows its states."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import thimble
from tests.fingerprint import load
from tests.test_architectures_peers import logits
from tests.tiny_folders import (
    converted,
    recorded,
    values,
    write_folder,
    write_safetensors,
    write_weights,
)
from tests.tiny_models import random_values
from thimble import lens
from thimble.convert.config import Settings, keys
from thimble.convert.folder import convert_folder
from thimble.convert.peft import convert_peft, write_peft
from thimble.convert.safetensors import read_file
from thimble.errors import FormatError, UnsupportedError
from thimble.footprint import weights_bytes
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.model_config import config_from_header
from thimble.program import FIXED, KEYS_VALUES, state_forms
from thimble.reference import ReferenceModel
from thimble.tensor_types import F32
from thimble.train.finetune import Base

IDS = [(i * 7) % 300 for i in range(40)]


def rewritten(data: bytes, more: dict[str, tuple[int, ...]], **changed: object) -> bytes:
    """The same file with more tensors, and keys changed; None leaves one out."""
    header, writer = read_header(data, file_size=len(data)), GGUFWriter()
    found = header.metadata | {f"qwen35.{k}".replace("__", "."): v for k, v in changed.items()}
    for key, value in found.items():
        if value is not None:
            writer.add(key, list(value) if hasattr(value, "packed") else value)
    for tensor in header.tensors:
        raw = data[tensor.offset : tensor.offset + tensor.nbytes]
        writer.add_tensor(tensor.name, tensor.shape, tensor.type, raw)
    for i, (name, shape) in enumerate(more.items()):
        writer.add_tensor(name, shape, F32, random_values(i, shape, 1.0))
    return writer.to_bytes()


NEXTN = {
    "blk.4.nextn.eh_proj.weight": (64, 128),
    "blk.4.nextn.enorm.weight": (64,),
    "blk.4.attn_q.weight": (256, 64),
    "blk.4.ffn_up.weight": (96, 64),
}


def test_layers_that_predict_further_tokens_are_not_loaded() -> None:
    plain = converted("qwen35", "f32")
    data = rewritten(plain, NEXTN, block_count=5, nextn_predict_layers=1)
    model, other = load(data), load(plain)
    assert model.config == other.config and model.config.n_layers == 4
    assert model.nbytes == other.nbytes
    header = read_header(data)
    assert weights_bytes(model.kernel, header.tensors, model.config) == model.nbytes
    assert np.array_equal(logits(model, IDS), logits(other, IDS))
    assert [tensor.name for tensor in model.tensors] == [t.name for t in other.tensors]
    recipe = {"lora_rank": 2, "context": 16}
    bases = Base(data), Base(plain)
    assert bases[0].recipe(recipe).lora_matrices == bases[1].recipe(recipe).lora_matrices
    found = ReferenceModel(data).logits(IDS[:8])
    assert np.array_equal(found, ReferenceModel(plain).logits(IDS[:8]))


def test_layers_with_attention_may_be_listed() -> None:
    plain = converted("qwen35", "q8_0")
    listed = rewritten(
        plain, {}, full_attention_interval=None,
        attention__recurrent_layers=[True, True, True, False],
    )  # fmt: skip
    counted = rewritten(plain, {}, attention__head_count_kv=[0, 0, 0, 2])
    for data in (listed, counted):
        assert config_from_header(read_header(data)) == config_from_header(read_header(plain))
    kinds = [form.kind for form in state_forms(config_from_header(read_header(plain)))]
    assert kinds == [FIXED] * 6 + [KEYS_VALUES]


def test_the_lens_sees_the_delta_rule_and_the_gate() -> None:
    model = load(converted("qwen35", "f32"))
    names = lens.site_names(model.config)
    assert "blocks.0.ssm.hook_beta" in names and "blocks.3.attn.hook_gated" in names
    _, cache = model.run_with_cache(IDS)
    z, gate, gated = (
        np.asarray(cache[f"blocks.3.attn.{one}"]) for one in ("hook_z", "hook_gate", "hook_gated")
    )
    np.testing.assert_allclose(gated, z / (1 + np.exp(-gate)), rtol=1e-5, atol=1e-6)
    parts = lens.logit_attribution(model, IDS)
    assert [part.label for part in parts.parts if part.kind == "scan"] == [
        "SCAN0", "SCAN1", "SCAN2",
    ]  # fmt: skip
    assert abs(parts.rest) < 1e-3

    def shut(found: np.ndarray, hook: object) -> None:
        found[:] = -1e4  # nothing is taken up, so nothing can be read

    _, changed = model.run_with_cache(IDS, fwd_hooks=[("blocks.0.ssm.hook_beta", shut)])
    assert not np.asarray(changed["blocks.0.hook_ssm_out"]).any()


@pytest.mark.parametrize(("key", "value", "error", "words"), [
    ("ssm.group_count", 3, FormatError, "group_count is 3, which does not divide .*rank, 4"),
    ("ssm.group_count", 4, FormatError, r"attn_qkv\.weight' has the shape \(256, 64\)"),
    ("ssm.state_size", 2048, UnsupportedError, "state_size is 2,048; at most 1,024 runs here"),
    ("ssm.state_size", 30, UnsupportedError, "state_size is 30; a multiple of 4 runs here"),
    ("ssm.inner_size", 8, UnsupportedError, "inner_size over .* is 2; a multiple of 4 runs here"),
    ("ssm.time_step_rank", 6, FormatError, "time_step_rank is 6, which does not divide"),
    ("full_attention_interval", 2, FormatError, r"the file has no tensor 'blk\.1\.attn_q\.weight'"),
    ("full_attention_interval", 0, FormatError, "full_attention_interval is 0; a whole number"),
    ("attention.recurrent_layers", [True], FormatError, "recurrent_layers is .* of 4 layers"),
    ("attention.recurrent_layers", [2] * 4, FormatError, "recurrent_layers is .* of 4 layers"),
    ("nextn_predict_layers", 4, FormatError, "nextn_predict_layers is 4; less than the 4 blocks"),
    ("nextn_predict_layers", -1, FormatError, "nextn_predict_layers is -1; a whole number"),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(
    key: str, value: object, error: type[Exception], words: str
) -> None:
    header = read_header(converted("qwen35", "f32"))
    with pytest.raises(error, match=words):
        config_from_header(replace(header, metadata={**header.metadata, f"qwen35.{key}": value}))


@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"linear_num_key_heads": 3}, FormatError, "group_count is 3, which does not divide .* 4"),
    ({"linear_num_value_heads": 8}, FormatError, r"attn_qkv\.weight' has the shape \(256, 64\)"),
    ({"layer_types": ["full_attention"] + ["linear_attention"] * 3}, UnsupportedError,
     "one layer of so many with full attention, the last of them"),
    ({"layer_types": ["mamba"] * 4}, FormatError, "'linear_attention' or 'full_attention'"),
    ({"attention_bias": True}, UnsupportedError, "attention_bias in config.json is True"),
    ({"rope_parameters": {"mrope_section": [1, 2]}}, FormatError, "mrope_section .* 3 numbers"),
])  # fmt: skip
def test_settings_that_do_not_run_are_named(
    tmp_path: Path, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    folder = write_folder(tmp_path / "qwen35", "qwen35")
    config = recorded()["models"]["qwen35"]["config"]
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(error, match=words):
        convert_folder(folder, tmp_path / "out.gguf", "f32")
    assert not (tmp_path / "out.gguf").exists()


def test_a_folder_that_says_little_is_qwen35s_own() -> None:
    said = {
        "model_type": "qwen3_5_text", "hidden_size": 1024, "intermediate_size": 3584,
        "num_hidden_layers": 24, "num_attention_heads": 8, "num_key_value_heads": 2,
        "max_position_embeddings": 262144, "rope_parameters": {"rope_theta": 1e7},
    }  # fmt: skip
    found = keys(Settings(said))
    assert found["full_attention_interval"] == 4 and found["attention.key_length"] == 256
    assert found["rope.dimension_count"] == 64 and sum(found["rope.dimension_sections"]) == 32
    assert (found["ssm.group_count"], found["ssm.time_step_rank"]) == (16, 32)
    assert (found["ssm.state_size"], found["ssm.inner_size"]) == (128, 4096)


def test_of_a_model_that_sees_the_half_that_reads_is_taken(tmp_path: Path) -> None:
    record, folder = recorded()["models"]["qwen35"], write_folder(tmp_path / "qwen35", "qwen35")
    own = values("qwen35", {k: tuple(v) for k, v in record["tensors"].items()})
    whole = {name.replace("model.", "model.language_model.", 1): w for name, w in own.items()}
    for name in ("model.visual.blocks.0.norm1.weight", "mtp.layers.0.self_attn.q_proj.weight"):
        whole[name] = np.ones((2, 2), dtype=np.float32)
    write_weights(folder, whole)
    text = {k: v for k, v in record["config"].items() if k != "tie_word_embeddings"}
    outside = {"model_type": "qwen3_5", "text_config": text, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(outside))
    convert_folder(folder, tmp_path / "out.gguf", "f32")
    found, other = load((tmp_path / "out.gguf").read_bytes()), load(converted("qwen35", "f32"))
    assert np.array_equal(logits(found, IDS), logits(other, IDS))


ADAPTED = {
    "layers.0.linear_attn.in_proj_qkv": (256, 64),
    "layers.0.linear_attn.in_proj_z": (128, 64),
    "layers.1.linear_attn.in_proj_a": (4, 64),
    "layers.1.linear_attn.in_proj_b": (4, 64),
    "layers.2.linear_attn.out_proj": (64, 128),
    "layers.3.self_attn.q_proj": (256, 64),
    "layers.1.mlp.down_proj": (64, 96),
}
"""A module and the shape of its matrix."""


def peft_folder(folder: Path, shapes: dict[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    """An adapter as PEFT saves it; what it adds to each matrix."""
    config = {
        "peft_type": "LORA", "r": 4, "lora_alpha": 4, "bias": "none",
        "target_modules": sorted({name.rpartition(".")[2] for name in shapes}),
    }  # fmt: skip
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors, added = {}, {}
    for i, (name, (rows, cols)) in enumerate(shapes.items()):
        a, b = random_values(2 * i, (4, cols), 0.3), random_values(2 * i + 1, (rows, 4), 0.3)
        tensors[f"base_model.model.model.{name}.lora_A.weight"] = a
        tensors[f"base_model.model.model.{name}.lora_B.weight"] = b
        added[f"model.{name}.weight"] = b @ a
    write_safetensors(folder / "adapter_model.safetensors", tensors, "F32")
    return added


def test_an_adapter_of_pefts_is_what_it_adds_to_the_folder(tmp_path: Path) -> None:
    """Value heads lie in another order there."""
    record, folder = recorded()["models"]["qwen35"], write_folder(tmp_path / "qwen35", "qwen35")
    added = peft_folder(tmp_path / "lora", ADAPTED)
    convert_peft(tmp_path / "lora", tmp_path / "a.gguf", folder)
    (tmp_path / "base.gguf").write_bytes(converted("qwen35", "f32"))
    convert_peft(tmp_path / "lora", tmp_path / "b.gguf", tmp_path / "base.gguf")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    own = values("qwen35", {k: tuple(v) for k, v in record["tensors"].items()})
    write_weights(folder, {name: w + added.get(name, 0) for name, w in own.items()})
    convert_folder(folder, tmp_path / "merged.gguf", "f32")
    model = thimble.load(tmp_path / "base.gguf")
    before = logits(model, IDS)
    model.adapt(tmp_path / "a.gguf")
    found, wanted = logits(model, IDS), logits(thimble.load(tmp_path / "merged.gguf"), IDS)
    assert np.abs(found - before).max() > 0.1
    assert np.abs(found - wanted).max() < 2e-4


def test_heads_that_do_not_share_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "qwen35", "qwen35")
    config = recorded()["models"]["qwen35"]["config"] | {"linear_num_key_heads": 3}
    (folder / "config.json").write_text(json.dumps(config))
    peft_folder(tmp_path / "lora", ADAPTED)
    with pytest.raises(FormatError, match="3 key heads, which do not share 4 value heads evenly"):
        convert_peft(tmp_path / "lora", tmp_path / "a.gguf", folder)


def test_an_adapters_folder_becomes_itself_again(tmp_path: Path) -> None:
    """Rows and columns alike."""
    peft_folder(tmp_path / "lora", ADAPTED)
    folder = write_folder(tmp_path / "qwen35", "qwen35")
    convert_peft(tmp_path / "lora", tmp_path / "a.gguf", folder)
    write_peft(tmp_path / "a.gguf", tmp_path / "again", folder)
    before, after = (
        {t.name: t.map() for t in read_file(tmp_path / place / "adapter_model.safetensors")}
        for place in ("lora", "again")
    )
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
