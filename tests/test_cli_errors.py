"""The command line on bad input: one clear line that names what is wrong, and no traceback."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Capture, run_failing, run_json, type_in
from tests.tiny_models import SPECS, TinySpec, make, write
from thimble.cli import main
from thimble.gguf import read_header


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def bpe(folder: Path) -> str:
    """A model with a byte-level vocabulary and a chat template."""
    return str(write(folder / "bpe.gguf", SPECS["q8_0-tied"]))


@pytest.fixture(scope="module")
def spm(folder: Path) -> str:
    """A model with a SentencePiece vocabulary."""
    return str(write(folder / "spm.gguf", SPECS["spm"]))


def corrupt(name: str, change: Callable[[bytearray], object]) -> Callable[[Path], Path]:
    def make_file(folder: Path) -> Path:
        data = bytearray(make(SPECS["f32"]))
        change(data)
        (folder / name).write_bytes(data)
        return folder / name

    return make_file


def with_nan(data: bytearray) -> None:
    tensor = next(
        t
        for t in read_header(bytes(data), file_size=len(data)).tensors
        if t.name == "blk.0.attn_q.weight"
    )
    struct.pack_into("<f", data, tensor.offset + 4 * 70, math.nan)


def with_unknown_type(data: bytearray) -> None:
    name = b"token_embd.weight"
    at = data.index(name) + len(name) + 4 + 2 * 8  # behind the number of dimensions and the shape
    struct.pack_into("<I", data, at, 24)


BAD_FILES = {
    "truncated": (corrupt("a.gguf", lambda d: d.__delitem__(slice(-1000, None))), "truncated"),
    "cut header": (corrupt("b.gguf", lambda d: d.__delitem__(slice(100, None))), "truncated"),
    "empty": (corrupt("c.gguf", lambda d: d.clear()), "truncated"),
    "wrong magic": (corrupt("d.gguf", lambda d: d.__setitem__(0, 0x58)), "not a GGUF file"),
    "unknown type": (corrupt("e.gguf", with_unknown_type), "is stored as I8"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", ["generate", "tokenize", "eval", "quantize", "info"])
def test_broken_files_are_one_clear_line(
    name: str, command: str, tmp_path: Path, capsys: Capture
) -> None:
    build, words = BAD_FILES[name]
    rest = {
        "generate": ["--prompt", "a"],
        "tokenize": ["a"],
        "eval": ["--text", __file__],
        "quantize": [str(tmp_path / "out.gguf"), "--type", "q8_0"],
    }.get(command, [])
    assert words in run_failing(capsys, 1, command, str(build(tmp_path)), *rest)
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("command", ["generate", "quantize"])
def test_nan_weights_name_their_tensor(command: str, tmp_path: Path, capsys: Capture) -> None:
    path = str(corrupt("nan.gguf", with_nan)(tmp_path))
    rest = ["--prompt", "a"] if command == "generate" else [str(tmp_path / "o"), "--type", "q4_0"]
    line = run_failing(capsys, 1, command, path, *rest)
    assert "'blk.0.attn_q.weight'" in line and "not finite" in line and "row 1" in line


def test_missing_files_and_folders_are_named(bpe: str, tmp_path: Path, capsys: Capture) -> None:
    missing = str(tmp_path / "no.gguf")
    assert f"{missing}: No such file" in run_failing(capsys, 1, "generate", missing)
    assert f"{tmp_path}: Is a directory" in run_failing(capsys, 1, "generate", str(tmp_path))
    for file, what in (
        ("config.json", "a model of Hugging"),
        ("adapter_config.json", "an adapter"),
    ):
        (tmp_path / file).write_text("{}")
        folder = str(tmp_path)
        for command in (
            ["info", folder],
            ["generate", folder, "--prompt", "a"],
            ["generate", bpe, "--prompt", "a", "--adapter", folder],
        ):
            said = run_failing(capsys, 1, *command)
            assert f"is {what}" in said and "`thimble convert` makes a GGUF file of it" in said
        (tmp_path / file).unlink()
    assert f"{missing}: No such file" in run_failing(capsys, 1, "eval", bpe, "--text", missing)
    assert "Is a directory" in run_failing(capsys, 1, "eval", bpe, "--text", str(tmp_path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--temperature", "-1"], "temperature is -1.0"),
        (["--temperature", "nan"], "temperature is nan"),
        (["--temperature", "warm"], "--temperature/--temp: invalid float value: 'warm'"),
        (["--top-p", "2"], "top_p is 2.0"),
        (["--min-p", "-0.5"], "min_p is -0.5"),
        (["--top-k", "-3"], "top_k is -3"),
        (["--max-tokens", "-1"], "max_tokens is -1"),
        (["--max-tokens", "1.5"], "'1.5'"),
        (["--seed", "-1"], "seed is -1"),
        (["--repetition-penalty", "0"], "repetition_penalty is 0.0"),
        (["--stop", ""], "stop is"),
        (["--logit-bias", "many"], "--logit-bias 'many'"),
        (["--logit-bias", "5=x"], "--logit-bias '5=x'"),
        (["--logit-bias", "99999=1"], "token 99999"),
        (["--top-logprobs", "65", "--json"], "top_logprobs is 65"),
        (["--top-logprobs", "2"], "needs --json"),
        (["--threads", "17"], "--threads is 17"),
        (["--temprature", "1"], "--temprature"),
        (["--tempe", "1"], "--tempe"),
    ],
)
def test_wrong_options_are_named(options: list[str], words: str, bpe: str, capsys: Capture) -> None:
    assert words in run_failing(capsys, 2, "generate", bpe, "--prompt", "a", *options)


def test_wrong_commands_are_named(bpe: str, capsys: Capture) -> None:
    assert "'write'" in run_failing(capsys, 2, "write")
    assert "COMMAND" in run_failing(capsys, 2)
    assert "MODEL" in run_failing(capsys, 2, "info")
    assert "--stories is 0" in run_failing(capsys, 2, "eval", bpe, "--text", "x", "--stories", "0")


def test_a_prompt_longer_than_the_context_is_refused(tmp_path: Path, capsys: Capture) -> None:
    path = str(write(tmp_path / "m.gguf", TinySpec(n_ctx=16, seed=1)))
    line = run_failing(capsys, 1, "generate", path, "--prompt", "a b c d e f g h i j k l m n o p q")
    assert "the context holds 16" in line
    assert main(["generate", path, "--prompt", "abcd", "--json", "--max-tokens", "99"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prompt_tokens"] + len(found["tokens"]) == 16
    assert found["finish_reason"] == "length"


def test_an_empty_prompt_begins_with_bos_or_is_refused(bpe: str, spm: str, capsys: Capture) -> None:
    assert run_json(capsys, "generate", spm, "--max-tokens", "2", "--json")["prompt_tokens"] == 1
    assert "prompt is empty" in run_failing(capsys, 2, "generate", bpe)


def test_invalid_utf8_is_refused_with_its_place(
    bpe: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").write_bytes(b"Mia\xffhad")
    line = run_failing(capsys, 1, "eval", bpe, "--text", str(tmp_path / "bad"))
    assert "bad is not UTF-8: byte 0xff at offset 3" in line
    for argv in (["tokenize", bpe], ["generate", bpe, "--prompt", "-"]):
        type_in(monkeypatch, b"caf\xc3")
        line = run_failing(capsys, 1, *argv)
        assert "standard input is not UTF-8: byte 0xc3 at offset 3" in line
    typed = os.fsdecode(b"\xffx")
    assert "offset 0" in run_failing(capsys, 1, "tokenize", bpe, typed)
    assert "half a surrogate pair" in run_failing(capsys, 2, "tokenize", bpe, "a\ud800")


def test_a_text_with_nothing_to_predict_is_refused(
    bpe: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "text").write_text("\n<|endoftext|>\n")
    line = run_failing(capsys, 2, "eval", bpe, "--text", str(tmp_path / "text"))
    assert "nothing to predict" in line
