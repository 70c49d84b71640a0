"""A tokenizer.json of Hugging Face's as the keys of a GGUF file.

Two kinds of BPE become one of ours each: byte-level ("gpt2"), whose way of cutting words is told by
the patterns that the file has, and SentencePiece's ("llama"), whose scores are the order of its
merges. Normalizers of Unicode (NFC) are left out there, as they are in llama.cpp. Other models have
files of their own. This file knows tokens; where words are cut knows `tokenizer_steps.py`, which of
them are special `special_tokens.py`. It encodes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import FormatError, UnsupportedError
from ..tokenizer.vocabulary import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    byte_of,
)
from .safetensors import read_json
from .special_tokens import added_keys, chat_template, list_of, special_keys
from .tokenizer_steps import (
    check_words,
    is_byte_level,
    pre_tokenizer,
    prefix_of_bytes,
    spaces,
    steps,
)
from .unigram_json import scored_pieces, unigram_keys
from .wordpiece_json import wordpiece_keys

LAST = 1 << 24
"""More than there are merges."""

Keys = dict[str, Any]


def tokenizer_keys(folder: Path, n_rows: int) -> Keys:
    """The keys `tokenizer.…` for a model whose embedding has `n_rows` rows.

    Raises FormatError and UnsupportedError, naming what in which file.
    """
    whole = read_json(folder / "tokenizer.json")
    model = whole.get("model")
    kind = model.get("type", "BPE") if isinstance(model, dict) else None
    if not isinstance(model, dict) or kind not in ("BPE", "WordPiece", "Unigram"):
        raise UnsupportedError(
            f"tokenizer.json is of the kind {kind!r:.40}; BPE, WordPiece and Unigram run here"
        )
    added = _added(whole)
    tokens, types = _vocabulary(model, added, n_rows)
    named = {token: i for i, token in enumerate(tokens)}
    if kind == "WordPiece":
        keys = wordpiece_keys(whole, tokens, types)
    elif kind == "Unigram":
        keys = unigram_keys(whole, tokens, types)
    elif is_byte_level(whole):
        keys = _byte_level(whole)
    else:
        keys = _sentencepiece(whole, tokens, types, added)
    keys |= {"tokens": tokens, "token_type": types, **added_keys(added)}
    keys |= special_keys(folder, whole, named)
    found = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    template = chat_template(folder)
    return found | ({"tokenizer.chat_template": template} if template else {})


def _byte_level(whole: dict[str, Any]) -> Keys:
    merges = [" ".join(pair) for pair in _merges(whole["model"])]
    return {
        "model": "gpt2",
        "pre": pre_tokenizer(whole),
        "merges": merges,
        **prefix_of_bytes(whole),
    }


def _sentencepiece(
    whole: dict[str, Any], tokens: list[str], types: list[int], added: dict[int, dict[str, Any]]
) -> Keys:
    """Also marks bytes and the unknown token; spaces of tokens that are found in a text are
    spaces."""
    model = whole["model"]
    _check_sentencepiece(whole, model)
    scores = _scores(model, tokens)
    for i, token in enumerate(tokens):
        if types[i] == NORMAL and byte_of(token) is not None:
            types[i] = BYTE
        if token == model.get("unk_token"):
            types[i] = UNKNOWN
        if types[i] == USER_DEFINED and i in added:
            tokens[i] = token.replace("▁", " ")
    return {"model": "llama", "scores": scores, **spaces(whole)}


def _added(whole: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Tokens that are found in a text before it is cut into words, by id."""
    found = {}
    for token in list_of(whole, "added_tokens"):
        good = isinstance(token, dict) and isinstance(token.get("content"), str)
        if not good or not isinstance(token.get("id"), int):
            raise FormatError(f"tokenizer.json has the added token {token!r:.80}")
        found[token["id"]] = token
    return found


def _vocabulary(
    model: dict[str, Any], added: dict[int, dict[str, Any]], n_rows: int
) -> tuple[list[str], list[int]]:
    """Tokens and their types, as many as the embedding has rows; some may be UNUSED."""
    if model.get("type") == "Unigram":
        ids = [(text, i) for i, (text, _) in enumerate(scored_pieces(model))]
    elif isinstance(vocab := model.get("vocab"), dict):
        ids = list(vocab.items())
    else:
        raise FormatError(f"the vocabulary in tokenizer.json is {vocab!r:.60}; an object is right")
    tokens = [f"[PAD{i}]" for i in range(n_rows)]
    types = [UNUSED] * n_rows
    named = [(text, i, NORMAL) for text, i in ids] + [
        (token["content"], i, CONTROL if token.get("special") else USER_DEFINED)
        for i, token in added.items()
    ]
    for text, i, kind in named:
        if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < n_rows:
            raise FormatError(
                f"tokenizer.json gives {text!r:.60} the id {i!r:.20}; the embedding has "
                f"{n_rows} rows"
            )
        tokens[i], types[i] = text, kind
    return tokens, types


def _merges(model: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs in the order in which they join: written as "a b", or as ["a", "b"]."""
    found = []
    for merge in list_of(model, "merges"):
        pair = merge.split(" ", 1) if isinstance(merge, str) else merge
        if not isinstance(pair, list):
            pair = []
        if len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise FormatError(f"tokenizer.json has the merge {merge!r:.60}; two pieces are right")
        found.append((pair[0], pair[1]))
    return found


def _scores(model: dict[str, Any], tokens: list[str]) -> list[float]:
    """SentencePiece's scores, of which only the order matters: that of the merges. What no merge
    makes comes last."""
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(_merges(model)):
        ranks.setdefault(left + right, rank)
    return [-float(ranks.get(token, LAST)) for token in tokens]


def _check_sentencepiece(whole: dict[str, Any], model: dict[str, Any]) -> None:
    if model.get("byte_fallback") is not True:
        raise UnsupportedError(
            "tokenizer.json is BPE without bytes: neither byte-level nor with byte_fallback, "
            "one of which runs here"
        )
    known = {"Prepend", "Replace", "NFC", "NFKC"}
    other = {str(s.get("type")) for s in steps(whole.get("normalizer"))} - known
    if other:
        raise UnsupportedError(
            f"tokenizer.json normalizes by {', '.join(sorted(other))}; {', '.join(sorted(known))} "
            "run here"
        )
    check_words(whole, ("Metaspace",))
