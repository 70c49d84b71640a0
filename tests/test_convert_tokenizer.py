"""A tokenizer.json that became keys of a GGUF file gives the ids that it gave before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_folders import CONFIGS, WITHOUT_LLAMA_CPP, recorded
from tests.tiny_tokenizers import n_vocab, write_tokenizer
from tests.tokenizer_vocabularies import HARD_TEXTS, bpe
from tests.vectors.record_architectures import TEXTS
from thimble.convert.tokenizer_json import tokenizer_keys
from thimble.convert.tokenizer_steps import pre_tokenizer
from thimble.errors import FormatError, ThimbleError, UnsupportedError
from thimble.tokenizer import Tokenizer, tokenizer_from_metadata

TORTURE = " ".join(HARD_TEXTS[:-1]) + (
    " Mia had a little red boat. «Où est-il ?» — 42 Žluťoučký kůň; съешь ещё этих мягких булок."
    " الأبجدية العربية, עברית; हिन्दी, தமிழ்; 漢字とかな交じり文、한글도."
    " ¿Qué? Ελληνικά 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0001f3f3\ufe0f\u200d\U0001f308"
    "\n\n\tdef f(x):\n\t\treturn x**2  # 1e-9\n"
)

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}{{1,3}}|{REST}"
QWEN2 = rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}|{REST}"
QWEN35 = QWEN2.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}", r"[^\s\p{L}\p{M}")


def split(pattern: str) -> dict[str, Any]:
    return {
        "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False
    }  # fmt: skip


def bytes_of(*, use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
        "use_regex": use_regex,
    }  # fmt: skip


STEPS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [bytes_of(use_regex=True)],
    "llama-bpe": [split(LLAMA3), bytes_of(use_regex=False)],
    "dbrx": [split(LLAMA3), bytes_of(use_regex=False)],
    "qwen2": [split(QWEN2), bytes_of(use_regex=False)],
    "qwen35": [split(QWEN35), bytes_of(use_regex=False)],
    "smollm": [{"type": "Digits", "individual_digits": True}, bytes_of(use_regex=True)],
}
"""How tokenizer.json files cut words, by llama.cpp's names for it."""


def folder_with(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    """Write a tokenizer with some parts changed; returns the whole."""
    write_tokenizer(folder, name)
    whole: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text())
    whole |= changes
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    return whole


def ours(folder: Path, n_rows: int, name: str = "") -> Tokenizer:
    return tokenizer_from_metadata(tokenizer_keys(folder, n_rows) | {"general.name": name})


def theirs(whole: dict[str, Any]) -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    return tokenizers.Tokenizer.from_str(json.dumps(whole))


@pytest.mark.parametrize("name", ["gpt2", "mistral", "gemma", "phi3"])
def test_ids_are_hugging_faces(tmp_path: Path, name: str) -> None:
    whole = folder_with(tmp_path, name)
    mine, other = ours(tmp_path, n_vocab(name), name), theirs(whole)
    for text in (TORTURE, *HARD_TEXTS, " ", "a", " leading and  double  spaces"):
        assert mine.encode(text, parse_special=True) == other.encode(text).ids, ascii(text[:60])
    assert mine.decode(mine.encode(TORTURE), skip_special=True) == TORTURE


@pytest.mark.parametrize("pre", STEPS)
def test_words_are_cut_as_before(tmp_path: Path, pre: str) -> None:
    steps = {"type": "Sequence", "pretokenizers": STEPS[pre]}
    whole = folder_with(tmp_path, "gpt2", pre_tokenizer=steps)
    whole["model"]["ignore_merges"] = pre == "llama-bpe"
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    assert pre_tokenizer(whole) == pre
    mine, other = ours(tmp_path, n_vocab("gpt2")), theirs(whole)
    # The last of the hard texts has characters of Unicode 15, which Hugging Face's library knows
    # or not.
    for text in (TORTURE, *HARD_TEXTS[:-1]):
        assert mine.encode(text) == other.encode(text).ids, ascii(text[:60])


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in WITHOUT_LLAMA_CPP])
def test_ids_are_llamacpps(tmp_path: Path, name: str) -> None:
    write_tokenizer(tmp_path, name)
    tokenizer = ours(tmp_path, n_vocab(name), name)
    for text, ids in zip(TEXTS, recorded()["models"][name]["texts"], strict=True):
        assert tokenizer.encode(text, parse_special=True) == ids, ascii(text)


def test_white_space_behind_phi3s_tokens_is_dropped(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "phi3")
    tokenizer = ours(tmp_path, n_vocab("phi3"), "Phi-3-mini")
    end = tokenizer.encode("<|end|>", add_special=False, parse_special=True)
    found = tokenizer.encode("<|end|> \n Hi", add_special=False, parse_special=True)
    assert found == end + tokenizer.encode("Hi", add_special=False)
    keys = tokenizer_keys(tmp_path, n_vocab("phi3"))
    assert keys.pop("tokenizer.ggml.rstrip_token_ids")  # as llama.cpp's files, which go by the name
    again = tokenizer_from_metadata(keys | {"general.name": "Phi-3"})
    assert again.encode("<|end|> \n Hi", add_special=False, parse_special=True) == found
    other = tokenizer_from_metadata(keys)
    assert other.encode("<|end|> \n Hi", add_special=False, parse_special=True) != found
    kept = tokenizer.encode("<|endoftext|> Hi", add_special=False, parse_special=True)
    assert kept != tokenizer.encode("<|endoftext|>Hi", add_special=False, parse_special=True)


def test_rows_without_a_token_are_unused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "gpt2")
    n = n_vocab("gpt2")
    keys = tokenizer_keys(tmp_path, n + 3)
    assert keys["tokenizer.ggml.tokens"][n:] == [f"[PAD{n + i}]" for i in range(3)]
    assert keys["tokenizer.ggml.token_type"][n:] == [5] * 3
    assert ours(tmp_path, n + 3).encode("boat") == ours(tmp_path, n).encode("boat")
    with pytest.raises(FormatError, match=f"the embedding has {n - 1} rows"):
        tokenizer_keys(tmp_path, n - 1)


def test_special_tokens_and_the_template_come_along(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "gemma")
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    keys = tokenizer_keys(tmp_path, n_vocab("gemma"))
    found = {k.removeprefix("tokenizer."): v for k, v in keys.items()}
    assert found["ggml.add_bos_token"] is True
    assert found["ggml.add_eos_token"] is False
    assert found["ggml.add_space_prefix"] is False
    assert (found["ggml.bos_token_id"], found["ggml.eos_token_id"]) == (1, 2)
    assert (found["ggml.unknown_token_id"], found["ggml.eot_token_id"]) == (0, 7)
    assert "message['role']" in found["chat_template"]
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert tokenizer_keys(tmp_path, n_vocab("gemma"))["tokenizer.chat_template"] == "{{ messages }}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "WordLevel"}}, "of the kind 'WordLevel'; BPE, WordPiece and Unigram"),
        ({"model": None}, "of the kind None; BPE, WordPiece and Unigram run"),
        ({"pre_tokenizer": split("x+")}, "cuts words by x\\+, which does not run"),
        ({"model": {"type": "BPE", "vocab": []}}, "the vocabulary .* is \\[\\]"),
        ({"model": {"type": "BPE", "vocab": {"a": -1}}}, "gives 'a' the id -1"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}}, "the merge \\['a'\\]"),
        ({"added_tokens": [{"id": "x"}]}, "the added token"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder_with(tmp_path, "gpt2", **changes)
    with pytest.raises(ThimbleError, match=message):
        tokenizer_keys(tmp_path, n_vocab("gpt2"))


def test_bpe_without_bytes_is_refused(tmp_path: Path) -> None:
    whole = folder_with(tmp_path, "gpt2", pre_tokenizer=None, decoder=None)
    with pytest.raises(UnsupportedError, match="neither byte-level nor with byte_fallback"):
        tokenizer_keys(tmp_path, n_vocab("gpt2"))
    whole["model"]["byte_fallback"] = True
    whole["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(UnsupportedError, match="normalizes by Lowercase"):
        tokenizer_keys(tmp_path, n_vocab("gpt2"))


SWALLOWING = (
    "a <x> b", "a<x>b", "a \t\n<x>\u00a0\u2003b", "<x><x>", "<x> <x>", "_<x>", "é<x>", ".<x>.",
    "e\u0301<x> c", "  <x>", "<x>  ", "a <y> <x> <y> b", "1<x>", "<x><y>", "a\x1c<x>\x1cb",
)  # fmt: skip


@pytest.mark.parametrize(
    "flags", [("lstrip",), ("rstrip",), ("lstrip", "rstrip"), ("single_word",)]
)
@pytest.mark.parametrize("special", [True, False])
def test_added_tokens_swallow_what_they_swallowed(
    tmp_path: Path, flags: tuple[str, ...], special: bool
) -> None:
    n = n_vocab("gpt2")
    off = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    added = [{"id": n, "content": "<x>", "special": special, **off, **dict.fromkeys(flags, True)},
             {"id": n + 1, "content": "<y>", "special": True, **off}]  # fmt: skip
    whole = folder_with(tmp_path, "gpt2")
    whole = folder_with(tmp_path, "gpt2", added_tokens=whole["added_tokens"] + added)
    mine, other = ours(tmp_path, n + 2), theirs(whole)
    for text in SWALLOWING:
        assert mine.encode(text, parse_special=True) == other.encode(text).ids, ascii(text)


SPACED = (
    "a", " a", "  a b", "<s>a", "<s> a", "a<s>b c<s>  d", "", " ", "a  b   c", "the <s> the the"
)  # fmt: skip


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_spaces_go_where_metaspace_put_them(tmp_path: Path, scheme: str, split: bool) -> None:
    step = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}
    whole = folder_with(
        tmp_path, "mistral", normalizer=None, pre_tokenizer=step, post_processor=None
    )
    mine, other = ours(tmp_path, n_vocab("mistral")), theirs(whole)
    for text in (*SPACED, TORTURE):
        found = mine.encode(text, add_special=False, parse_special=True)
        assert found == other.encode(text).ids, ascii(text[:60])


@pytest.mark.parametrize("scheme", ["last", 7, [], {"first": True}])
def test_another_scheme_is_refused_by_name(tmp_path: Path, scheme: object) -> None:
    step = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme}
    folder_with(tmp_path, "mistral", normalizer=None, pre_tokenizer=step)
    with pytest.raises(UnsupportedError, match="prepends spaces by"):
        ours(tmp_path, n_vocab("mistral"))


def test_a_byte_level_text_gets_its_space(tmp_path: Path) -> None:
    step = {**bytes_of(use_regex=True), "add_prefix_space": True}
    whole = folder_with(tmp_path, "gpt2", pre_tokenizer=step)
    mine, other = ours(tmp_path, n_vocab("gpt2")), theirs(whole)
    for text in (*SPACED, TORTURE, "a<|endoftext|>b"):
        assert mine.encode(text, parse_special=True) == other.encode(text).ids, ascii(text[:60])
    assert mine.decode(mine.encode("boat")) == "boat"


def test_every_end_of_a_text_is_one(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "gemma")
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": [2, 7, 9]}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 11]}))
    keys = tokenizer_keys(tmp_path, n_vocab("gemma"))
    found = [keys[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "eot", "eom")]
    assert found == [2, 11, 7]
    assert {2, 7, 9, 11} <= tokenizer_from_metadata(keys).eog_ids
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"eos_token_id": 8}}))
    assert 8 in tokenizer_from_metadata(tokenizer_keys(tmp_path, n_vocab("gemma"))).eog_ids


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("eog_token_ids", [10**6], "eog_token_ids has 1000000; token ids are 0 to"),
        ("lstrip_token_ids", [True], "lstrip_token_ids has True"),
        ("rstrip_token_ids", 3, "rstrip_token_ids must be a list"),
        ("space_prefix_scheme", "last", "always, missing, first are right"),
    ],
)
def test_keys_of_ours_that_lie_are_named(key: str, value: object, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        tokenizer_from_metadata(bpe() | {f"tokenizer.ggml.{key}": value})


def test_words_cut_otherwise_are_refused(tmp_path: Path) -> None:
    folder_with(tmp_path, "mistral", pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(UnsupportedError, match="cuts words by 'Whitespace'; Metaspace run"):
        tokenizer_keys(tmp_path, n_vocab("mistral"))
