"""How a tokenizer.json cuts a text into words, and where it puts spaces: its pipeline's steps.

To add a way of cutting: its pattern here, and its name in `tokenizer/pretokenizers.py`. This file
knows steps, and no vocabulary.
"""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedError
from ..tokenizer.vocabulary import FIRST, MISSING

_CASELESS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPELT = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
_LLAMA3 = {start + _WORD + "{1,3}" + _TAIL for start in (_CASELESS, _SPELT)}
_QWEN2 = {start + _WORD + _TAIL for start in (_CASELESS, _SPELT)}
_MARKED = (
    r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN35 = {start + _MARKED for start in (_CASELESS, _SPELT)}
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CASELESS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CASELESS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def pre_tokenizer(whole: dict[str, Any]) -> str:
    """The name of the way in which a tokenizer.json cuts words; UnsupportedError for another."""
    found = steps(whole.get("pre_tokenizer"))
    kinds = [step.get("type") for step in found]
    patterns = [pattern(step) for step in found if step.get("type") == "Split"]
    splits_by_itself = found[-1].get("use_regex", True) if found else True
    ignores = whole["model"].get("ignore_merges") is True
    if kinds == ["ByteLevel"] and splits_by_itself:
        return "gpt-2"
    if kinds == ["Split", "ByteLevel"] and patterns == [_GPT2]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and found[0].get("individual_digits") is True:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and patterns[0] in _LLAMA3:
        return "llama-bpe" if ignores else "dbrx"
    if kinds == ["Split", "ByteLevel"] and patterns[0] in _QWEN2:
        return "qwen2"
    if kinds == ["Split", "ByteLevel"] and patterns[0] in _QWEN35:
        return "qwen35"
    if kinds == ["Split", "ByteLevel"] and patterns == [_GPT4O]:
        return "gpt-4o"
    if kinds == ["Punctuation", "ByteLevel", "Digits", "Split"] and patterns == ["[0-9][0-9][0-9]"]:
        return "falcon"
    if kinds == ["Split"] * 5 + ["Digits", "ByteLevel"] and patterns[0] == r"[\r\n]":
        return "deepseek-llm"
    words = ", ".join(str(p) for p in patterns) or " and ".join(map(str, kinds)) or "nothing"
    raise UnsupportedError(
        f"tokenizer.json cuts words by {words:.200}, which does not run here; gpt-2, llama-bpe, "
        "dbrx, qwen2, qwen35, smollm, falcon, gpt-4o and deepseek-llm do"
    )


def steps(step: Any) -> list[dict[str, Any]]:
    """A step of a pipeline as the steps that it is made of."""
    if not isinstance(step, dict):
        return []
    for name in ("pretokenizers", "normalizers", "decoders", "processors"):
        if step.get("type") == "Sequence" and isinstance(step.get(name), list):
            return [inner for part in step[name] for inner in steps(part)]
    return [step]


def pattern(step: dict[str, Any]) -> str:
    pattern = step.get("pattern")
    found = pattern.get("Regex", pattern.get("String")) if isinstance(pattern, dict) else None
    return str(found)


def is_byte_level(whole: dict[str, Any]) -> bool:
    return any(
        step.get("type") == "ByteLevel"
        for part in ("pre_tokenizer", "decoder")
        for step in steps(whole.get(part))
    )


def spaces(whole: dict[str, Any]) -> dict[str, Any]:
    """The keys that say where a space goes before a text, and whether pieces may span words."""
    if any(step.get("type") == "Prepend" for step in steps(whole.get("normalizer"))):
        return {"add_space_prefix": True}
    found: dict[str, Any] = {"add_space_prefix": False}
    for step in steps(whole.get("pre_tokenizer")):
        if step.get("type") != "Metaspace":
            continue
        if step.get("replacement", "▁") != "▁":
            raise UnsupportedError(
                f"tokenizer.json writes spaces as {step['replacement']!r:.20}; '▁' runs here"
            )
        usual = "always" if step.get("add_prefix_space", True) else "never"
        scheme = step.get("prepend_scheme", usual)
        if not isinstance(scheme, str) or scheme not in _SCHEMES:
            raise UnsupportedError(
                f"tokenizer.json prepends spaces by {scheme!r:.40}; {', '.join(_SCHEMES)} run here"
            )
        if scheme != "never":
            found |= {"add_space_prefix": True, "space_prefix_scheme": _SCHEMES[scheme]}
        if step.get("split", True):
            found["split_at_spaces"] = True
    return found


_SCHEMES = {"always": MISSING, "first": FIRST, "never": ""}
"""What Metaspace calls them: unlike SentencePiece, it never puts a second space before a first."""


def check_words(whole: dict[str, Any], known: tuple[str, ...]) -> None:
    """Raise UnsupportedError where words are cut otherwise than by steps of these types. A Split by
    a space is known, too: where spaces are written as ▁ by then it cuts nothing."""
    for step in steps(whole.get("pre_tokenizer")):
        if step.get("type") not in known and pattern(step) != " ":
            raise UnsupportedError(
                f"tokenizer.json cuts words by {step.get('type')!r:.40}; "
                f"{' and '.join(known)} run here, beside what is byte-level"
            )


def prefix_of_bytes(whole: dict[str, Any]) -> dict[str, Any]:
    """The key that says where a space goes before a text of a byte-level tokenizer, if it does."""
    found = [s for s in steps(whole.get("pre_tokenizer")) if s.get("type") == "ByteLevel"]
    adds = any(step.get("add_prefix_space", True) is True for step in found)
    return {"add_space_prefix": True, "space_prefix_scheme": MISSING} if adds else {}
