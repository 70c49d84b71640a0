"""A Unigram tokenizer.json (SentencePiece's: T5's, XLM-RoBERTa's) as the keys of a GGUF file.

As in llama.cpp's convert_hf_to_gguf.py, pieces keep their scores and the normalizer its bytes. How
a text's ends lose their spaces differs from file to file; where llama.cpp has no keys for it, ours
say so.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ..errors import FormatError, UnsupportedError
from ..gguf_lists import Numbers
from ..tokenizer.vocabulary import BYTE, MISSING, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, byte_of
from .special_tokens import list_of
from .tokenizer_steps import check_words, pattern, spaces, steps

NEVER = -10_000.0
"""The score of rows without a piece, as llama.cpp writes it."""
RUNS = {" {2,}": ("▁", " ")}
"""What finds spaces that follow one another, and what replaces them."""
_EDGES = {(False, False): "both", (False, True): "first", (True, False): "last"}


def scored_pieces(model: dict[str, Any]) -> list[tuple[str, float]]:
    """The pieces in the order of their ids. Raises FormatError."""
    found = []
    for pair in list_of(model, "vocab"):
        if not (
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
            and isinstance(pair[1], int | float) and not isinstance(pair[1], bool)
        ):  # fmt: skip
            raise FormatError(
                f"tokenizer.json has {pair!r:.60} in its vocabulary; a piece and a score are right"
            )
        found.append((pair[0], float(pair[1])))
    return found


def unigram_keys(whole: dict[str, Any], tokens: list[str], types: list[int]) -> dict[str, Any]:
    """The keys of a vocabulary; marks bytes and the unknown piece, and spaces of tokens that are
    found in a text are spaces. Raises FormatError, and UnsupportedError for other steps than those
    that SentencePiece's models become."""
    model = whole["model"]
    check_words(whole, ("Metaspace", "WhitespaceSplit"))
    scores = dict(enumerate(score for _, score in scored_pieces(model)))
    unknown = model.get("unk_id")
    if isinstance(unknown, int) and not isinstance(unknown, bool) and 0 <= unknown < len(types):
        types[unknown] = UNKNOWN
    for i, token in enumerate(tokens):
        fallback = model.get("byte_fallback") is True and types[i] == NORMAL
        if fallback and byte_of(token) is not None:
            types[i] = BYTE
        if types[i] == USER_DEFINED:
            tokens[i] = token.replace("▁", " ")
    found = {
        "model": "t5",
        "scores": [NEVER if types[i] == UNUSED else scores.get(i, 0.0) for i in range(len(tokens))],
        **spaces(whole),
        **_normalized(whole),
    }
    return found | ({"unknown_token_id": unknown} if UNKNOWN in types else {})


def _normalized(whole: dict[str, Any]) -> dict[str, Any]:
    """The keys of what is done to a text before it is cut."""
    found: dict[str, Any] = {}
    strips, merges = {"left": False, "right": False}, False
    for step in steps(whole.get("normalizer")):
        kind = step.get("type")
        if kind == "Precompiled" and not found:
            found["precompiled_charsmap"] = _charsmap(step.get("precompiled_charsmap"))
        elif kind == "Strip" and found:  # all white space, which is spaces by then
            for side in strips:
                strips[side] |= step.get(f"strip_{side}", step.get(side)) is True
        elif kind == "Replace" and step.get("content") in RUNS.get(pattern(step), ()):
            merges = True
        elif not (kind == "Replace" and pattern(step) == " " and step.get("content") == "▁"):
            raise UnsupportedError(
                f"tokenizer.json normalizes by {kind!r:.40}; with Unigram a Precompiled first, "
                "Strip behind it, and Replace of spaces run here"
            )
    if any(step.get("type") == "WhitespaceSplit" for step in steps(whole.get("pre_tokenizer"))):
        if spaces(whole).get("space_prefix_scheme") != MISSING:
            raise UnsupportedError(
                "tokenizer.json drops white space and puts none before each word; Metaspace that "
                "always prepends runs here behind WhitespaceSplit"
            )
        return found | {"remove_extra_whitespaces": True, "split_at_white_space": True}
    if not merges:
        if any(strips.values()):
            raise UnsupportedError(
                "tokenizer.json strips spaces at the ends of a text and leaves those within; "
                "both or none runs here"
            )
        return found | {"remove_extra_whitespaces": False}
    edges = _EDGES.get((strips["left"], strips["right"]))
    return found | {"remove_extra_whitespaces": True} | ({"edge_spaces": edges} if edges else {})


def _charsmap(value: Any) -> Numbers:
    """The normalizer's bytes."""
    try:
        data = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise FormatError(
            f"precompiled_charsmap in tokenizer.json is {value!r:.40}; base64 is right"
        ) from None
    return Numbers("B", memoryview(data))
