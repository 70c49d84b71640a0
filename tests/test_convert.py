"""Folders of Hugging Face's become GGUF files, and what is wrong with them is said."""

from __future__ import annotations

import json
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thimble
from tests.command_line import run_failing
from tests.fingerprint import load
from tests.fuzz.hostile import ARRAY, array, build, pair
from tests.test_architectures_peers import logits
from tests.tiny_folders import converted, recorded, values, write_folder, write_weights
from tests.tiny_models import SPECS, make
from tests.tiny_tokenizers import n_vocab, write_tokenizer
from thimble.cli import main
from thimble.convert.config import Settings, keys, rope_factors
from thimble.convert.folder import Planned, _encoded, _Tally, convert_folder
from thimble.convert.safetensors import read_file, read_folder, read_json
from thimble.convert.tokenizer_json import tokenizer_keys
from thimble.errors import FormatError, NumericError, OptionError, ThimbleError, UnsupportedError
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.kernel import default_kernel
from thimble.quantize import quantize_file
from thimble.tensor_types import Q4_K, Q8_0, TensorType

YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}


def weights(name: str) -> dict[str, Any]:
    shapes = recorded()["models"][name]["tensors"]
    return dict(values(name, {k: tuple(v) for k, v in shapes.items()}))


def change_config(folder: Path, **changes: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_shards_are_one_model(tmp_path: Path) -> None:
    write_folder(tmp_path / "qwen2", "qwen2", shards=3)
    convert_folder(tmp_path / "qwen2", tmp_path / "out.gguf", "f32")
    assert (tmp_path / "out.gguf").read_bytes() == converted("qwen2", "f32")


@pytest.mark.parametrize("stored", ["F16", "BF16"])
def test_weights_in_half_precision_are_taken_as_they_are(tmp_path: Path, stored: str) -> None:
    folder = write_folder(tmp_path / "llama", "llama", stored=stored)
    convert_folder(folder, tmp_path / "out.gguf", "f32")
    header = read_header((tmp_path / "out.gguf").read_bytes())
    found = next(t for t in header.tensors if t.name == "blk.1.ffn_up.weight")
    raw = (tmp_path / "out.gguf").read_bytes()[found.offset : found.offset + found.nbytes]
    name = "model.layers.1.mlp.up_proj.weight"
    wanted = weights("llama")[name]
    if stored == "BF16":
        wanted = (wanted.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    else:
        wanted = wanted.astype(np.float16).astype(np.float32)
    assert np.array_equal(np.frombuffer(raw, "<f4").reshape(wanted.shape), wanted)


def test_the_command_converts_and_the_file_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = write_folder(tmp_path / "smollm", "smollm"), str(tmp_path / "out.gguf")
    assert main(["convert", str(folder), out, "--type", "q8_0"]) == 0
    assert "a llama model of 20 tensors, matrices as Q8_0" in capsys.readouterr().out
    assert main(["generate", out, "--prompt", "Mia", "--max-tokens", "4"]) == 0
    capsys.readouterr()
    model = thimble.load(out)
    assert model.name == "smollm"
    assert model.chat_template is not None
    assert model.metadata["general.file_type"] == 7
    model.close()
    other = tmp_path / "other.gguf"
    said = run_failing(capsys, 2, "convert", str(folder), str(other), "--type", "q3")
    assert "the type is 'q3'; it must be one of f32, f16, bf16, q8_0, q4_0, q4_k, q6_k" in said
    assert not other.exists()


def wide_folder(folder: Path) -> Path:
    """A llama whose feed-forward blocks have rows of 256 values on the way back, 64 elsewhere."""
    write_folder(folder, "llama")
    wide = weights("llama")
    for name, weight in wide.items():
        if ".mlp." in name:
            axis = 1 if "down_proj" in name else 0
            wide[name] = np.repeat(weight, 3, axis).take(range(256), axis).copy()
    write_weights(folder, wide)
    return change_config(folder, intermediate_size=256)


@pytest.mark.parametrize("to", ["q4_k", "q6_k", "bf16", "q4_0"])
@pytest.mark.parametrize("between", ["f32", "f16"])
def test_a_conversion_is_one_to_floats_that_is_quantized(
    tmp_path: Path, to: str, between: str
) -> None:
    stored = between.upper()
    folder = wide_folder(tmp_path / "llama")
    write_weights(
        folder, {k: v.astype(np.float16).astype(np.float32) for k, v in load_weights(folder)},
        stored=stored,
    )  # fmt: skip
    at_once, floats, later = (tmp_path / name for name in ("a.gguf", "b.gguf", "c.gguf"))
    done = convert_folder(folder, at_once, to)
    convert_folder(folder, floats, between)
    report = quantize_file(floats, later, to)
    assert (done.replaced, done.misfits) == (report.replaced, report.misfits)
    found, wanted = (path.read_bytes() for path in (at_once, later))
    ours, theirs = read_header(found), read_header(wanted)
    assert ours.metadata == theirs.metadata
    assert found[ours.data_offset :] == wanted[theirs.data_offset :]
    assert [(t.name, t.type) for t in ours.tensors] == [(t.name, t.type) for t in theirs.tensors]
    kinds = {t.type.name for t in ours.tensors if len(t.shape) == 2}
    assert kinds == {"q4_k": {"Q4_K", "Q5_0"}, "q6_k": {"Q6_K", "Q8_0"}}.get(to, {to.upper()})
    model = thimble.load(at_once)
    assert np.isfinite(logits(model, [1, 2, 3])).all()
    model.close()


def load_weights(folder: Path) -> list[tuple[str, Any]]:
    found = read_folder(folder)
    return [(name, stored.floats(np.array(stored.map()))) for name, stored in found.items()]


def test_what_stands_in_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = wide_folder(tmp_path / "llama"), str(tmp_path / "out.gguf")
    assert main(["convert", str(folder), out, "--type", "Q4_K"]) == 0
    said = capsys.readouterr()
    assert "14 of 16 matrices are Q5_0, as llama.cpp makes them: their rows of 64" in said.err
    assert "matrices as Q4_K or Q5_0" in said.out


def test_yarn_lengthens_the_context(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "qwen2", "qwen2-yarn")
    for longest, wanted in ((32, 128), (512, 512)):
        change_config(folder, max_position_embeddings=longest)
        convert_folder(folder, tmp_path / "out.gguf")
        model = thimble.load(tmp_path / "out.gguf")
        assert model.config.n_ctx == wanted
        model.close()


def test_progress_counts_every_value_once(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "olmo2", "olmo2")
    seen: list[tuple[int, int]] = []
    convert_folder(folder, tmp_path / "o.gguf", "q4_0", lambda *at: seen.append(at))
    total = sum(tensor.size for tensor in weights("olmo2").values())
    assert [n for n, _ in seen] == sorted(n for n, _ in seen)
    assert seen[-1] == (total, total)


def test_rows_that_fill_no_blocks_become_f16(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "gpt2", "gpt2")
    rows = {f"transformer.h.{i}.mlp": 80 for i in range(2)}
    changed = weights("gpt2")
    for name, hidden in rows.items():
        changed[f"{name}.c_fc.weight"] = changed[f"{name}.c_fc.weight"][:, :hidden].copy()
        changed[f"{name}.c_fc.bias"] = changed[f"{name}.c_fc.bias"][:hidden].copy()
        changed[f"{name}.c_proj.weight"] = changed[f"{name}.c_proj.weight"][:hidden].copy()
    write_weights(folder, changed)
    change_config(folder, n_inner=80)
    done = convert_folder(folder, tmp_path / "out.gguf", "q8_0")
    assert done.misfits == ("blk.0.ffn_down.weight", "blk.1.ffn_down.weight")
    model = thimble.load(tmp_path / "out.gguf")
    assert np.isfinite(logits(model, [1, 2, 3])).all()
    model.close()


def test_names_without_the_models_prefix_are_known(tmp_path: Path) -> None:
    """GPT-2's own files have them so, and masks that say nothing."""
    folder = write_folder(tmp_path / "gpt2", "gpt2")
    plain = {name.removeprefix("transformer."): w for name, w in weights("gpt2").items()}
    plain["h.0.attn.bias"] = np.ones((1, 1, 8, 8), dtype=np.float32)
    write_weights(folder, plain)
    convert_folder(folder, tmp_path / "out.gguf", "f32")
    found = load((tmp_path / "out.gguf").read_bytes())
    other = load(converted("gpt2", "f32"))
    assert np.array_equal(logits(found, [3, 4, 5]), logits(other, [3, 4, 5]))


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_of_a_model_that_sees_the_half_that_reads_is_taken(tmp_path: Path, prefix: str) -> None:
    folder = write_folder(tmp_path / "gemma3", "gemma3")
    both = {prefix + name.removeprefix("model."): w for name, w in weights("gemma3").items()}
    both["vision_tower.vision_model.embeddings.weight"] = np.ones((2, 2), dtype=np.float32)
    write_weights(folder, both)
    text = json.loads((folder / "config.json").read_text())
    whole = {"model_type": "gemma3", "text_config": text, "eos_token_id": [2, 1]}
    (folder / "config.json").write_text(json.dumps(whole))
    convert_folder(folder, tmp_path / "out.gguf", "f32")
    found = load((tmp_path / "out.gguf").read_bytes())
    other = load(converted("gemma3", "f32"))
    assert np.array_equal(logits(found, [3, 4, 5]), logits(other, [3, 4, 5]))


@pytest.mark.parametrize(("transposed", "kind"), [(False, Q8_0), (True, Q8_0), (False, Q4_K)])
def test_memory_does_not_grow_with_a_tensor(
    tmp_path: Path, transposed: bool, kind: TensorType
) -> None:
    name = "gpt2" if transposed else "llama"
    settings = Settings(recorded()["models"][name]["config"])
    big = np.zeros((1024, 8192), dtype=np.float32)
    write_weights(tmp_path, {"big": big})
    stored = read_folder(tmp_path)["big"]
    shape = (8192, 1024) if transposed else (1024, 8192)
    planned = Planned("blk.0.ffn_up.weight", stored, shape, kind)
    tracemalloc.start()
    nbytes = sum(
        len(piece) for piece in _encoded(default_kernel(), settings, planned, _Tally(None, 1))
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert nbytes == kind.size(big.size)
    assert peak < big.nbytes / 4  # beside the file's own pages, of which the system may drop any


# What is wrong is said.


def safetensors(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no safetensors file, or is cut short"),
        (b"\xff" * 8, "no safetensors file, or is cut short"),
        (safetensors(b"{]"), "is no JSON"),
        (safetensors([]), "is no JSON object"),
        (safetensors({"a": 1}), "'a' of .* is described by 1"),
        (safetensors({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}), r"\[-1\]"),
        (safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}), r"offsets \[0\]"),
        (
            safetensors({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}),
            "stored as 'F8_E4M3'; F32, F16, BF16, F64 are read",
        ),
        (
            safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
            "takes 4 bytes; its shape .2,. as F32 takes 8",
        ),
        (
            safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
            "it is cut short",
        ),
    ],
)
def test_damaged_safetensors_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(ThimbleError, match=message):
        read_folder(tmp_path)


def test_mutated_safetensors_never_crash(tmp_path: Path) -> None:
    good = {f"t{i}": np.ones((i + 1, 4), dtype=np.float32) for i in range(3)}
    write_weights(tmp_path, good)
    path = tmp_path / "model.safetensors"
    data, draw = path.read_bytes(), random.Random(7)
    outcomes = set()
    for _ in range(500):
        mutated = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            mutated[draw.randrange(min(len(mutated), 260))] = draw.choice(b'0123456789"[]{},:\x00F')
        path.write_bytes(mutated[: draw.choice((len(mutated), draw.randrange(len(mutated))))])
        try:
            for tensor in read_file(path):
                tensor.map()
            outcomes.add("read")
        except ThimbleError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_an_index_stays_in_its_folder(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for bad in ("../model.safetensors", "/etc/passwd", "missing.safetensors"):
        index.write_text(json.dumps({"weight_map": {"a": bad}}))
        with pytest.raises(FormatError, match="which is not in"):
            read_folder(tmp_path)
    index.write_text(json.dumps({"weight_map": [1]}))
    with pytest.raises(FormatError, match="no weight_map"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "llama",
            {"model_type": "mamba"},
            "'mamba', which is not converted here; llama, ",
        ),
        ("llama", {"hidden_act": "relu"}, "activation 'relu'; in llama models 'silu'"),
        ("mistral", {"sliding_window": 16}, "sliding_window in config.json is 16"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic"}}, "scales RoPE by 'dynamic'"),
        ("gemma2", {"rope_parameters": {"rope_type": "yarn"}}, "scales RoPE by 'yarn'"),
        ("qwen2", {"rope_parameters": {"rope_type": "yarn"}}, "factor of RoPE .* is None"),
        ("qwen2", {"rope_parameters": YARN | {"mscale": 0.7}}, r"mscale of RoPE .* is 0\.7"),
        (
            "qwen2",
            {"rope_parameters": YARN | {"original_max_position_embeddings": "x"}},
            "original_max_position_embeddings of RoPE .* is 'x'",
        ),
        ("smollm3", {"no_rope_layers": [1, 1, 0, 1]}, r"no_rope_layers in .* is \[1, 1, 0, 1\]"),
        ("smollm3", {"attention_bias": True}, "attention_bias in config.json is True"),
        ("lfm2", {"conv_bias": True}, "conv_bias in config.json is True"),
        ("lfm2", {"layer_types": [{}] * 4}, "layer_types in config.json is"),
        ("lfm2", {"layer_types": ["conv", "mamba"]}, r"layer_types .* 4 times 'full_attention' or"),
        ("llama", {"rope_parameters": {"rope_type": "llama3"}}, "factor of RoPE .* is None"),
        ("phi3-long", {"rope_parameters": {"rope_type": "longrope"}}, "short_factor .* is None"),
        ("gemma2", {"query_pre_attn_scalar": 144}, "query_pre_attn_scalar in config.json is 144"),
        ("gemma2", {"attn_logit_softcapping": None}, "attn_logit_softcapping in .* is None"),
        ("gemma3", {"layer_types": ["full_attention"] * 7}, "layer_types in config.json is"),
        ("gemma3", {"final_logit_softcapping": 30.0}, "final_logit_softcapping .* is 30.0"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx in .* is True"),
        ("gpt2", {"n_embd": "wide"}, "n_embd in config.json is 'wide'"),
        ("gpt2", {"n_head": 3}, "3 heads, which do not share a width of 64"),
        ("qwen2", {"num_hidden_layers": 3}, "no tensor 'blk.2"),
        ("qwen3", {"num_hidden_layers": 1}, "has the tensor 'blk.1"),
    ],
)
def test_settings_that_do_not_run_are_named(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    folder = change_config(write_folder(tmp_path / name, name), **changes)
    with pytest.raises(ThimbleError, match=message):
        convert_folder(folder, tmp_path / "out.gguf", "f32")
    assert not (tmp_path / "out.gguf").exists()


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "llama", "llama")
    for value, to, message in (
        (np.nan, "f16", "not finite, in row 5"), (1e6, "f16", "1e.06, which is too large for F16"),
        (1e9, "q8_0", "1e.09, which is too large for Q8_0"), (np.inf, "f32", "not finite"),
        (1e9, "q4_k", "too large for Q5_0; convert with --type f32"),
    ):  # fmt: skip
        changed = weights("llama")
        changed["model.layers.0.mlp.up_proj.weight"][5, 3] = value
        write_weights(folder, changed)
        with pytest.raises(NumericError, match=message):
            convert_folder(folder, tmp_path / "out.gguf", to)
    assert not list(tmp_path.glob("out*"))


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is no folder"):
        convert_folder(tmp_path / "nothing", tmp_path / "o.gguf")
    for part in ("config.json", "model.safetensors", "tokenizer.json"):
        folder = write_folder(tmp_path / part, "llama")
        (folder / part).unlink()
        with pytest.raises(FormatError, match=part):
            convert_folder(folder, tmp_path / "o.gguf")
    folder = write_folder(tmp_path / "odd", "llama")
    write_weights(folder, weights("llama") | {"model.layers.0.extra.weight": np.ones((4, 4), "f4")})
    with pytest.raises(UnsupportedError, match=r"extra\.weight' is not known in llama models"):
        convert_folder(folder, tmp_path / "o.gguf")
    with pytest.raises(OptionError, match="the type is 'q9'"):
        convert_folder(folder, tmp_path / "o.gguf", "q9")


JUNK: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e400, 10**30, "x", [], [1], [None], {}),
    {"type": "Sequence"},
)


def mutated(value: Any, draw: random.Random) -> Any:
    """A copy of a JSON value, one place of which is junk."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        return {**value, key: mutated(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        at = draw.randrange(len(value))
        return [*value[:at], mutated(value[at], draw), *value[at + 1 :]]
    return draw.choice(JUNK)


@pytest.mark.parametrize("name", ["phi3-long", "gemma3", "gpt2", "llama"])
def test_mutated_settings_and_tokenizers_never_crash(tmp_path: Path, name: str) -> None:
    draw, outcomes = random.Random(name), set()
    config = recorded()["models"][name]["config"]
    write_tokenizer(tmp_path, name)
    files = {
        path: json.loads(path.read_text()) for path in sorted(tmp_path.glob("tokenizer*.json"))
    }
    for turn in range(250):
        (tmp_path / "config.json").write_text(json.dumps(mutated(config, draw)))
        try:
            settings = Settings(read_json(tmp_path / "config.json"))
            keys(settings)
            rope_factors(settings)
            outcomes.add("read")
        except ThimbleError:
            outcomes.add("refused")
        if turn % 5 == 0:
            for path, whole in files.items():
                path.write_text(json.dumps(mutated(whole, draw)))
            try:
                tokenizer_keys(tmp_path, n_vocab(name))
                outcomes.add("tokenizer read")
            except ThimbleError:
                outcomes.add("tokenizer refused")
    assert outcomes == {"read", "refused", "tokenizer read", "tokenizer refused"}


def without(name: str, *tensors: str) -> dict[str, Any]:
    return {k: v for k, v in weights(name).items() if k not in tensors}


def test_an_output_matrix_that_is_promised_has_to_be_there(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "llama", "llama")
    write_weights(folder, without("llama", "lm_head.weight"))
    for changes in ({"tie_word_embeddings": False}, {"tie_word_embeddings": None}):
        change_config(folder, **changes)
        with pytest.raises(FormatError, match=r"no output matrix .* tie_word_embeddings is not"):
            convert_folder(folder, tmp_path / "out.gguf")
    change_config(folder, tie_word_embeddings=True)
    convert_folder(folder, tmp_path / "out.gguf")
    assert thimble.load(tmp_path / "out.gguf").config.tied_output


def test_one_matrix_of_two_names_is_found_under_either(tmp_path: Path) -> None:
    folder, wanted = write_folder(tmp_path / "smollm", "smollm"), converted("smollm", "f32")
    embedding = "model.embed_tokens.weight"
    tensors = without("smollm", embedding) | {"lm_head.weight": weights("smollm")[embedding]}
    write_weights(folder, tensors)
    convert_folder(folder, tmp_path / "out.gguf", "f32")
    assert (tmp_path / "out.gguf").read_bytes() == wanted


def test_a_shared_tensor_is_taken_by_the_name_that_was_left_out(tmp_path: Path) -> None:
    folder, name = write_folder(tmp_path / "llama", "llama"), "model.layers.1.mlp.up_proj.weight"
    kept = "model.layers.0.mlp.up_proj.weight"
    tensors = weights("llama") | {name: weights("llama")[kept]}
    write_weights(folder, tensors)
    convert_folder(folder, tmp_path / "a.gguf", "f32")
    del tensors[name]
    write_weights(folder, tensors)
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] |= {name: kept}  # what safetensors' `save_model` writes
    text = json.dumps(header).encode()
    whole = len(text).to_bytes(8, "little") + text + data[8 + size :]
    (folder / "model.safetensors").write_bytes(whole)
    convert_folder(folder, tmp_path / "b.gguf", "f32")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_tensors_without_values_are_missing_ones(tmp_path: Path) -> None:
    folder, nothing = write_folder(tmp_path / "smollm", "smollm"), np.zeros(0, np.float32)
    write_weights(folder, weights("smollm") | {"lm_head.weight": nothing, "extra": nothing})
    convert_folder(folder, tmp_path / "out.gguf", "f32")
    assert (tmp_path / "out.gguf").read_bytes() == converted("smollm", "f32")
    name = "model.layers.0.self_attn.q_proj.weight"
    write_weights(folder, weights("smollm") | {name: nothing})
    with pytest.raises(FormatError, match=r"q_proj.weight' has the shape \(0,\): it was saved"):
        convert_folder(folder, tmp_path / "other.gguf", "f32")


def test_an_array_in_an_array_survives_quantizing(tmp_path: Path) -> None:
    data = make(SPECS["f32"])
    header = read_header(data)
    odd = build([pair("odd.nested", ARRAY, array(ARRAY, 2, array(4, 1, bytes(4)) * 2))])
    writer = GGUFWriter()
    for key in header.metadata:
        writer.copy(key, header, data)
    writer.copy("odd.nested", read_header(odd), odd)
    for t in header.tensors:
        writer.add_tensor(t.name, t.shape, t.type, data[t.offset : t.offset + t.nbytes])
    writer.write(tmp_path / "in.gguf")
    quantize_file(tmp_path / "in.gguf", tmp_path / "out.gguf", "q8_0")
    found = read_header((tmp_path / "out.gguf").read_bytes()).metadata
    assert found["odd.nested"] == [[0], [0]]
