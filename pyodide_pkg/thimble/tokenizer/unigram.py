"""SentencePiece's unigram model, the kind that GGUF calls `t5`: of all ways to cut a text into
pieces, that with the largest sum of scores, found by Viterbi's algorithm.

It knows pieces, scores, and how a text is normalized before. It does not know special tokens
(`base.py`) or how pieces are trained. Ids are SentencePiece's and llama.cpp's, and those of Hugging
Face's `tokenizers`, which normalizes some clusters of characters otherwise (an ｆ with an accent
loses it there). A character that is no piece becomes its bytes, where these have tokens, as in
SentencePiece; else characters that follow one another are one unknown token. Source: Kudo 2018,
https://arxiv.org/abs/1804.10959.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from math import inf, isfinite

from ..errors import FormatError, OptionError
from ..gguf_lists import Numbers
from .base import Tokenizer
from .charsmap import Charsmap
from .sentencepiece import UNDERSCORE, read_scores, word_boundary
from .unicode_classes import SPACES
from .vocabulary import (
    ALWAYS,
    BYTE,
    MISSING,
    NORMAL,
    PREFIX,
    USER_DEFINED,
    read_choice,
    read_flag,
    read_sequence,
    read_space_scheme,
    read_vocabulary,
)

DEFAULT_IDS = {"eos": 1, "unknown": 2}  # T5's own
PENALTY = 10.0
"""By how much an unknown character is worse than the worst piece."""
LONGEST = 256
"""Characters of a piece. SentencePiece trains them with 16 unless it is told otherwise."""
EDGES = ("none", "first", "last", "both")
"""At which ends of a text one space is kept where `remove_extra_whitespaces`; our key says so, and
SentencePiece keeps none."""
_WHITE_SPACE = re.compile("[\t-\r " + "".join(map(chr, sorted(SPACES))) + "]")


class UnigramTokenizer(Tokenizer):
    """A tokenizer of GGUF's kind `t5`. Raises FormatError for metadata that lies."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        known = {f"{PREFIX}add_eos_token": True, **metadata}
        super().__init__(read_vocabulary(known, default_ids=DEFAULT_IDS))
        self.adds_space = read_flag(metadata, "add_space_prefix", False)
        self.space_scheme = read_space_scheme(metadata, ALWAYS) or ALWAYS
        self._merges_spaces = read_flag(metadata, "remove_extra_whitespaces", False)
        self._edges = read_choice(metadata, "edge_spaces", EDGES) or EDGES[0]
        self._white = read_flag(metadata, "split_at_white_space", False)
        self._charsmap = _read_charsmap(metadata)
        splits = read_flag(metadata, "split_at_spaces", False)
        ids = self.vocabulary.ids
        self._boundary = re.compile(f"(?s)(?<=.)(?={UNDERSCORE})") if splits else word_boundary(ids)
        self._bytes_known = BYTE in self.vocabulary.types
        self._fuses_words = not splits and not self._bytes_known
        self._scores = self._read_scores(metadata)
        self._reach = _reach(ids, self._scores)
        worst = min((score for score in self._scores if score > -inf), default=0.0)
        self._unknown_score = worst - PENALTY

    def _read_scores(self, metadata: Mapping[str, object]) -> array[float]:
        """Each token's score; -inf for one that no text is cut into."""
        scores = read_scores(metadata, self.n_vocab)
        for token_id, kind in enumerate(self.vocabulary.types):
            if kind not in (NORMAL, USER_DEFINED):
                scores[token_id] = -inf
            elif not isfinite(scores[token_id]):
                raise FormatError(
                    f"{PREFIX}scores[{token_id}] is {scores[token_id]}; a finite number is right"
                )
        return scores

    def _takes_space(self, text: str, first: bool) -> bool:
        # Whether one is there already is seen when the text has been normalized.
        return self.space_scheme in (ALWAYS, MISSING) or first

    def _encode_fragment(self, text: str, spaced: bool, ids: list[int]) -> None:
        begin = len(ids)
        self._encode_words(self._boundary.split(self.normalized(text, spaced)), ids)
        unknown = self.vocabulary.unk_id
        if self._fuses_words and unknown in ids[begin:]:
            ids[begin:] = [
                one for at, one in enumerate(ids[begin:], begin)
                if one != unknown or at == begin or ids[at - 1] != unknown
            ]  # fmt: skip

    def normalized(self, text: str, spaced: bool) -> str:
        """The text as pieces spell it; `spaced` as in `_encode_fragment`."""
        if self._charsmap is not None:
            text = self._charsmap(text)
        text = text.replace(" ", UNDERSCORE)
        if self._white:
            text = _WHITE_SPACE.sub(UNDERSCORE, text)
        if self._merges_spaces:
            text = re.sub(f"{UNDERSCORE}+", UNDERSCORE, text)
            text = text if self._edges in ("first", "both") else text.removeprefix(UNDERSCORE)
            text = text if self._edges in ("last", "both") else text.removesuffix(UNDERSCORE)
        if not (text and self.adds_space and spaced):
            return text
        there = self.space_scheme != ALWAYS and text.startswith(UNDERSCORE)
        return text if there else UNDERSCORE + text

    def _encode_word(self, word: str) -> list[int]:
        """The best way to each place is the best to one before it and a piece between them."""
        known, scores, reach, n = self.vocabulary.ids, self._scores, self._reach, len(word)
        best = [0.0] + [-inf] * n
        before, piece = [0] * (n + 1), [-1] * (n + 1)
        for at in range(n):
            here, alone = best[at], True
            for end in range(at + 1, min(at + reach.get(word[at : at + 2], 1), n) + 1):
                token_id = known.get(word[at:end])
                if token_id is None or scores[token_id] == -inf:
                    continue
                alone &= end > at + 1
                if here + scores[token_id] > best[end]:
                    best[end], before[end], piece[end] = here + scores[token_id], at, token_id
            if alone and here + self._unknown_score > best[at + 1]:
                best[at + 1], before[at + 1], piece[at + 1] = here + self._unknown_score, at, -1
        return self._along(word, before, piece)

    def _along(self, word: str, before: Sequence[int], piece: Sequence[int]) -> list[int]:
        """The ids on the way to a word's end, unknown characters that meet as one."""
        ways: list[tuple[int, str]] = []
        end = len(word)
        while end > 0:
            text = word[before[end] : end]
            if piece[end] < 0 and ways and ways[-1][0] < 0:
                ways[-1] = (-1, text + ways[-1][1])
            else:
                ways.append((piece[end], text))
            end = before[end]
        ids: list[int] = []
        for token_id, text in reversed(ways):
            ids += [token_id] if token_id >= 0 else self._unknown_ids(text)
        return ids

    def _unknown_ids(self, text: str) -> list[int]:
        """Of characters that are no pieces."""
        ids = self._byte_ids(text)
        if ids:
            return ids
        if self.vocabulary.unk_id is None:
            raise OptionError(f"the vocabulary has no token for {text!r:.60}, and no unknown token")
        return [self.vocabulary.unk_id]

    def _byte_ids(self, character: str) -> list[int]:
        """Those of all bytes, or none."""
        if not self._bytes_known:
            return []
        ids = [self.vocabulary.ids.get(f"<0x{byte:02X}>", -1) for byte in character.encode()]
        return [] if -1 in ids else ids

    def _normal_bytes(self, token: str) -> bytes:
        return token.replace(UNDERSCORE, " ").encode()


def _reach(ids: Mapping[str, int], scores: Sequence[float]) -> dict[str, int]:
    """How long pieces are at most, by the two characters that they begin with."""
    found: dict[str, int] = {}
    for token, token_id in ids.items():
        if len(token) < 2 or scores[token_id] == -inf:
            continue
        if len(token) > LONGEST:
            raise FormatError(
                f"{PREFIX}tokens[{token_id}] has {len(token):,} characters; pieces of a unigram "
                f"model have at most {LONGEST}"
            )
        if len(token) > found.get(token[:2], 0):
            found[token[:2]] = len(token)
    return found


def _read_charsmap(metadata: Mapping[str, object]) -> Charsmap | None:
    values = read_sequence(metadata, "precompiled_charsmap")
    if not values:
        return None
    if isinstance(values, Numbers) and values.code in "bB":
        return Charsmap(values.packed())
    data = bytearray()
    for i, value in enumerate(values):
        if not isinstance(value, int) or isinstance(value, bool) or not -128 <= value < 256:
            raise FormatError(
                f"{PREFIX}precompiled_charsmap[{i}] must be a byte, not {value!r:.40}"
            )
        data.append(value & 0xFF)
    return Charsmap(bytes(data))
