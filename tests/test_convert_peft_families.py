"""Adapters of PEFT's for every family: what they compute is the model with them merged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.test_architectures_peers import logits
from tests.tiny_folders import (
    CONFIGS,
    converted,
    recorded,
    values,
    write_folder,
    write_safetensors,
    write_weights,
)
from tests.tiny_models import random_values
from thimble.adapter import read_adapter
from thimble.convert.folder import convert_folder
from thimble.convert.peft import convert_peft, write_peft
from thimble.errors import UnsupportedError
from thimble.gguf_writer import GGUFWriter
from thimble.tensor_types import F32

RANK, ALPHA = 3, 6
NOT_ADAPTED = re.compile(r"embed|wte|wpe|norm|conv1d|conv\.conv|router|mlp\.gate\.|ln_|lm_head")
EXPERTS = re.compile(r"\.experts\.")


def modules(name: str) -> dict[str, tuple[int, ...]]:
    """The matrices of a family's folder that have adapters, and their shapes there."""
    shapes = {k: tuple(shape) for k, shape in recorded()["models"][name]["tensors"].items()}
    return {
        k: shape for k, shape in shapes.items()
        if len(shape) == 2 and not NOT_ADAPTED.search(k)
    }  # fmt: skip


def write(
    folder: Path, name: str, chosen: dict[str, tuple[int, ...]]
) -> dict[str, NDArray[np.float32]]:
    """Write an adapter of these modules' folder; returns what it adds to each matrix."""
    tensors: dict[str, NDArray[np.float32]] = {}
    added: dict[str, NDArray[np.float32]] = {}
    for i, (module, shape) in enumerate(chosen.items()):
        cols, rows = shape if name == "gpt2" else shape[::-1]
        down = random_values(5_000 + i, (RANK, cols), cols**-0.5)
        up = random_values(9_000 + i, (rows, RANK), 0.3)
        place = f"base_model.model.{module.removesuffix('.weight')}.lora_"
        tensors |= {f"{place}A.weight": down, f"{place}B.weight": up}
        both = up @ down * np.float32(ALPHA / RANK)
        added[module] = both.T if name == "gpt2" else both
    folder.mkdir()
    write_safetensors(folder / "adapter_model.safetensors", tensors, "F32")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return added


@pytest.mark.parametrize("name", CONFIGS)
def test_an_adapter_of_every_matrix_is_the_model_with_it_merged(tmp_path: Path, name: str) -> None:
    chosen = {k: shape for k, shape in modules(name).items() if not EXPERTS.search(k)}
    added = write(tmp_path / "lora", name, chosen)
    base, merged = write_folder(tmp_path / "base", name), write_folder(tmp_path / "m", name)
    shapes = {k: tuple(shape) for k, shape in recorded()["models"][name]["tensors"].items()}
    weights = values(name, shapes)
    write_weights(merged, weights | {k: weights[k] + more for k, more in added.items()})
    convert_folder(merged, tmp_path / "merged.gguf", "f32")
    convert_peft(tmp_path / "lora", tmp_path / "a.gguf", base)
    (tmp_path / "base.gguf").write_bytes(converted(name, "f32"))
    model, wanted = (thimble.load(tmp_path / f"{one}.gguf") for one in ("base", "merged"))
    ids = recorded()["models"][name]["ids"][:12]
    plain = logits(model, ids)
    model.adapt(tmp_path / "a.gguf")
    found, right = logits(model, ids), logits(wanted, ids)
    assert np.abs(found - right).max() < 1e-4 < 0.5 < np.abs(plain - right).max()
    model.close()
    wanted.close()
    # And back: the same matrices, adapted by the same numbers but for a factor's rounding.
    write_peft(tmp_path / "a.gguf", tmp_path / "again", base)
    convert_peft(tmp_path / "again", tmp_path / "b.gguf", base)
    first, second = (read_adapter(tmp_path / one) for one in ("a.gguf", "b.gguf"))
    assert first.pairs.keys() == second.pairs.keys() and len(first.pairs) >= len(chosen)
    one, other = (np.frombuffer(file.data[-4000:], "<f4") for file in (first, second))
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("name", ["olmoe", "qwen3moe"])
def test_experts_are_refused_by_name(tmp_path: Path, name: str) -> None:
    chosen = {k: shape for k, shape in modules(name).items() if EXPERTS.search(k)}
    assert chosen
    write(tmp_path / "lora", name, chosen)
    with pytest.raises(UnsupportedError, match=r"ffn_down_exps.*, one of several experts"):
        convert_peft(tmp_path / "lora", tmp_path / "a.gguf", write_folder(tmp_path / "b", name))


def test_of_a_model_whose_rows_were_multiplied_the_folder_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "lora", "falcon-h1", modules("falcon-h1"))
    (tmp_path / "base.gguf").write_bytes(converted("falcon-h1", "f32"))
    with pytest.raises(UnsupportedError, match="give the folder that it was made of"):
        convert_peft(tmp_path / "lora", tmp_path / "a.gguf", tmp_path / "base.gguf")


def test_halves_that_do_not_share_their_beginning_have_no_folder(tmp_path: Path) -> None:
    name = "granitehybrid"
    chosen = {k: s for k, s in modules(name).items() if "layers.0.shared_mlp.input" in k}
    write(tmp_path / "lora", name, chosen)
    base = write_folder(tmp_path / "base", name)
    convert_peft(tmp_path / "lora", tmp_path / "a.gguf", base)
    file, writer = read_adapter(tmp_path / "a.gguf"), GGUFWriter()
    assert list(file.pairs) == ["blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"]
    for key, value in (("general.architecture", name), ("general.type", "adapter"),
                       ("adapter.type", "lora"), ("adapter.lora.alpha", 3.0)):  # fmt: skip
        writer.add(key, value)
    for i, pair in enumerate(file.pairs.values()):
        for tensor in (pair.down, pair.up):
            data = random_values(i, tensor.shape, 1.0).tobytes()
            writer.add_tensor(tensor.name, tensor.shape, F32, data)
    writer.write(tmp_path / "b.gguf")
    with pytest.raises(UnsupportedError, match="with one A are right"):
        write_peft(tmp_path / "b.gguf", tmp_path / "again", base)
