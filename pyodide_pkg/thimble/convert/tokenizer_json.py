"""A tokenizer.json of Hugging Face's as the keys of a GGUF file.

Two kinds become one of ours: byte-level BPE ("gpt2"), whose way of cutting words is told by the
patterns that the file has, and SentencePiece's BPE ("llama"), whose scores are the order of its
merges. Normalizers of Unicode (NFC) are left out, as they are in llama.cpp. This file knows
tokenizer.json, tokenizer_config.json and the keys' names; it encodes nothing.
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

LAST = 1 << 24
"""More than there are merges."""

_CASELESS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPELT = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
_LLAMA3 = {start + _WORD + "{1,3}" + _TAIL for start in (_CASELESS, _SPELT)}
_QWEN2 = {start + _WORD + _TAIL for start in (_CASELESS, _SPELT)}
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CASELESS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CASELESS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

Keys = dict[str, Any]


def tokenizer_keys(folder: Path, n_rows: int) -> Keys:
    """The keys `tokenizer.…` for a model whose embedding has `n_rows` rows.

    Raises FormatError and UnsupportedError, naming what in which file.
    """
    whole = read_json(folder / "tokenizer.json")
    model = whole.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise UnsupportedError(f"tokenizer.json is of the kind {kind!r:.40}; BPE runs here")
    settings = _optional(folder / "tokenizer_config.json")
    added = _added(whole)
    tokens, types = _vocabulary(model, added, n_rows)
    keys: Keys
    if _is_byte_level(whole):
        keys = {"model": "gpt2", "pre": pre_tokenizer(whole)}
    else:
        _check_sentencepiece(whole, model)
        keys = {"model": "llama", "scores": _scores(model, tokens)}
        keys["add_space_prefix"] = _adds_space(whole)
        _mark_sentencepiece(model, tokens, types, added)
    keys |= {"tokens": tokens, "token_type": types}
    if keys["model"] == "gpt2":
        keys["merges"] = [" ".join(pair) for pair in _merges(model)]
    ids = {token: i for i, token in enumerate(tokens)}
    keys |= _specials(whole, settings, _optional(folder / "config.json"), ids)
    found = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    template = _template(folder, settings)
    return found | ({"tokenizer.chat_template": template} if template else {})


def pre_tokenizer(whole: dict[str, Any]) -> str:
    """The name of the way in which a tokenizer.json cuts words; UnsupportedError for another."""
    steps = _steps(whole.get("pre_tokenizer"))
    kinds = [step.get("type") for step in steps]
    patterns = [_pattern(step) for step in steps if step.get("type") == "Split"]
    splits_by_itself = steps[-1].get("use_regex", True) if steps else True
    ignores = whole["model"].get("ignore_merges") is True
    if kinds == ["ByteLevel"] and splits_by_itself:
        return "gpt-2"
    if kinds == ["Split", "ByteLevel"] and patterns == [_GPT2]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") is True:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and patterns[0] in _LLAMA3:
        return "llama-bpe" if ignores else "dbrx"
    if kinds == ["Split", "ByteLevel"] and patterns[0] in _QWEN2:
        return "qwen2"
    if kinds == ["Split", "ByteLevel"] and patterns == [_GPT4O]:
        return "gpt-4o"
    if kinds == ["Punctuation", "ByteLevel", "Digits", "Split"] and patterns == ["[0-9][0-9][0-9]"]:
        return "falcon"
    if kinds == ["Split"] * 5 + ["Digits", "ByteLevel"] and patterns[0] == r"[\r\n]":
        return "deepseek-llm"
    words = ", ".join(str(p) for p in patterns) or " and ".join(map(str, kinds)) or "nothing"
    raise UnsupportedError(
        f"tokenizer.json cuts words by {words:.200}, which does not run here; gpt-2, llama-bpe, "
        "dbrx, qwen2, smollm, falcon, gpt-4o and deepseek-llm do"
    )


def _steps(step: Any) -> list[dict[str, Any]]:
    """A step of a pipeline as the steps that it is made of."""
    if not isinstance(step, dict):
        return []
    for name in ("pretokenizers", "normalizers", "decoders", "processors"):
        if step.get("type") == "Sequence" and isinstance(step.get(name), list):
            return [inner for part in step[name] for inner in _steps(part)]
    return [step]


def _pattern(step: dict[str, Any]) -> str:
    pattern = step.get("pattern")
    found = pattern.get("Regex", pattern.get("String")) if isinstance(pattern, dict) else None
    return str(found)


def _is_byte_level(whole: dict[str, Any]) -> bool:
    return any(
        step.get("type") == "ByteLevel"
        for part in ("pre_tokenizer", "decoder")
        for step in _steps(whole.get(part))
    )


def _added(whole: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Tokens that are found in a text before it is cut into words, by id."""
    found = {}
    for token in _list(whole, "added_tokens"):
        good = isinstance(token, dict) and isinstance(token.get("content"), str)
        if not good or not isinstance(token.get("id"), int):
            raise FormatError(f"tokenizer.json has the added token {token!r:.80}")
        found[token["id"]] = token
    return found


def _vocabulary(
    model: dict[str, Any], added: dict[int, dict[str, Any]], n_rows: int
) -> tuple[list[str], list[int]]:
    """Tokens and their types, as many as the embedding has rows; some may be UNUSED."""
    vocab = model.get("vocab")
    if not isinstance(vocab, dict):
        raise FormatError(f"the vocabulary in tokenizer.json is {vocab!r:.60}; an object is right")
    tokens = [f"[PAD{i}]" for i in range(n_rows)]
    types = [UNUSED] * n_rows
    named = [(text, i, NORMAL) for text, i in vocab.items()] + [
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
    for merge in _list(model, "merges"):
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
    other = {str(s.get("type")) for s in _steps(whole.get("normalizer"))} - known
    if other:
        raise UnsupportedError(
            f"tokenizer.json normalizes by {', '.join(sorted(other))}; {', '.join(sorted(known))} "
            "run here"
        )


def _adds_space(whole: dict[str, Any]) -> bool:
    """Whether a text gets a space before it."""
    if any(step.get("type") == "Prepend" for step in _steps(whole.get("normalizer"))):
        return True
    return any(
        step.get("type") == "Metaspace"
        and step.get("prepend_scheme", "always" if step.get("add_prefix_space") else "never")
        != "never"
        for step in _steps(whole.get("pre_tokenizer"))
    )


def _mark_sentencepiece(
    model: dict[str, Any], tokens: list[str], types: list[int], added: dict[int, dict[str, Any]]
) -> None:
    """Mark bytes and the unknown token; spaces of tokens that are found in a text are spaces."""
    for i, token in enumerate(tokens):
        if types[i] == NORMAL and byte_of(token) is not None:
            types[i] = BYTE
        if token == model.get("unk_token"):
            types[i] = UNKNOWN
        if types[i] == USER_DEFINED and i in added:
            tokens[i] = token.replace("▁", " ")


def _specials(
    whole: dict[str, Any], settings: dict[str, Any], config: dict[str, Any], ids: dict[str, int]
) -> Keys:
    """Which tokens begin and end a text, and whether they are added to one."""
    keys: Keys = {}
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        token = settings.get(f"{name}_token")
        text = token.get("content") if isinstance(token, dict) else token
        found = ids.get(text) if isinstance(text, str) else config.get(f"{name}_token_id")
        if isinstance(found, list):
            found = found[0] if found else None
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < len(ids):
            keys[f"{key}_token_id"] = found
    ends = config.get("eos_token_id")
    others = [i for i in ends if i != keys.get("eos_token_id")] if isinstance(ends, list) else []
    if others and isinstance(others[0], int) and 0 <= others[0] < len(ids):
        keys["eot_token_id"] = others[0]
    first, last = _around(whole)
    keys["add_bos_token"] = first is not None and ids.get(first) == keys.get("bos_token_id")
    keys["add_eos_token"] = last is not None and ids.get(last) == keys.get("eos_token_id")
    return keys


def _around(whole: dict[str, Any]) -> tuple[str | None, str | None]:
    """The special tokens that stand before and behind a single text."""
    for step in _steps(whole.get("post_processor")):
        if step.get("type") != "TemplateProcessing":
            continue
        names = [_special_name(place) for place in _list(step, "single")]
        return (names[0], names[-1]) if len(names) > 1 else (None, None)
    return None, None


def _special_name(place: Any) -> str | None:
    special = place.get("SpecialToken") if isinstance(place, dict) else None
    name = special.get("id") if isinstance(special, dict) else None
    return name if isinstance(name, str) else None


def _list(found: dict[str, Any], name: str) -> list[Any]:
    """A list, which may be missing. Raises FormatError for another thing."""
    value = found.get(name)
    if value is not None and not isinstance(value, list):
        raise FormatError(f"{name} in tokenizer.json is {value!r:.60}; a list is right")
    return value or []


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The chat template, of a file of its own or in tokenizer_config.json."""
    alone = folder / "chat_template.jinja"
    if alone.exists():
        try:
            return alone.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"{alone.name} is no UTF-8: {error}") from None
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = [t for t in found if isinstance(t, dict) and t.get("name") == "default"]
        found = named[-1].get("template") if named else None
    return found if isinstance(found, str) else None


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}
