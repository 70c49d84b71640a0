"""Tokenizers: round trips, special tokens, streaming, errors, and no text that is quadratic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer_vocabularies import HARD_TEXTS, Metadata, bpe, spm
from thimble.errors import OptionError
from thimble.tokenizer import StreamDecoder, Tokenizer, tokenizer_from_metadata
from thimble.tokenizer.base import CACHE_WORD_LENGTH
from thimble.tokenizer.merging import merge
from thimble.tokenizer.pretokenizers import PRETOKENIZERS

BPE = tokenizer_from_metadata(bpe())
SPM = tokenizer_from_metadata(spm())
BOTH = pytest.mark.parametrize("tokenizer", [BPE, SPM], ids=["bpe", "spm"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NO_BLOCK = TEXTS.filter(lambda text: "\u2581" not in text)  # to SentencePiece it is a space


def special(tokenizer: Tokenizer, text: str) -> int:
    return tokenizer.vocabulary.ids[text]


def tokens(tokenizer: Tokenizer, text: str, **options: Any) -> list[str]:
    return [tokenizer.token_text(i) for i in tokenizer.encode(text, **options)]


@BOTH
@given(text=NO_BLOCK)
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text
    assert tokenizer.decode(tokenizer.encode(text), skip_special=True) == text


@BOTH
@pytest.mark.parametrize("text", ["", *HARD_TEXTS, " ", "  x", "x  ", "\x00"], ids=ascii)
def test_hard_texts_come_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text


@BOTH
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_stream_is_the_whole_in_pieces(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.n_vocab - 1)))
    skip, start = data.draw(st.booleans()), data.draw(st.booleans())
    stream = StreamDecoder(tokenizer, skip_special=skip, at_start=start)
    text = "".join([*map(stream.push, ids), stream.flush()])
    assert text == tokenizer.decode(ids, skip_special=skip, at_start=start)
    whole = b"".join(map(tokenizer.token_bytes, ids)).decode("utf-8", "replace")
    assert skip or text in (whole, whole[1:])


@BOTH
def test_a_stream_never_cuts_a_character(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a🦙é", add_special=False)
    stream = StreamDecoder(tokenizer, at_start=True)
    pieces = [stream.push(i) for i in ids]
    assert "".join(pieces) == "a🦙é" and set("".join(pieces)) == {"a", "🦙", "é"}
    stream.push(ids[-1])
    assert stream.flush() == "\ufffd" or pieces[-1] == "é"


@pytest.mark.parametrize("pre", sorted(PRETOKENIZERS))
@given(text=TEXTS)
@settings(max_examples=30, deadline=None)
def test_words_together_are_the_text(pre: str, text: str) -> None:
    words = PRETOKENIZERS[pre].split(text)
    assert "".join(words) == text and all(words)


def test_sentencepiece_marks_spaces_and_falls_back_to_bytes() -> None:
    assert tokens(SPM, "Mia") == ["<s>", "\u2581Mia"]
    assert tokens(SPM, "é", add_special=False)[1:] == ["<0xC3>", "<0xA9>"]
    assert SPM.encode("") == [1] and SPM.encode("", add_special=False) == []
    assert SPM.token_bytes(special(SPM, "<0x0A>")) == b"\n"
    assert SPM.token_bytes(special(SPM, "\u2581Mia")) == b" Mia"


def test_sentencepiece_space_goes_at_the_beginning_only() -> None:
    mia = special(SPM, "\u2581Mia")
    assert SPM.decode([mia, mia]) == "Mia Mia"
    assert SPM.decode([1, mia], skip_special=True) == "Mia"
    assert SPM.decode([1, mia]) == "<s> Mia"  # as llama.cpp has it
    assert SPM.decode([mia], at_start=False) == " Mia"
    assert StreamDecoder(SPM).push(mia) == " Mia"  # goes on with a prompt
    stream = StreamDecoder(SPM)
    assert (stream.push(1), stream.push(mia)) == ("", "Mia")


def test_sentencepiece_without_space_prefix() -> None:
    plain = tokenizer_from_metadata(spm() | {"tokenizer.ggml.add_space_prefix": False})
    assert plain.decode(plain.encode(" Mia", add_special=False)) == " Mia"
    assert tokens(plain, "Mia", add_special=False) == ["Mia"]


def test_best_score_joins_first_and_leftmost_among_equals() -> None:
    ranks = {"ab": 1, "bc": 0, "abc": 2, "aa": 5}

    def rank(left: str, right: str) -> int | None:
        return ranks.get(left + right)

    assert merge(list("abcd"), rank) == ["abc", "d"]
    assert merge(list("aaaaa"), rank) == ["aa", "aa", "a"]
    assert merge([], rank) == [] and merge(["a"], rank) == ["a"]


@given(st.text("abc", max_size=40), st.permutations(["ab", "ba", "aa", "bb", "abab", "aab", "bc"]))
@settings(deadline=None)
def test_merging_is_the_plain_loop(text: str, order: list[str]) -> None:
    ranks = {token: i // 2 for i, token in enumerate(order)}  # with equal ranks

    def rank(left: str, right: str) -> int | None:
        return ranks.get(left + right)

    plain = list(text)
    while True:
        found = [(r, i) for i in range(len(plain) - 1)
                 if (r := rank(plain[i], plain[i + 1])) is not None]  # fmt: skip
        if not found:
            break
        _, i = min(found)
        plain[i : i + 2] = [plain[i] + plain[i + 1]]
    assert merge(list(text), rank) == plain


@pytest.mark.parametrize("text", ["a" * 20_000, " " * 20_000, "ab" * 10_000, "é" * 10_000])
@BOTH
def test_work_grows_with_the_text_not_with_its_square(tokenizer: Tokenizer, text: str) -> None:
    def work(text: str) -> int:
        asked = 0
        rank = tokenizer._pair_rank  # type: ignore[attr-defined]

        def counting(left: str, right: str) -> int | None:
            nonlocal asked
            asked += 1
            found: int | None = rank(left, right)
            return found

        tokenizer._pair_rank = counting  # type: ignore[attr-defined]
        try:
            tokenizer.encode(text)
        finally:
            tokenizer._pair_rank = rank  # type: ignore[attr-defined]
        return asked

    assert work(text) <= 3 * (len(text.encode()) + 1)


def test_a_pair_has_the_rank_of_its_first_merge() -> None:
    """Whichever other merges make the same token."""
    metadata = bpe()
    merges = ["a b", "b c", "ab c", "a bc", "ab c", "c a", "a bc", "b ca", "bc a", "abc a", "a bca"]
    tokens = list(dict.fromkeys([*metadata["tokenizer.ggml.tokens"], *"abc"]))
    tokens += [m for m in dict.fromkeys(m.replace(" ", "") for m in merges) if m not in tokens]
    del metadata["tokenizer.ggml.token_type"]
    tokenizer = tokenizer_from_metadata(
        {**metadata, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": merges}
    )
    ranks: dict[tuple[str, ...], int] = {}
    for rank, merge_text in enumerate(merges):
        ranks.setdefault(tuple(merge_text.split(" ")), rank)
    pieces = ["a", "b", "c", "ab", "bc", "ca", "abc", "bca", "abca", "x", "zz"]
    for left in pieces:
        for right in pieces:
            found = tokenizer._pair_rank(left, right)  # type: ignore[attr-defined]
            assert found == ranks.get((left, right)), (left, right)


def test_a_million_spaces_are_split_in_one_pass() -> None:
    for pretokenizer in PRETOKENIZERS.values():
        assert "".join(pretokenizer.split(" " * 1_000_000)) == " " * 1_000_000


def test_special_tokens_are_text_unless_asked_for() -> None:
    end = special(BPE, "<|end|>")
    assert end not in BPE.encode("a<|end|>b")
    assert BPE.encode("a<|end|>b", parse_special=True)[1] == end
    assert BPE.encode("<|end|>", parse_special=True) == [end]
    assert BPE.decode([end]) == "<|end|>" and BPE.decode([end], skip_special=True) == ""
    assert BPE.is_special(end) and not BPE.is_special(0)
    # A token that the vocabulary's maker defined as text is always cut out.
    assert special(BPE, "<mood>") in BPE.encode("a<mood>b")
    assert SPM.encode("</s>Mia", parse_special=True)[1:] == [2, special(SPM, "\u2581Mia")]


def test_the_longest_special_token_wins() -> None:
    metadata = bpe()
    metadata["tokenizer.ggml.tokens"][-1] = "<|end|>!"
    tokenizer = tokenizer_from_metadata(metadata)
    assert tokenizer.encode("<|end|>!", parse_special=True) == [tokenizer.n_vocab - 1]


def test_ends_are_found_by_id_and_by_name() -> None:
    assert BPE.eog_ids == {special(BPE, "<|end|>")} and SPM.eog_ids == {2}
    assert BPE.eos_id == special(BPE, "<|end|>") and SPM.bos_id == 1
    metadata = bpe() | {"tokenizer.ggml.eot_token_id": 7}
    metadata["tokenizer.ggml.tokens"][-2] = "<|im_end|>"
    n = BPE.n_vocab
    assert tokenizer_from_metadata(metadata).eog_ids == {7, n - 2, n - 3}


def test_bos_and_eos_are_added_as_the_file_says() -> None:
    ids = tokenizer_from_metadata(
        spm() | {"tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_eos_token": True}
    ).encode("Mia")
    assert ids[0] != 1 and ids[-1] == 2
    assert BPE.encode("a") == BPE.encode("a", add_special=False)


def test_ignore_merges_takes_whole_words() -> None:
    metadata = bpe("llama-bpe")
    metadata["tokenizer.ggml.tokens"][-1] = "zebra"
    metadata["tokenizer.ggml.token_type"][-1] = 1
    tokenizer = tokenizer_from_metadata(metadata)
    assert tokenizer.encode("zebra", add_special=False) == [tokenizer.n_vocab - 1]


def test_words_are_remembered_but_not_without_end() -> None:
    tokenizer = tokenizer_from_metadata(bpe())
    tokenizer.encode("Mia took a boat " + "z" * (CACHE_WORD_LENGTH + 1))
    assert "Mia" in tokenizer._cache and max(map(len, tokenizer._cache)) <= CACHE_WORD_LENGTH


def without_byte(metadata: Metadata, token: str) -> Metadata:
    i = metadata["tokenizer.ggml.tokens"].index(token)
    metadata["tokenizer.ggml.tokens"][i] = "nothing"
    metadata["tokenizer.ggml.token_type"][i] = 1
    return metadata


def test_a_byte_without_a_token() -> None:
    with pytest.raises(OptionError, match="no token for the byte 0xF0 of '🦙'"):
        tokenizer_from_metadata(without_byte(bpe(), "ð")).encode("🦙")
    # SentencePiece has an unknown token for this.
    assert tokenizer_from_metadata(without_byte(spm(), "<0xF0>")).encode("🦙")[-1] == 0


@BOTH
def test_wrong_arguments_are_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(OptionError, match=r"U\+D800, at character 2"):
        tokenizer.encode("ab\ud800")
    with pytest.raises(OptionError, match="a text is a str, not bytes"):
        tokenizer.encode(b"ab")  # type: ignore[arg-type]
    for wrong in (-1, tokenizer.n_vocab, 1.0, "1", True, None):
        for ask in (tokenizer.token_bytes, tokenizer.token_text, tokenizer.is_special):
            with pytest.raises(OptionError, match="token id"):
                ask(wrong)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="token id"):
            tokenizer.decode([wrong])  # type: ignore[list-item]
        with pytest.raises(OptionError, match="token id"):
            StreamDecoder(tokenizer).push(wrong)  # type: ignore[arg-type]
