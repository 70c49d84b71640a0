"""A header's lists: like lists of Python's, in no more memory than the file has bytes for them."""

from __future__ import annotations

import copy
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.hostile import array, build, pair, string, tensor
from thimble.errors import FormatError
from thimble.gguf import (
    ARRAY,
    BOOL,
    MAX_KEYS,
    MAX_NESTED,
    MAX_TENSORS,
    SCALARS,
    STRING,
    TYPE_NAMES,
    GGUFHeader,
    NeedMoreData,
    read_header,
)
from thimble.gguf_lists import Numbers, Texts, plain
from thimble.gguf_writer import GGUFWriter
from thimble.tokenizer import tokenizer_from_metadata
from thimble.tokenizer.bpe import ALPHABET

N = 1 << 18
ROOM = 1 << 20
"""Bytes beside twice the file's, for a thousand of keys, tensors and lists: as in a campaign."""


def read(kind: int, elements: bytes, n: int) -> Any:
    """A list as it comes out of a file."""
    return read_header(build([pair("k", ARRAY, array(kind, n, elements))])).metadata["k"]


def texts(*strings: str | bytes) -> Any:
    return read(STRING, b"".join(map(string, strings)), len(strings))


def traced(data: bytes) -> int:
    """The most bytes that reading a header takes, beside the file's and what Python makes once."""
    read_header(data, file_size=len(data))
    tracemalloc.start()
    try:
        read_header(data, file_size=len(data))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Memory


@pytest.mark.parametrize("kind", SCALARS, ids=lambda kind: TYPE_NAMES[kind])
def test_numbers_take_their_bytes(kind: int) -> None:
    elements = bytes(N * struct.calcsize(SCALARS[kind]))
    data = build([pair("k", ARRAY, array(kind, N, elements))])
    assert traced(data) <= 1.1 * len(data) + 4096


@pytest.mark.parametrize("text", ["", "ab", "é" * 70, "🦙" * 3, "x" * 3000])
def test_texts_take_their_bytes_and_four_for_each(text: str) -> None:
    n = N // 16
    data = build([pair("k", ARRAY, array(STRING, n, string(text) * n))])
    # Of a piece that is looked at, each byte may become a character, each of four bytes.
    assert traced(data) <= 2 * len(data) + (1 << 18)


KEYS = [pair(f"{i:03x}", ARRAY, array(STRING, 0)) for i in range(MAX_KEYS)]
NESTED = pair("k", ARRAY, array(ARRAY, MAX_NESTED, array(STRING, 0) * MAX_NESTED))
TENSORS = [tensor(f"{i:03x}", [1] * 4, 0, 32 * i) for i in range(MAX_TENSORS)]
MANY: dict[str, Callable[[], bytes]] = {
    "numbers": lambda: build([pair(f"{i:03x}", 0, b"\1") for i in range(MAX_KEYS)]),
    "lists": lambda: build(KEYS),
    "lists in lists": lambda: build([NESTED]),
    "tensors": lambda: build([], TENSORS, data=32 * MAX_TENSORS),
    "all of them": lambda: build([*KEYS[1:], NESTED], TENSORS, data=32 * MAX_TENSORS),
}


@pytest.mark.parametrize("what", MANY)
def test_as_many_small_things_as_there_may_be_take_little(what: str) -> None:
    data = MANY[what]()
    assert traced(data) <= 2 * len(data) + ROOM


def test_a_vocabulary_is_held_once() -> None:
    """Tokens and merges as in the file, and beside them one dictionary from token to id."""
    tokens = [*ALPHABET]
    merges = [f"{left} {right}" for left in ALPHABET for right in ALPHABET[:128]]
    tokens += [merge.replace(" ", "") for merge in merges]
    writer = GGUFWriter()
    for key, value in {"model": "gpt2", "pre": "gpt-2", "tokens": tokens, "merges": merges}.items():
        writer.add(f"tokenizer.ggml.{key}", value)
    data = writer.to_bytes()
    tracemalloc.start()
    try:
        header = read_header(data)
        tokenizer = tokenizer_from_metadata(header.metadata)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert tokenizer.n_vocab == len(tokens)
    # With a text of its own for each token, in a list, and for each half of a merge, it was 400.
    assert held / len(tokens) < 250
    assert peak < 1.3 * held


# Like lists


def test_numbers_are_like_a_list() -> None:
    numbers = read(3, struct.pack("<4h", -1, 0, 1, 300), 4)
    assert isinstance(numbers, Numbers)
    assert numbers == [-1, 0, 1, 300] and numbers != [-1, 0, 1] and numbers != "x"
    assert numbers == read(5, struct.pack("<4i", -1, 0, 1, 300), 4)
    assert (numbers[-1], numbers[1:3], list(reversed(numbers))) == (300, [0, 1], [300, 1, 0, -1])
    assert numbers.index(300) == 3 and numbers.count(0) == 1 and 300 in numbers
    with pytest.raises(IndexError):
        numbers[4]


def test_bools_are_bools() -> None:
    bools = read(BOOL, b"\1\0\1", 3)
    assert [*bools, bools[0], *bools[1:]] == [True, False, True, True, False, True]
    assert {type(value) for value in (*bools, bools[0], *bools[:1])} == {bool}


def test_texts_are_like_a_list() -> None:
    found = texts("a", "", "naïve", "🦙")
    assert isinstance(found, Texts)
    assert found == ["a", "", "naïve", "🦙"] == found and found != ["a", "", "naïve", "x"]
    assert (found[0], found[-1], found[1:3]) == ("a", "🦙", ["", "naïve"])
    assert [*found, *reversed(found)] == ["a", "", "naïve", "🦙", "🦙", "naïve", "", "a"]
    assert found.index("🦙") == 3 and "" in found and "b" not in found
    with pytest.raises(IndexError):
        found[4]
    assert texts() == [] and not texts() and list(texts()) == []


@pytest.mark.parametrize("made", [texts("a", "b"), read(0, b"\1\2", 2)])
def test_lists_cannot_be_changed_and_copies_are_equal(made: Any) -> None:
    for change in (
        lambda: made.__setitem__(0, "c"), lambda: made.append("c"), lambda: hash(made),
    ):  # fmt: skip
        with pytest.raises((TypeError, AttributeError)):
            change()
    assert copy.deepcopy(made) == made
    assert plain({"k": made, "one": 1}) == {"k": list(made), "one": 1}
    assert type(plain({"k": made})["k"]) is list


def test_a_long_list_is_short_in_words() -> None:
    assert repr(read(0, bytes(5), 5)) == "[0, 0, 0, 0, 0]"
    assert repr(read(0, bytes(9), 9)) == "[0, 0, 0, 0, 0, 0, 0, 0, ...]"
    assert len(repr(texts("x" * 9999, "y"))) < 120


@pytest.mark.parametrize("kind", SCALARS, ids=lambda kind: TYPE_NAMES[kind])
def test_numbers_are_written_as_they_came(kind: int) -> None:
    size = struct.calcsize(SCALARS[kind])
    elements = bytes(i % 2 if kind == BOOL else 7 * i % 256 for i in range(8 * size))
    writer = GGUFWriter()
    writer.add("k", read(kind, elements, 8), type=TYPE_NAMES[kind])
    assert pair("k", ARRAY, array(kind, 8, elements)) in writer.to_bytes()


def test_texts_are_written_as_they_came() -> None:
    writer = GGUFWriter()
    writer.add("k", texts("a", "", "🦙"))
    elements = string("a") + string("") + string("🦙")
    assert pair("k", ARRAY, array(STRING, 3, elements)) in writer.to_bytes()


# Checked to be UTF-8, many at a time


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=5).map(lambda text: text.encode("utf-8", "replace")),
            st.binary(max_size=3),
            st.sampled_from([b"x" * 127, b"x" * 168 + b"\xc3", b"\x80" * 200, b"y" * 128]),
        ),
        max_size=6,
    ),
    st.sampled_from([0, 511, 600]),
)
def test_texts_are_refused_where_one_is_not_utf8(strings: list[bytes], before: int) -> None:
    strings = [b"ok"] * before + strings
    bad = next((i for i, one in enumerate(strings) if not _is_utf8(one)), None)
    if bad is None:
        assert texts(*strings) == [one.decode() for one in strings]
        return
    with pytest.raises(FormatError, match=rf"^string {bad} of the value of 'k' at byte \d+ is not"):
        texts(*strings)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_a_length_lends_no_byte_to_the_text_before_it() -> None:
    """0xC3 ends the first text, and 169, the length of the second one, is what would follow it."""
    with pytest.raises(FormatError, match=r"string 0 of .* 0xc3"):
        texts(b"ab\xc3", "x" * 169)


@pytest.mark.parametrize("at", [0, 65_534, 65_535, 65_536, 200_000])
def test_the_bad_byte_of_a_long_text_is_named(at: int) -> None:
    data = b"x" * at + b"\xe2\x82(" + b"y" * 5
    for whole in (
        build([pair("k", STRING, string(data))]),
        build([pair("k", ARRAY, array(STRING, 1, string(data)))]),
    ):
        with pytest.raises(FormatError, match=rf"\(byte 0xe2 at {whole.index(data) + at}\)"):
            read_header(whole)


# In pieces


def test_the_end_of_a_long_list_is_foreseen() -> None:
    """Where most of it is here, not twice as much is asked for, but about what is missing."""
    data = build([pair("k", ARRAY, array(STRING, 100_000, string("abcd") * 100_000))])
    have, asked = 1 << 16, []
    while True:
        found = _header(data[:have])
        if isinstance(found, GGUFHeader):
            break
        asked.append(found)
        have = min(found, len(data))
    assert asked[-1] < 1.3 * len(data)
    assert len(asked) < 10


def _header(data: bytes) -> GGUFHeader | int:
    try:
        return read_header(data)
    except NeedMoreData as more:
        return more.at_least
