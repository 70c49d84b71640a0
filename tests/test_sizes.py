"""Sizes that foreign numbers decide: none is computed, or handed over, without its upper bits. In a
page an address has 32 of them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests import in_pyodide
from tests.tiny_models import SPECS, make
from thimble.errors import MemoryLimitError, UnsupportedError
from thimble.kernel import Allocating, CKernel, default_kernel
from thimble.loader import ModelLoader

ASK = """
from thimble.errors import MemoryLimitError
from thimble.kernel import Scratch, default_kernel
kernel = default_kernel()
def size(what, *arguments):
    at = Scratch(kernel, 8, "a number")
    kernel.call(what, *arguments, at.address)
    return int.from_bytes(kernel.read(at.address, 8), "little")
def refused(what, *arguments):
    try:
        return kernel.call(what, *arguments) == 0
    except MemoryLimitError:
        return True
def no_room(nbytes):
    try:
        kernel.alloc(nbytes, "a test")
    except MemoryLimitError as error:
        return f"{nbytes:,}" in str(error)
    return False
tensor = kernel.call("tensor_new", 0, 4, 1 << 16)
"""
# Each gave a small block for a large one, in 32 bits.
TOO_MUCH = (
    "refused('vector_new', 2**30)",
    "refused('vector_new', 2**31 - 1)",
    "refused('vector_new', -1)",
    "refused('tensor_new', 0, 16, 2**26)",
    "refused('tensor_new', 0, 2**20, 2**12)",
    "refused('tensor_new', 8, 2**24, 2**24)",
    "refused('tensor_new', 12, 2**31 - 256, 256)",
    "refused('tensor_new', 12, 256, 2**31 - 256)",
    "kernel.call('product', tensor, 0, 2**17, 0) < 0",
    "no_room(2**31)",
    "no_room(2**32 + 64)",
    "no_room(2**64 + 64)",
    "no_room(10**30)",
    "size('tensor_size', 0, 2**24, 2**24) == 2**50",
    "size('tensor_size', 8, 2**31 - 16, 2**31 - 32) > 2**61",
)


def test_in_the_page_nothing_large_is_given_a_small_place() -> None:
    code = f"import json\n{ASK}\njson.dumps([{', '.join(TOO_MUCH)}])"
    answers = in_pyodide.run(code, kernels=True)
    assert [what for what, held in zip(TOO_MUCH, answers, strict=True) if not held] == []


@pytest.mark.parametrize("nbytes", [2**63, 2**64 + 64, 10**30])
def test_what_no_address_holds_is_not_asked_for(nbytes: int) -> None:
    kernel = default_kernel()
    with pytest.raises(MemoryLimitError, match=f"no memory for a test: {nbytes:,} bytes"):
        kernel.alloc(nbytes, "a test")
    with pytest.raises(MemoryLimitError, match="'vector_new' is asked for"):
        kernel.call("vector_new", nbytes)


def test_a_kernel_that_cannot_count_further_is_not_asked_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    class Small(Allocating):
        largest = 99

        def call(self, name: str, *args: int) -> int:
            asked.append(args)
            return 64

    assert Small().alloc(99, "a test") == 64
    with pytest.raises(MemoryLimitError, match="100 bytes are needed, and at most 99"):
        Small().alloc(100, "a test")
    assert asked == [(99,)]
    kernel = default_kernel()
    assert isinstance(kernel, CKernel)
    monkeypatch.setattr(CKernel, "largest", 99)
    with pytest.raises(MemoryLimitError, match="'free' is asked for 100, which is more"):
        kernel.call("free", 100)


def test_a_file_of_few_weights_with_enormous_heads_is_refused() -> None:
    """Two heads of 65,536 and a context of 16,384 in 4 MB: keys and values of a prompt had more
    bytes than 32 bits count, and a small place."""
    data = make(SPECS["f32"])
    key = b"llama.attention.head_count"
    at = data.index(key) + len(key) + 4
    (heads,) = struct.unpack_from("<I", data, at)
    assert heads > 1
    lie = bytearray(data)
    name = b"llama.attention.key_length"
    pair = struct.pack("<Q", len(name)) + name + struct.pack("<II", 4, 65_536)
    (pairs,) = struct.unpack_from("<Q", lie, 16)
    struct.pack_into("<Q", lie, 16, pairs + 1)
    lie[24:24] = pair
    loader = ModelLoader(len(lie))
    with pytest.raises(UnsupportedError, match=r"key_length is 65,536; at most 4,096"):
        loader.feed(bytes(lie))
