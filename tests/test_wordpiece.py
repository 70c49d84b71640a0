"""WordPiece against Hugging Face's `tokenizers`: BERT's normalization, words and pieces."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.test_convert_tokenizer import TORTURE
from tests.tiny_folders import write_folder
from tests.tiny_tokenizers import wordpiece_vocab
from tests.tokenizer_vocabularies import HARD_TEXTS
from thimble.convert.folder import convert_folder
from thimble.convert.wordpiece_json import wordpiece_keys
from thimble.errors import FormatError, UnsupportedError
from thimble.tokenizer import tokenizer_from_metadata
from tools.real_model import TEXT

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
OLD = unicodedata.ucd_3_2_0
"""Characters that all tables of Unicode agree on are known to this one."""


def vocabulary() -> list[str]:
    text = "".join(HARD_TEXTS) + TEXT + TORTURE
    letters = sorted({c for c in text + text.lower() + "\u00e9\u00df\u03c3\u03c2" if c.strip()})
    pieces = ["hello", "##lo", "he", "##ll", "the", "##ing", "un", "##able"]
    return list(dict.fromkeys([*SPECIAL, *letters, *(f"##{c}" for c in letters), *pieces]))


def both(lower: bool, accents: bool | None) -> tuple[Any, Any]:
    """Their tokenizer and ours."""
    tokens = vocabulary()
    vocab = {token: i for i, token in enumerate(tokens)}
    theirs = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    theirs.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=accents)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    types = [3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL))
    whole = {
        "normalizer": {"type": "BertNormalizer", "lowercase": lower, "strip_accents": accents},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece"},
    }
    keys = wordpiece_keys(whole, tokens, types)
    keys |= {"tokens": tokens, "token_type": types, "unknown_token_id": 1}
    keys |= {"cls_token_id": 2, "seperator_token_id": 3}
    return theirs, tokenizer_from_metadata({f"tokenizer.ggml.{k}": v for k, v in keys.items()})


def newer_marks(text: str) -> bool:
    """Whether it has combining marks of which tables of other versions may say another thing."""
    return any(OLD.category(c) == "Cn" and unicodedata.category(c)[0] in "MC" for c in text)


def random_texts() -> list[str]:
    rng = random.Random(5)
    places = [c for c in map(chr, range(1, 0x2FA20))
              if OLD.category(c) == unicodedata.category(c) not in ("Cn", "Cs", "Co")
              and OLD.normalize("NFD", c) == unicodedata.normalize("NFD", c)]  # fmt: skip
    common = [chr(i) for i in range(9, 0x250)]
    return ["".join(rng.choice((rng.choice(places), rng.choice(common))) for _ in range(30))
            for _ in range(300)]  # fmt: skip


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("accents", [None, True, False])
def test_ids_are_those_of_tokenizers(lower: bool, accents: bool | None) -> None:
    theirs, ours = both(lower, accents)
    long = "a" * 100 + " " + "a" * 101
    known = (*HARD_TEXTS, *TORTURE.split(";"))
    hard = [text for text in known if not newer_marks(text)]
    assert len(hard) > 0.8 * len(known)
    for text in (*hard, TEXT, long, "\u0130stanbul \u03a3\u0391\u03a3", *random_texts()):
        wanted = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, add_special=False) == wanted, text
    assert ours.encode("hello") == [2, *theirs.encode("hello").ids, 3]


def test_tokens_read_as_words_again() -> None:
    _, ours = both(True, None)
    ids = ours.encode("Hello  the h\u00e9llo")
    assert ours.decode(ids, skip_special=True) == "hello the hello"


def test_a_special_token_is_found_where_it_may_be() -> None:
    _, ours = both(True, None)
    mask = SPECIAL.index("[MASK]")
    assert mask in ours.encode("he [MASK] the", parse_special=True)
    assert mask not in ours.encode("he [MASK] the")


def test_without_an_unknown_token_it_is_no_tokenizer() -> None:
    keys = {"model": "bert", "tokens": ["\u2581a"], "token_type": [1], "bos_token_id": 0,
            "eos_token_id": 0}  # fmt: skip
    with pytest.raises(FormatError, match="unknown_token_id is missing"):
        tokenizer_from_metadata({f"tokenizer.ggml.{k}": v for k, v in keys.items()})


@pytest.mark.parametrize(("part", "key", "value", "words"), [
    ("normalizer", "type", "Lowercase", "normalizer in tokenizer.json is 'Lowercase'"),
    ("normalizer", "handle_chinese_chars", False, "handle_chinese_chars .* is False"),
    ("pre_tokenizer", "type", "Whitespace", "'BertPreTokenizer' runs here"),
    ("model", "continuing_subword_prefix", "@@", "prefix in tokenizer.json is '@@'"),
    ("model", "max_input_chars_per_word", 7, "per_word in tokenizer.json is 7"),
])  # fmt: skip
def test_other_steps_are_refused(part: str, key: str, value: object, words: str) -> None:
    whole: dict[str, Any] = {
        "normalizer": {"type": "BertNormalizer"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece"},
    }
    whole[part][key] = value
    with pytest.raises(UnsupportedError, match=words):
        wordpiece_keys(whole, ["a"], [1])


def test_other_ways_of_pooling_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert-first")
    config = folder / "1_Pooling" / "config.json"
    config.write_text(config.read_text().replace("cls_token", "max_tokens"))
    with pytest.raises(UnsupportedError, match="pools by pooling_mode_max_tokens"):
        convert_folder(folder, tmp_path / "out.gguf", "f32")
    assert len(wordpiece_vocab()) == len(set(wordpiece_vocab()))


@pytest.mark.parametrize("step", [3, "x", [], None])
def test_a_step_that_is_no_object_is_named(step: object) -> None:
    with pytest.raises(UnsupportedError, match="normalizer in tokenizer"):
        wordpiece_keys({"normalizer": step, "model": {}}, ["a"], [1])
