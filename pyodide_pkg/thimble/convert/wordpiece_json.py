"""A WordPiece tokenizer.json (BERT's) as the keys of a GGUF file.

As in llama.cpp's convert_hf_to_gguf.py, a token that begins a word is written behind U+2581, and
one that goes on with it loses its "##". What llama.cpp has no keys for are keys of ours.
"""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedError
from ..tokenizer.vocabulary import CONTROL, UNUSED
from ..tokenizer.wordpiece import LONGEST_WORD, UNDERSCORE


def wordpiece_keys(whole: dict[str, Any], tokens: list[str], types: list[int]) -> dict[str, Any]:
    """The keys of a vocabulary, whose tokens are respelt. Raises UnsupportedError for steps other
    than BERT's."""
    normalizer, cutter = (
        step if isinstance(step, dict) else {"type": step}
        for step in (whole.get("normalizer"), whole.get("pre_tokenizer"))
    )
    model = whole["model"]
    asked = (
        ("normalizer", normalizer.get("type"), "BertNormalizer"),
        ("clean_text", normalizer.get("clean_text", True), True),
        ("handle_chinese_chars", normalizer.get("handle_chinese_chars", True), True),
        ("pre_tokenizer", cutter.get("type"), "BertPreTokenizer"),
        ("continuing_subword_prefix", model.get("continuing_subword_prefix", "##"), "##"),
        ("max_input_chars_per_word", model.get("max_input_chars_per_word", 100), LONGEST_WORD),
    )
    for name, found, right in asked:
        if found != right:
            raise UnsupportedError(
                f"{name} in tokenizer.json is {found!r:.60}; with WordPiece {right!r} runs here"
            )
    for i, token in enumerate(tokens):
        if types[i] in (CONTROL, UNUSED):
            continue
        tokens[i] = token[2:] if token.startswith("##") else UNDERSCORE + token
    lower = normalizer.get("lowercase", True) is True
    accents = normalizer.get("strip_accents")
    return {
        "model": "bert",
        "pre": "default",
        "lowercase": lower,
        "strip_accents": lower if accents is None else accents is True,
    }
