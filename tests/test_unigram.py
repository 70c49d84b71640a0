"""Unigram models against SentencePiece, whose ids are recorded, and Hugging Face's `tokenizers`."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.test_convert_tokenizer import SPACED, SWALLOWING, TORTURE, ours, theirs
from tests.tiny_tokenizers import unigram, unigram_pieces
from tests.tokenizer_vocabularies import HARD_TEXTS, unigram_metadata, unigram_record
from tests.tokenizer_vocabularies import unigram as metadata
from tests.vectors.record_unigram import TEXTS
from thimble.convert.tokenizer_json import tokenizer_keys
from thimble.errors import FormatError, OptionError, ThimbleError, UnsupportedError
from thimble.tokenizer import Tokenizer, tokenizer_from_metadata
from thimble.tokenizer.charsmap import Charsmap
from thimble.tokenizer.unigram import UnigramTokenizer

KINDS = ("unknown", "bytes")
PREFIX = "tokenizer.ggml."

SPLIT = {"type": "WhitespaceSplit"}
RUNS = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
BLOCKS = {**RUNS, "content": "▁"}


def meta(scheme: str = "always", split: bool = True) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def strip(left: bool, right: bool) -> dict[str, Any]:
    return {"type": "Strip", "strip_left": left, "strip_right": right}


PIPELINES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "XLM-RoBERTa": ([], [SPLIT, meta()]),
    "E5": ([], [meta()]),
    "BGE": ([RUNS], [meta()]),
    "T5": ([strip(False, True), BLOCKS], [meta()]),
    "both ends": ([strip(True, True), RUNS], [meta("never")]),
    "first space": ([RUNS], [meta("first")]),
    "no space": ([RUNS], [meta("never", False)]),
    "whole": ([], [meta("always", False)]),
}
"""What is done to a text behind the Precompiled normalizer, and before the model."""


def whole_of(kind: str, pipeline: str, *, precompiled: bool = True) -> dict[str, Any]:
    """A tokenizer.json."""
    whole = unigram(kind)
    normal, cut = PIPELINES[pipeline]
    if not precompiled:  # then Strip takes what is no space, and is refused
        normal = [step for step in normal if step["type"] != "Strip"]
    first = [whole["normalizer"]] if precompiled else []
    whole["normalizer"] = {"type": "Sequence", "normalizers": first + normal}
    whole["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": cut}
    return whole


def converted(folder: Path, whole: dict[str, Any], kind: str) -> Tokenizer:
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return ours(folder, len(unigram_pieces(kind)) + 2)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_sentencepieces(kind: str) -> None:
    mine = tokenizer_from_metadata(metadata(kind))
    for text, ids in zip(TEXTS, unigram_record()[kind]["ids"], strict=True):
        assert mine.encode(text, add_special=False) == ids, ascii(text[:60])


@pytest.mark.parametrize("precompiled", [True, False])
@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_hugging_faces(tmp_path: Path, kind: str, pipeline: str, precompiled: bool) -> None:
    whole = whole_of(kind, pipeline, precompiled=precompiled)
    mine, other = converted(tmp_path, whole, kind), theirs(whole)
    specials = [text.replace("<x>", "<mask>").replace("<y>", "<s>") for text in SWALLOWING]
    for text in (TORTURE, *HARD_TEXTS, *TEXTS, *SPACED, *specials, "x" * 300):
        text = text.replace("\r\n", "\n")  # a cluster, of which that library takes the first half
        found = mine.encode(text, parse_special=True)
        assert found == other.encode(text).ids, ascii(text[:60])


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_cluster_no_part_is_lost(tmp_path: Path, kind: str) -> None:
    """Unlike in Hugging Face's library, and as in SentencePiece."""
    mine = converted(tmp_path, whole_of(kind, "E5"), kind)
    assert isinstance(mine, UnigramTokenizer)
    assert mine.normalized("ﬁ\u0301", False) == "fi\u0301"
    assert mine.encode("e\u0301") == mine.encode("é")
    assert mine.encode("a\r\nb") == mine.encode("a  b")


def test_any_text_comes_back_where_nothing_is_normalized(tmp_path: Path) -> None:
    mine = converted(tmp_path, whole_of("bytes", "whole", precompiled=False), "bytes")
    plain = tokenizer_from_metadata(
        metadata("bytes")
        | {f"{PREFIX}precompiled_charsmap": [], f"{PREFIX}remove_extra_whitespaces": False}
    )
    for text in (TORTURE, *HARD_TEXTS, "  two  spaces ", "\n\n", "\0"):
        assert plain.decode(plain.encode(text), skip_special=True) == text
        again = mine.decode(mine.encode(text), skip_special=True)
        assert again == text.removeprefix(" ")  # Metaspace takes a space for the one before a text


def test_bytes_stand_for_what_is_no_piece() -> None:
    mine = tokenizer_from_metadata(metadata("bytes"))
    names = [mine.token_text(i) for i in mine.encode("\U00013000", add_special=False)]
    assert names[-4:] == ["<0xF0>", "<0x93>", "<0x80>", "<0x80>"]
    assert mine.decode(mine.encode("a\U00013000"), skip_special=True) == "a\U00013000"
    other = tokenizer_from_metadata(metadata("unknown"))
    assert other.encode("\U00013000\U00013001 \U00013002", add_special=False).count(0) == 2


def test_ends_and_beginnings_are_those_of_the_kind(tmp_path: Path) -> None:
    bare = metadata() | {f"{PREFIX}{name}_token_id": None for name in ("bos", "eos", "unknown")}
    mine = tokenizer_from_metadata(bare)
    assert (mine.bos_id, mine.eos_id, mine.vocabulary.unk_id) == (None, 1, 2)
    assert mine.encode("the")[-1] == 1  # T5's
    around = converted(tmp_path, unigram("unknown"), "unknown")
    assert around.encode("")[0] == 0 and around.encode("")[-1] == 2
    keys = tokenizer_keys(tmp_path, len(unigram_pieces("unknown")) + 2)
    assert keys[f"{PREFIX}token_type"][-2:] == [5, 5]
    assert keys[f"{PREFIX}scores"][-2:] == [-10_000.0] * 2
    assert keys[f"{PREFIX}precompiled_charsmap"].code == "B"


def test_a_control_token_is_no_way_to_cut_a_text() -> None:
    mine = tokenizer_from_metadata(metadata())
    assert not {0, 1, 2} & set(mine.encode("</s><s><unk>", add_special=False)) - {0}
    assert mine.encode("a</s>b", parse_special=True, add_special=False).count(2) == 1


def test_work_grows_with_the_text_not_with_its_square() -> None:
    class Counting(dict[str, int]):
        asked = 0

        def get(self, key: str, default: Any = None) -> Any:
            type(self).asked += 1
            return super().get(key, default)

    mine = tokenizer_from_metadata(metadata())
    longest = max(map(len, mine.vocabulary.ids))
    object.__setattr__(mine.vocabulary, "ids", Counting(mine.vocabulary.ids))
    mine.encode("x" * 20_000 + " " * 20_000)
    assert Counting.asked < 40_000 * longest


def charsmap(**changes: bytes) -> bytes:
    """The recorded normalizer, its parts replaced."""
    data = base64.b64decode(unigram_record()["unknown"]["charsmap"])
    n = int.from_bytes(data[:4], "little")
    parts = {"length": data[:4], "units": data[4 : 4 + n], "texts": data[4 + n :]} | changes
    return b"".join(parts.values())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\1", "should have 1 bytes of 1"),
        (charsmap(length=bytes(4)), "should have 0 bytes"),
        (charsmap(length=b"\7\0\0\0"), "should have 7 bytes"),
        (charsmap(length=b"\0\0\0\x7f"), "should have 2,130,706,432 bytes"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_normalizer_are_named(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        tokenizer_from_metadata(metadata() | {f"{PREFIX}precompiled_charsmap": [*data]})


def test_a_trie_that_leads_astray_is_named_when_it_does() -> None:
    size = len(charsmap())
    with pytest.raises(FormatError, match="no end within 1024 bytes"):
        Charsmap(charsmap(texts=b"x" * size))("ﬁ")
    with pytest.raises(FormatError, match="no UTF-8"):
        Charsmap(charsmap(texts=b"\xff" * 1000 + bytes(size)))("Ａﬁ")
    with pytest.raises(FormatError, match=r"leads to unit [\d,]+; it has 2"):
        Charsmap(b"\x08\0\0\0" + b"\0\xfc\xff\x7f" * 2)("a")


def test_normalizers_of_any_bytes_normalize_or_are_refused() -> None:
    good, rng, seen = charsmap(), random.Random(3), set()
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(rng.choice((1, 4, 300))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            end = rng.choice((len(data), rng.randrange(len(data))))
            made = Charsmap(bytes(data[:end]))
            seen.add("same" if made(TORTURE) == Charsmap(good)(TORTURE) else "other")
        except FormatError:
            seen.add("refused")
    assert seen == {"same", "other", "refused"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": [float("inf")] * len(metadata()[f"{PREFIX}tokens"])}, "is inf; a finite"),
        ({"precompiled_charsmap": [300]}, r"charsmap\[0\] must be a byte, not 300"),
        ({"precompiled_charsmap": "x"}, "charsmap must be a list"),
        ({"edge_spaces": "left"}, "edge_spaces is 'left'; none, first, last, both are right"),
        ({"remove_extra_whitespaces": 1}, "whitespaces must be true or false, not 1"),
    ],
)
def test_keys_that_lie_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        tokenizer_from_metadata(metadata() | {PREFIX + key: v for key, v in changes.items()})


def test_a_piece_without_end_and_a_text_without_a_token_are_named() -> None:
    long = metadata()
    long[f"{PREFIX}tokens"][7] = "a" * 257
    with pytest.raises(FormatError, match=r"tokens\[7\] has 257 characters; .* at most 256"):
        tokenizer_from_metadata(long)
    none = metadata() | {f"{PREFIX}unknown_token_id": -1}
    with pytest.raises(OptionError, match=r"no token for .*, and no unknown token"):
        tokenizer_from_metadata(none).encode("\U00013000")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"normalizer": {"type": "Lowercase"}}, UnsupportedError, "normalizes by 'Lowercase'"),
        ({"normalizer": strip(True, True)}, UnsupportedError, "normalizes by 'Strip'"),
        ({"normalizer": {"type": "Sequence", "normalizers": [
            unigram("unknown")["normalizer"], strip(True, True)]}}, UnsupportedError,
         "strips spaces at the ends"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "?"}}, FormatError,
         "charsmap in tokenizer.json is '.'; base64 is right"),
        ({"pre_tokenizer": {"type": "Punctuation"}}, UnsupportedError,
         "cuts words by 'Punctuation'"),
        ({"pre_tokenizer": SPLIT}, UnsupportedError, "puts none before each word"),
        ({"model": {"type": "Unigram", "vocab": [["a"]]}}, FormatError, r"has \['a'\] in its"),
        ({"model": {"type": "Unigram", "vocab": {"a": 1}}}, FormatError, "a list is right"),
    ],
)  # fmt: skip
def test_other_files_are_refused(
    tmp_path: Path, change: dict[str, Any], error: type[ThimbleError], words: str
) -> None:
    with pytest.raises(error, match=words):
        converted(tmp_path, whole_of("unknown", "E5") | change, "unknown")


def test_what_llamacpp_writes_of_xlm_roberta_is_read() -> None:
    """Bytes of the normalizer as signed numbers, too; our keys are not there."""
    keys = unigram_metadata(unigram_record()["unknown"])
    signed = [b - 256 if b > 127 else b for b in keys[f"{PREFIX}precompiled_charsmap"]]
    one = tokenizer_from_metadata(keys)
    other = tokenizer_from_metadata(keys | {f"{PREFIX}precompiled_charsmap": signed})
    assert one.encode(TORTURE) == other.encode(TORTURE)
