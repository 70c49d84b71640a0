"""WordPiece, the kind that GGUF calls `bert`: words, cut at spaces and punctuation, become the
longest pieces that the vocabulary has, from left to right.

It knows BERT's normalization and words. It does not know special tokens (`base.py`). Ids are those
of Hugging Face's `tokenizers`; llama.cpp's are the same where a vocabulary is of small letters
without accents, which is all that it knows. Pieces that begin a word stand behind U+2581 in a file.
Source: Devlin et al. 2018, https://arxiv.org/abs/1810.04805.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from unicodedata import category, normalize

from ..errors import FormatError
from .base import Tokenizer
from .vocabulary import PREFIX, read_flag, read_vocabulary

UNDERSCORE = "\u2581"
LONGEST_WORD = 100
"""Characters; a longer word is unknown."""
DEFAULT_IDS = {"unknown": 100, "bos": 101, "eos": 102}  # BERT's own
IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""Each is a word of its own."""
_IDEOGRAPH = re.compile("([" + "".join(f"{chr(a)}-{chr(b)}" for a, b in IDEOGRAPHS) + "])")


class WordPieceTokenizer(Tokenizer):
    """A tokenizer of GGUF's kind `bert`. Raises FormatError for metadata that lies."""

    adds_space = True  # which decoding takes off again

    def __init__(self, metadata: Mapping[str, object]) -> None:
        """Where a file names a beginning and an end by BERT's words alone, these are they."""
        known = dict(metadata)
        for ours, theirs in (("bos", "cls"), ("eos", "seperator")):
            if f"{PREFIX}{theirs}_token_id" in known:
                known.setdefault(f"{PREFIX}{ours}_token_id", known[f"{PREFIX}{theirs}_token_id"])
        known.setdefault(f"{PREFIX}add_eos_token", True)
        super().__init__(read_vocabulary(known, add_bos=True, default_ids=DEFAULT_IDS))
        if self.vocabulary.unk_id is None:
            raise FormatError(f"{PREFIX}unknown_token_id is missing; WordPiece needs one")
        self._unknown = self.vocabulary.unk_id
        self._lowercase = read_flag(metadata, "lowercase", True)  # keys of ours
        self._strips = read_flag(metadata, "strip_accents", self._lowercase)
        self._longest = max(map(len, self.vocabulary.ids))

    def _encode_fragment(self, text: str, spaced: bool, ids: list[int]) -> None:
        self._encode_words(words_of(self.normalized(text)), ids)

    def normalized(self, text: str) -> str:
        """The text as the vocabulary spells it."""
        text = _IDEOGRAPH.sub(r" \1 ", "".join(map(_cleaned, text)))
        if self._strips:
            text = "".join(c for c in normalize("NFD", text) if category(c) != "Mn")
        # A letter at a time: a small sigma is the same at a word's end.
        return "".join(map(str.lower, text)) if self._lowercase else text

    def _encode_word(self, word: str) -> list[int]:
        known, text, ids, at = self.vocabulary.ids, UNDERSCORE + word, list[int](), 0
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        while at < len(text):
            ends = range(min(len(text), at + self._longest), at, -1)
            # Not the mark alone: it is no piece of any word.
            end = next((e for e in ends if text[at:e] in known and text[at:e] != UNDERSCORE), 0)
            if not end:
                return [self._unknown]
            ids.append(known[text[at:end]])
            at = end
        return ids

    def _normal_bytes(self, token: str) -> bytes:
        return token.replace(UNDERSCORE, " ").encode()


def words_of(text: str) -> list[str]:
    """A normalized text's words; punctuation is a word a character."""
    words, at = [], -1
    for i, character in enumerate(text):
        if character.isspace():
            at = -1
        elif character in string.punctuation or category(character).startswith("P"):
            words.append(character)
            at = -1
        elif at < 0:
            words.append(character)
            at = i
        else:
            words[-1] += character
    return words


def _cleaned(character: str) -> str:
    """A space for white space, nothing for what controls."""
    if character in "\t\n\r":
        return " "
    if character == "\ufffd" or category(character) in ("Cc", "Cf", "Co"):
        return ""
    return " " if character.isspace() else character
