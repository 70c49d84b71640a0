"""Tokenizers against others': llama.cpp's own test vectors and recorded ids, Hugging Face's."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from tests.tokenizer_vocabularies import HARD_TEXTS, pairs
from thimble.gguf import read_header
from thimble.tokenizer import StreamDecoder, Tokenizer, tokenizer_from_metadata
from thimble.tokenizer.pretokenizers import PRETOKENIZERS
from thimble.tokenizer.unicode_classes import LETTER, NUMBER

SHARED = Path(__file__).parents[2] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no folder {SHARED}")
VOCABULARIES = sorted(SHARED.glob("tokenizers/*.gguf"))
MODELS = sorted(SHARED.glob("models/*.gguf"))
RECORDED = json.loads(
    Path(__file__).with_name("vectors").joinpath("pretokenizers.json").read_text()
)
del RECORDED["llama-cpp-python"]

# The patterns as the models' own tokenizer.json files have them, for Hugging Face's tokenizers.
CONTRACTIONS = r"'s|'t|'re|'ve|'m|'ll|'d"
GPT2 = rf"{CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    rf"(?i:{CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {
    "gpt-2": (GPT2,),
    "llama-bpe": (LLAMA3,),
    "qwen2": (LLAMA3.replace("{1,3}", ""),),
    "smollm": (r"\p{N}", GPT2),
}


@cache
def load(path: Path) -> Tokenizer:
    return tokenizer_from_metadata(read_header(path.read_bytes()).metadata)


@cache
def heldout() -> str:
    return (SHARED / "data" / "tinystories-heldout.txt").read_text("utf-8")


@needs_shared
@pytest.mark.parametrize("path", VOCABULARIES, ids=lambda path: path.stem)
def test_ids_are_those_of_llamacpp(path: Path) -> None:
    tokenizer = load(path)
    text = Path(f"{path}.inp").read_bytes().decode()
    *texts, nothing = text.split("\n__ggml_vocab_test__\n")
    lines = Path(f"{path}.out").read_text().splitlines()
    assert len(texts) == len(lines) == 46 and nothing == ""
    for text, line in zip(texts, lines, strict=True):
        ids = [int(word) for word in line.split()]
        assert tokenizer.encode(text, add_special=False) == ids, text
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("pre", RECORDED)
def test_every_pretokenizer_agrees_with_llamacpp(pre: str) -> None:
    tokenizer = tokenizer_from_metadata(pairs(pre))
    for text, ids in zip(HARD_TEXTS, RECORDED[pre], strict=True):
        assert tokenizer.encode(text, add_special=False) == ids, ascii(text)


def test_every_pretokenizer_has_recorded_ids() -> None:
    recorded = {id(PRETOKENIZERS[name]) for name in RECORDED}
    assert {id(pretokenizer) for pretokenizer in PRETOKENIZERS.values()} == recorded


@needs_shared
@pytest.mark.parametrize("pre", PATTERNS)
def test_ids_are_those_of_hugging_face(pre: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    metadata = read_header((SHARED / "tokenizers/ggml-vocab-gpt-2.gguf").read_bytes()).metadata
    metadata["tokenizer.ggml.pre"] = pre
    vocabulary = {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    ours = tokenizer_from_metadata(metadata)
    theirs = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocabulary, merges, ignore_merges=PRETOKENIZERS[pre].ignore_merges)
    )
    split = tokenizers.pre_tokenizers
    theirs.pre_tokenizer = split.Sequence(
        [split.Split(tokenizers.Regex(pattern), "isolated") for pattern in PATTERNS[pre]]
        + [split.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    for text in (*HARD_TEXTS[:-1], heldout()):
        assert ours.encode(text, add_special=False) == theirs.encode(text).ids, ascii(text[:60])


@needs_shared
@pytest.mark.parametrize("path", [*VOCABULARIES, *MODELS], ids=lambda path: path.stem)
def test_stories_come_back(path: Path) -> None:
    tokenizer = load(path)
    for story in heldout().split("<|endoftext|>")[:60]:
        ids = tokenizer.encode(story)
        assert tokenizer.decode(ids, skip_special=True) == story
        assert tokenizer.decode(tokenizer.encode(story, add_special=False)) == story
        stream = StreamDecoder(tokenizer)
        pieces = [stream.push(i) for i in ids] + [stream.flush()]
        if tokenizer.vocabulary.add_bos:
            assert "".join(pieces) == story


def test_classes_are_those_of_unicode_15_1_under_every_python() -> None:
    # A letter of 15.1 that Python 3.11 does not know, one of 16 that Python 3.14 knows.
    split = PRETOKENIZERS["gpt-2"].split
    assert split("a\U0002ebf0b") == ["a\U0002ebf0b"]
    assert split("a\u1c89b") == ["a", "\u1c89", "b"]
    assert LETTER.startswith("A-Za-z") and NUMBER.startswith("0-9")
