"""A short run of every fuzzer in processes of its own, and what long ones (`make fuzz`) found."""

from __future__ import annotations

import ctypes
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import campaign
from tests.fuzz.campaign import run
from tests.fuzz.fuzz_ckpt import check as check_ckpt
from tests.fuzz.fuzz_ckpt import good as ckpt_seeds
from tests.fuzz.fuzz_folder import (
    check_folder,
    check_safetensors,
    check_tokenizer,
    folder_seeds,
    safetensors_seeds,
    tokenizer_seeds,
)
from tests.fuzz.fuzz_llama2c import check as check_llama2c
from tests.fuzz.fuzz_llama2c import seeds as llama2c_seeds
from tests.fuzz.fuzz_model import check, check_split, models, split_seeds
from tests.fuzz.kinds import Case, Kind, put
from tests.fuzz.registry import KINDS, case_of
from thimble.constrain import json_schema
from thimble.convert.safetensors import read_folder
from thimble.convert.tokenizer_json import tokenizer_keys
from thimble.errors import FormatError, OptionError, UnsupportedError

RUNS = 2500


@pytest.mark.slow
def test_inputs_of_every_kind_are_read_or_refused() -> None:
    report = run(range(RUNS), jobs=2)
    assert report.findings == []
    assert report.done == RUNS
    assert report.outcomes.keys() == KINDS.keys()
    for name, outcomes in report.outcomes.items():
        assert len(outcomes) > 1, name  # were all refused, nothing behind that would be tested


def test_good_files_are_good(tmp_path: Path) -> None:
    for data, _ in models():
        assert check({"": data}, tmp_path) == "ran"
    for parts in split_seeds():
        case = {f"m-{i + 1:05}-of-00003.gguf": part for i, (part, _) in enumerate(parts)}
        assert check_split(case, tmp_path) == "ran"
    for cases, checks, word in (
        (safetensors_seeds(), check_safetensors, "read"),
        (tokenizer_seeds(), check_tokenizer, "read"),
        (folder_seeds(), check_folder, "converted"),
        (llama2c_seeds(), check_llama2c, "converted"),
        (ckpt_seeds(), check_ckpt, "converted"),
    ):
        assert {checks(case, tmp_path) for case in cases} == {word}


def test_an_input_is_always_the_same() -> None:
    for number in range(60):
        assert case_of(number, 5) == case_of(number, 5)
    assert [case_of(i, 0, "model") for i in range(3)] != [case_of(i, 1, "model") for i in range(3)]


def crash(case: Case, folder: Path) -> str:
    ctypes.string_at(0)
    return "never"


def hang(case: Case, folder: Path) -> str:
    while True:
        pass


def hoard(case: Case, folder: Path) -> str:
    return str(len(b"x" * (4 << 20) * 8))


def fail(case: Case, folder: Path) -> str:
    raise KeyError("weights")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (crash, "the process died: SIG"), (hang, "0.2 s of processor time"),
        (hoard, "bytes were allocated"), (fail, "KeyError: 'weights'"),
    ],
)  # fmt: skip
def test_a_finding_is_noticed_and_its_input_kept(
    what: Callable[[Case, Path], str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One input in four does harm; the others are run all the same."""

    def harm(case: Case, folder: Path) -> str:
        return what(case, folder) if case[""] == b"2" else "fine"

    monkeypatch.setattr(campaign, "KINDS", {"bad": Kind(lambda rng: {}, harm, 100)})
    monkeypatch.setattr(campaign, "case_of", lambda i, seed, only: ("bad", {"": b"%d" % (i % 4)}))
    monkeypatch.setattr(campaign, "SECONDS", 0.2)
    monkeypatch.setattr(campaign, "LOOK", 1)
    report = run(range(8), kind="bad", saved=tmp_path)
    assert [where for where, _ in report.findings] == [
        f"--seed 0 --kind bad --first {number} --runs 1" for number in (2, 6)
    ]
    assert all(words in found for _, found in report.findings)
    assert report.done == 8
    assert (tmp_path / "bad-0-6" / "file").read_bytes() == b"2"


# What was found.


def test_a_type_that_is_no_text_is_refused(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":{"F32":1},"shape":[1],"data_offsets":[0,4]}}'
    put({"model.safetensors": len(header).to_bytes(8, "little") + header + bytes(4)}, tmp_path)
    with pytest.raises(UnsupportedError, match=r"'a' of .* is stored as \{'F32': 1\}"):
        read_folder(tmp_path)


def test_an_index_with_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    index = b'{"weight_map":{"a":"%s"}}' % (b"x" * 5000)
    put({"model.safetensors.index.json": index}, tmp_path)
    with pytest.raises(FormatError, match=r"names 'xxx.*which is not in"):
        read_folder(tmp_path)


def test_a_chat_template_that_is_no_text_is_refused(tmp_path: Path) -> None:
    put({**tokenizer_seeds()[0], "chat_template.jinja": b"\xff{{ 1 }}"}, tmp_path)
    with pytest.raises(FormatError, match=r"chat_template\.jinja is no UTF-8"):
        tokenizer_keys(tmp_path, 24)


def test_a_chat_template_whose_name_is_no_text_is_passed_by(tmp_path: Path) -> None:
    settings = b"""{"chat_template": [{"name": ["default"], "template": "a"},
        {"name": "default", "template": "b"}]}"""
    put({**tokenizer_seeds()[0], "tokenizer_config.json": settings}, tmp_path)
    assert tokenizer_keys(tmp_path, 24)["tokenizer.chat_template"] == "b"


def test_many_layers_of_few_weights_take_no_memory(tmp_path: Path) -> None:
    lies = struct.pack("<7i", 8, 32, 50_000, 4, 2, 17, 8)
    case = {**llama2c_seeds()[0], "model.bin": lies + bytes(500_000)}
    tracemalloc.start()
    try:
        assert check_llama2c(case, tmp_path) == "FormatError"
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["array", "string"])
def test_a_schema_whose_least_number_is_null_is_refused(kind: str) -> None:
    name = {"array": "minItems", "string": "minLength"}[kind]
    with pytest.raises(OptionError, match=f"{name}.*null.*a whole number"):
        json_schema({"type": kind, name: None})


@pytest.mark.filterwarnings("error")
def test_scales_that_overflow_are_an_error_and_no_warning(tmp_path: Path) -> None:
    case = dict(llama2c_seeds()[4])  # version 2: groups of signed bytes and a scale for each
    data = bytearray(case["model.bin"])
    data[-4:] = b"\xff\xff\x7f\x7f"  # the largest number of single precision
    case["model.bin"] = bytes(data)
    assert check_llama2c(case, tmp_path) == "NumericError"
