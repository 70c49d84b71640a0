"""Tokenizers of files that lie: every lie is named, and nothing but a ThimbleError comes out."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer_vocabularies import bpe, spm, unigram
from thimble.errors import FormatError, OptionError, ThimbleError, UnsupportedError
from thimble.tokenizer import tokenizer_from_metadata

PREFIX = "tokenizer.ggml."

LIES: list[tuple[str, dict[str, Any], str]] = [
    ("bpe", {"tokens": []}, "tokens is empty"),
    ("bpe", {"tokens": None}, "tokens is missing"),
    ("bpe", {"tokens": "abc"}, "tokens must be a list, not 'abc'"),
    ("bpe", {"tokens": ["a", 3]}, r"tokens\[1\] must be a string, not 3"),
    ("bpe", {"tokens": ["a", "b", "a"]}, "tokens has 'a' twice"),
    ("bpe", {"tokens": ["a", "\ud800"]}, r"tokens\[1\] is not text"),
    ("bpe", {"token_type": [1, 2, 3]}, r"token_type has 3 values for \d+ tokens"),
    ("bpe", {"token_type": 7}, "token_type must be a list, not 7"),
    ("bpe", {"merges": None}, "merges is missing"),
    ("bpe", {"merges": ["a b", "q zzz"]}, r"merges\[\d\] is"),
    ("bpe", {"merges": ["ab"]}, r"merges\[0\] is 'ab'"),
    ("bpe", {"merges": [""]}, r"merges\[0\] is ''"),
    ("bpe", {"merges": [1]}, r"merges\[0\] must be a string, not 1"),
    ("bpe", {"bos_token_id": 10**9}, "bos_token_id is 1000000000; token ids are 0 to"),
    ("bpe", {"eos_token_id": -2}, "eos_token_id is -2"),
    ("bpe", {"eot_token_id": "1"}, "eot_token_id must be an integer, not '1'"),
    ("bpe", {"fim_pad_token_id": 10**9}, "fim_pad_token_id is 1000000000"),
    ("bpe", {"add_bos_token": 1}, "add_bos_token must be true or false, not 1"),
    ("bpe", {"add_bos_token": True, "bos_token_id": None}, "there is no bos_token_id"),
    ("bpe", {"pre": 3}, "pre must be a string, not 3"),
    ("bpe", {"model": None}, "model is missing"),
    ("bpe", {"model": ["gpt2"]}, "model must be a string"),
    ("spm", {"scores": [0.5]}, r"scores has 1 values for \d+ tokens"),
    ("spm", {"scores": {}}, "scores must be a list"),
    ("spm", {"add_space_prefix": "yes"}, "add_space_prefix must be true or false, not 'yes'"),
]


def lie(kind: str, changes: dict[str, Any]) -> dict[str, Any]:
    metadata = {"bpe": bpe, "spm": spm, "unigram": unigram}[kind]()
    metadata.update({PREFIX + key: value for key, value in changes.items()})
    return metadata


@pytest.mark.parametrize(("kind", "changes", "message"), LIES, ids=lambda value: str(value)[:40])
def test_lies_are_named(kind: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        tokenizer_from_metadata(lie(kind, changes))


@pytest.mark.parametrize("value", ["x", None, True, float("nan"), [1]], ids=repr)
def test_a_score_is_a_number(value: object) -> None:
    metadata = spm()
    metadata[PREFIX + "scores"][300] = value
    with pytest.raises(FormatError, match=r"scores\[300\] must be a number"):
        tokenizer_from_metadata(metadata)


def test_a_byte_token_names_its_byte() -> None:
    metadata = spm()
    metadata[PREFIX + "tokens"][13] = "<0xzz>"
    with pytest.raises(FormatError, match="token 13 is a byte token, but is '<0xzz>'"):
        tokenizer_from_metadata(metadata)


def test_what_does_not_run_is_named_with_what_does() -> None:
    with pytest.raises(
        UnsupportedError, match="model is 'plamo2'; those that run are bert, gpt2, llama"
    ):
        tokenizer_from_metadata(lie("bpe", {"model": "plamo2"}))
    with pytest.raises(UnsupportedError, match=r"pre is 'nope'; those that run are .*qwen2"):
        tokenizer_from_metadata(lie("bpe", {"pre": "nope"}))
    with pytest.raises(OptionError, match="metadata is a mapping, not list"):
        tokenizer_from_metadata([])  # type: ignore[arg-type]


def test_minus_one_says_that_there_is_no_such_token() -> None:
    tokenizer = tokenizer_from_metadata(
        lie("spm", {"eos_token_id": 0xFFFFFFFF, "padding_token_id": 0xFFFFFFFF})
    )
    assert tokenizer.eos_id is None


def test_an_empty_token_matches_nothing() -> None:
    metadata = bpe()
    metadata[PREFIX + "tokens"][-1] = ""  # a user-defined one, which would be cut out everywhere
    tokenizer = tokenizer_from_metadata(metadata)
    assert tokenizer.decode(tokenizer.encode("Mia")) == "Mia"
    assert tokenizer.token_text(tokenizer.n_vocab - 1).startswith("[EMPTY_")


KEYS = [
    "model", "pre", "tokens", "scores", "token_type", "merges", "bos_token_id", "eos_token_id",
    "unknown_token_id", "eot_token_id", "add_bos_token", "add_eos_token", "add_space_prefix",
    "fim_rep_token_id", "precompiled_charsmap", "edge_spaces", "remove_extra_whitespaces",
]  # fmt: skip
SMALL = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 400), st.floats(), st.text(max_size=8),
    st.binary(max_size=4),
)  # fmt: skip
VALUES = st.one_of(SMALL, st.lists(SMALL, max_size=5), st.sampled_from(["llama", "gpt2", "t5"]))
PIECES = st.lists(st.text("ab <>|\u2581\u0120\ud800é", max_size=6), max_size=12)


@given(
    kind=st.sampled_from(["bpe", "spm", "unigram"]),
    changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3),
    element=st.tuples(
        st.sampled_from(["tokens", "scores", "token_type", "merges", "precompiled_charsmap"]),
        st.integers(0, 300),
        SMALL,
    ),
    text=st.text(max_size=20),
)
@settings(max_examples=400, deadline=None)
def test_mutated_metadata_gives_a_tokenizer_or_a_thimble_error(
    kind: str, changes: dict[str, Any], element: tuple[str, int, object], text: str
) -> None:
    metadata = lie(kind, changes)
    values = metadata.get(PREFIX + element[0])
    if isinstance(values, list) and element[1] < len(values):
        metadata[PREFIX + element[0]] = [*values]
        metadata[PREFIX + element[0]][element[1]] = element[2]
    use(metadata, text)


@given(
    tokens=PIECES,
    merges=PIECES,
    types=st.lists(st.integers(-1, 8), max_size=12),
    scores=st.lists(st.floats(allow_nan=True), max_size=12),
    model=st.sampled_from(["llama", "gpt2", "t5"]),
    text=st.text("ab <>|\u2581\u0120é", max_size=20),
)
@settings(max_examples=400, deadline=None)
def test_invented_metadata_gives_a_tokenizer_or_a_thimble_error(
    tokens: list[str],
    merges: list[str],
    types: list[int],
    scores: list[float],
    model: str,
    text: str,
) -> None:
    n = len(tokens)
    use(
        {
            PREFIX + "model": model,
            PREFIX + "tokens": tokens,
            PREFIX + "merges": merges,
            PREFIX + "token_type": (types * n)[:n],
            PREFIX + "scores": (scores * n)[:n],
        },
        text,
    )


def use(metadata: dict[str, Any], text: str) -> None:
    """Everything that a tokenizer does; only ThimbleErrors may come out."""
    with contextlib.suppress(ThimbleError):
        tokenizer = tokenizer_from_metadata(metadata)
        for token_id in range(tokenizer.n_vocab):
            tokenizer.token_bytes(token_id)
            tokenizer.is_special(token_id)
        tokenizer.decode(range(tokenizer.n_vocab))
        for parse_special in (True, False):
            for token_id in tokenizer.encode(text, parse_special=parse_special):
                assert 0 <= token_id < tokenizer.n_vocab
