"""The bits that every model of the tests computes are those that were recorded."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.tiny_blocks import make_blocks
from tests.tiny_folders import converted
from tests.vectors.record_bits import KEPT_SMALLER, RECORD, files, inside, logits
from thimble.kernel import default_kernel
from thimble.tensor_types import LOOKED_UP

RECORDED: dict[str, dict[str, str]] = json.loads(RECORD.read_text(encoding="utf-8"))
FILES = list(files())


@pytest.mark.parametrize(("name", "make_file"), FILES, ids=[name for name, _ in FILES])
def test_bits_are_as_recorded(name: str, make_file: Callable[[], bytes]) -> None:
    data = make_file()
    assert logits(data) == RECORDED[name]["logits"]
    assert inside(data) == RECORDED[name]["inside"]


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("name", KEPT_SMALLER)
def test_so_are_those_of_keys_and_values_that_take_less(name: str, kv_type: str) -> None:
    make_file = dict(FILES)[name]
    assert logits(make_file(), kv_type=kv_type) == RECORDED[name][kv_type]
    assert RECORDED[name][kv_type] != RECORDED[name]["logits"]


@pytest.mark.parametrize("threads", [2, 7])
def test_threads_leave_every_encoding_alone(threads: int) -> None:
    kernel = default_kernel()
    kernel.call("threads", threads)
    try:
        for name in ("UD", *(kind.name for kind in LOOKED_UP)):
            assert logits(make_blocks(name)) == RECORDED[f"blocks/{name}"]["logits"], name
    finally:
        kernel.call("threads", 1)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize(
    "name", ["llama", "gemma3", "gptneox", "lfm2", "olmoe", "mamba2", "falcon-h1", "qwen35"]
)
def test_threads_leave_them_alone(name: str, threads: int) -> None:
    data, kernel = converted(name, "q8_0"), default_kernel()
    kernel.call("threads", threads)
    try:
        assert logits(data) == RECORDED[f"{name}/q8_0"]["logits"]
        assert inside(data) == RECORDED[f"{name}/q8_0"]["inside"]
    finally:
        kernel.call("threads", 1)
