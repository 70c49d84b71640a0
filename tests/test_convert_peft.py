"""Adapters of PEFT's become GGUF adapters that compute what PEFT computed, and folders again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thimble
from tests.command_line import Capture, run_failing
from tests.test_architectures_peers import logits
from tests.tiny_adapters import make_adapter
from tests.tiny_folders import converted, recorded, write_folder, write_safetensors
from tests.tiny_models import SPECS, make
from tests.tiny_peft import CASES, RECORD, write_adapter
from tests.vectors.record_peft import N_IDS, STEP
from thimble.adapter import read_adapter
from thimble.cli import main
from thimble.convert.peft import convert_peft, write_peft
from thimble.convert.safetensors import read_file
from thimble.errors import FormatError, NumericError, OptionError, UnsupportedError

LM_HEAD = "base_model.model.lm_head"


@pytest.mark.parametrize("name", CASES)
def test_logits_are_pefts(tmp_path: Path, name: str) -> None:
    base = CASES[name][0]
    write_folder(tmp_path / "base", base)
    folder = write_adapter(tmp_path / "adapter", name)
    if name == "rank-stabilised":  # as PEFT does it
        path = folder / "adapter_model.safetensors"
        tensors = {t.name: t.floats(t.map()) for t in read_file(path)}
        own = np.zeros((9, 64), np.float32)
        write_safetensors(path, {**tensors, f"{LM_HEAD}.base_layer.weight": own}, "F32")
    convert_peft(tmp_path / "adapter", tmp_path / "a.gguf", tmp_path / "base")
    (tmp_path / "base.gguf").write_bytes(converted(base, "f32"))
    model = thimble.load(tmp_path / "base.gguf")
    model.adapt(tmp_path / "a.gguf")
    found = logits(model, recorded()["models"][base]["ids"][:N_IDS])[:, ::STEP]
    with np.load(RECORD.with_suffix(".npz")) as arrays:
        wanted = arrays[name]
    assert np.abs(found - wanted).max() < 2e-4
    # The GGUF file of the model says as much as its folder.
    convert_peft(tmp_path / "adapter", tmp_path / "b.gguf", tmp_path / "base.gguf")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_a_folder_becomes_itself_again(tmp_path: Path, name: str) -> None:
    folder, base = write_adapter(tmp_path / "adapter", name), tmp_path / "base.gguf"
    base.write_bytes(converted(CASES[name][0], "f32"))
    convert_peft(folder, tmp_path / "a.gguf", base)
    write_peft(tmp_path / "a.gguf", tmp_path / "again", base)
    before, after = ({t.name: t for t in read_file(place / "adapter_model.safetensors")}
                     for place in (folder, tmp_path / "again"))  # fmt: skip
    assert before.keys() == after.keys()
    same = name != "patterns"  # whose alphas differ, so that B took what is not the file's
    for tensor, stored in before.items():
        if same or ".lora_A." in tensor:
            assert np.array_equal(stored.map(), after[tensor].map())
    convert_peft(tmp_path / "again", tmp_path / "b.gguf", base)
    first, second = (read_adapter(tmp_path / one) for one in ("a.gguf", "b.gguf"))
    assert first.alpha == second.alpha
    for matrix, pair in first.pairs.items():
        other = second.pairs[matrix]
        for one, two in ((pair.down, other.down), (pair.up, other.up)):
            assert first.data[one.offset :][: one.nbytes] == second.data[two.offset :][: two.nbytes]


def test_an_adapter_without_alpha_keeps_its_factor(tmp_path: Path) -> None:
    (tmp_path / "base.gguf").write_bytes(make(SPECS["f32"]))
    (tmp_path / "a.gguf").write_bytes(make_adapter(SPECS["f32"], rank=5, alpha=0.0))
    write_peft(tmp_path / "a.gguf", tmp_path / "folder", tmp_path / "base.gguf")
    config = json.loads((tmp_path / "folder" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 5


@pytest.mark.parametrize("stored", ["F16", "BF16"])
def test_halves_are_taken_as_they_are(tmp_path: Path, stored: str) -> None:
    folder, base = write_adapter(tmp_path / "a", "gemma", stored=stored), tmp_path / "base"
    convert_peft(folder, tmp_path / "a.gguf", write_folder(base, "gemma2"))
    file = read_adapter(tmp_path / "a.gguf")
    down = file.pairs["blk.0.attn_k.weight"].down
    raw = np.frombuffer(file.data, "<f4", down.n_elements, down.offset).reshape(down.shape)
    source = {t.name: t for t in read_file(folder / "adapter_model.safetensors")}
    one = source["base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight"]
    assert np.array_equal(raw, one.floats(one.map()))


def test_the_command_converts_both_ways(tmp_path: Path, capsys: Capture) -> None:
    folder, base = str(write_adapter(tmp_path / "lora", "plain")), tmp_path / "base.gguf"
    out, back = str(tmp_path / "a.gguf"), str(tmp_path / "back")
    base.write_bytes(converted("smollm", "q8_0"))
    said = run_failing(capsys, 2, "convert", folder, out)
    assert "an adapter of PEFT's, for 'smollm': give --base as well" in said
    said = run_failing(capsys, 2, "convert", str(base), back)
    assert "give --base as well, the folder or the GGUF file" in said
    assert main(["convert", folder, out, "--base", str(base)]) == 0
    assert "an adapter of 14 matrices of a llama model, of rank 4" in capsys.readouterr().out
    assert main(["convert", out, back, "--base", str(base)]) == 0
    assert "of rank 4" in capsys.readouterr().out
    said = run_failing(capsys, 2, "convert", out, back, "--base", str(base))
    assert "has something in it" in said
    said = run_failing(capsys, 1, "convert", str(base), back + "2", "--base", str(base))
    assert "this file is no adapter" in said
    said = run_failing(
        capsys, 2, "convert", str(write_folder(tmp_path / "m", "smollm")), out, "--base", str(base)
    )
    assert "is no adapter; --base is for these" in said


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"peft_type": "LOHA"}, UnsupportedError, "peft_type .* is 'LOHA'; .* is 'LORA'"),
        ({"use_dora": True}, UnsupportedError, "use_dora .* is True"),
        ({"bias": "all"}, UnsupportedError, "bias .* is 'all'"),
        ({"alora_invocation_tokens": [1]}, UnsupportedError, "waits for certain tokens"),
        ({"lora_alpha": "x"}, FormatError, "the alpha of .* is 'x'"),
        ({"r": 7}, FormatError, "the rank of .* is 7; its factors have 4"),
        ({"rank_pattern": {".*q_proj": 4}}, UnsupportedError, "rank_pattern .* has '..q_proj'"),
        ({"alpha_pattern": 3}, FormatError, "alpha_pattern .* is 3; an object is right"),
    ],
)
def test_settings_that_have_no_gguf_adapter_are_named(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    folder = write_adapter(tmp_path / "lora", "plain")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    base = write_folder(tmp_path / "base", "smollm")
    with pytest.raises(error, match=words):
        convert_peft(folder, tmp_path / "out.gguf", base)
    assert not (tmp_path / "out.gguf").exists()


Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_"


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"base_model.model.lm_head.weight": (9, 64)}, "is no factor of a matrix"),
        ({"base_model.model.model.layers.0.router.lora_A.weight": (4, 64)}, "is no factor"),
        ({f"{Q}A.weight": (4, 64)}, "A of rank x columns and B of rows x rank are right"),
        ({f"{Q}A.weight": (4, 64), f"{Q}B.weight": (64, 5)}, "are right"),
        ({f"{Q}A.weight": (4, 64), f"{Q}B.weight": (62, 4)}, "no whole heads of 4"),
        ({f"{Q}A.weight": (4, 64), f"{Q}A.other.weight": (4, 64)}, "two factors A"),
        ({f"{Q}A.weight": (0, 64), f"{Q}B.weight": (64, 0)}, r"has the shape \(0, 64\)"),
        ({}, "it changes nothing"),
    ],
)
def test_tensors_that_are_no_factors_are_named(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], words: str
) -> None:
    folder = write_adapter(tmp_path / "lora", "plain")
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    write_safetensors(folder / "adapter_model.safetensors", tensors, "F32")
    base = write_folder(tmp_path / "base", "smollm")
    with pytest.raises((FormatError, UnsupportedError), match=words):
        convert_peft(folder, tmp_path / "out.gguf", base)


def test_what_is_missing_or_no_number_is_named(tmp_path: Path) -> None:
    folder, base = write_adapter(tmp_path / "lora", "plain"), write_folder(tmp_path / "b", "smollm")
    tensors = {t.name: t.floats(t.map()) for t in read_file(folder / "adapter_model.safetensors")}
    tensors[f"{Q}B.weight"] = np.full_like(tensors[f"{Q}B.weight"], np.nan)
    write_safetensors(folder / "adapter_model.safetensors", tensors, "F32")
    with pytest.raises(NumericError, match="not finite, in row 0"):
        convert_peft(folder, tmp_path / "out.gguf", base)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(FormatError, match=r"an adapter_model\.bin has to be saved again"):
        convert_peft(folder, tmp_path / "out.gguf", base)
    with pytest.raises(OptionError, match="give --base as well"):
        convert_peft(folder, tmp_path / "out.gguf")
    (tmp_path / "a.gguf").write_bytes(make_adapter(SPECS["f32"]))
    with pytest.raises(FormatError, match=r"is for the architecture 'llama'; .* is 'qwen2'"):
        write_peft(tmp_path / "a.gguf", tmp_path / "x", write_folder(tmp_path / "q", "qwen2"))
