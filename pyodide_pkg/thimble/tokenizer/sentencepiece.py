"""SentencePiece's BPE, the kind that GGUF calls `llama`: pieces with scores, spaces as U+2581.

It knows how a text becomes pieces: the best-scored pair of neighbours joins first, and a character
that is no piece becomes its bytes. It does not know special tokens (`base.py`) or how pieces are
trained. Exactly llama.cpp's ids, except that a byte without a token of its own becomes the unknown
token, as SentencePiece does it, where llama.cpp stops.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence

from ..errors import FormatError, OptionError
from .base import Tokenizer
from .merging import PairRank, merge
from .vocabulary import (
    ALWAYS,
    PREFIX,
    read_flag,
    read_sequence,
    read_space_scheme,
    read_vocabulary,
)

UNDERSCORE = "\u2581"  # LOWER ONE EIGHTH BLOCK, which stands for a space
DEFAULT_IDS = {"unknown": 0, "bos": 1, "eos": 2}  # SentencePiece's own


class SentencePieceTokenizer(Tokenizer):
    """A tokenizer of GGUF's kind `llama`. Raises FormatError for metadata that lies."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        super().__init__(read_vocabulary(metadata, add_bos=True, default_ids=DEFAULT_IDS))
        self.adds_space = read_flag(metadata, "add_space_prefix", True)
        self.space_scheme = read_space_scheme(metadata, ALWAYS) or ALWAYS
        self._pair_rank = _ranking(self.vocabulary.ids, read_scores(metadata, self.n_vocab))
        self._boundary = (
            re.compile(f"(?s)(?<=.)(?={UNDERSCORE})")
            if read_flag(metadata, "split_at_spaces", False)  # a key of ours: no piece spans words
            else word_boundary(self.vocabulary.ids)
        )

    def _encode_fragment(self, text: str, spaced: bool, ids: list[int]) -> None:
        if self.adds_space and spaced:
            text = " " + text
        self._encode_words(self._boundary.split(text.replace(" ", UNDERSCORE)), ids)

    def _encode_word(self, word: str) -> list[int]:
        known = self.vocabulary.ids
        ids: list[int] = []
        for piece in merge(list(word), self._pair_rank):
            piece_id = known.get(piece)
            if piece_id is None:
                ids += self._byte_ids(piece)
            else:
                ids.append(piece_id)
        return ids

    def _byte_ids(self, character: str) -> list[int]:
        known = self.vocabulary.ids
        ids = []
        for byte in character.encode():
            byte_id = known.get(f"<0x{byte:02X}>")
            if byte_id is None:
                if self.vocabulary.unk_id is None:
                    raise OptionError(
                        f"the vocabulary has no token for {character!r}, none for its byte "
                        f"0x{byte:02X}, and no unknown token"
                    )
                return [self.vocabulary.unk_id]
            ids.append(byte_id)
        return ids

    def _normal_bytes(self, token: str) -> bytes:
        return token.replace(UNDERSCORE, " ").encode()


def _ranking(known: Mapping[str, int], scores: Sequence[float]) -> PairRank:
    """What gives the rank of two pieces that are a token together. Only the order of the scores
    matters: equal scores have equal ranks, the best has 0."""
    ranks = array("I", bytes(4 * len(scores)))
    rank, before = -1, None
    for token_id in sorted(range(len(scores)), key=scores.__getitem__, reverse=True):
        if scores[token_id] != before:
            rank, before = rank + 1, scores[token_id]
        ranks[token_id] = rank

    def pair_rank(left: str, right: str) -> int | None:
        token_id = known.get(left + right)
        return None if token_id is None else ranks[token_id]

    return pair_rank


def read_scores(metadata: Mapping[str, object], n: int) -> array[float]:
    """The scores of `n` tokens, 0 where the file has none. Raises FormatError."""
    values = read_sequence(metadata, "scores")
    if values is None:
        return array("d", bytes(8 * n))
    if len(values) != n:
        raise FormatError(f"{PREFIX}scores has {len(values)} values for {n} tokens")
    scores = array("d")
    for i, value in enumerate(values):
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value:
            raise FormatError(f"{PREFIX}scores[{i}] must be a number, not {value!r:.60}")
        scores.append(value)
    return scores


def word_boundary(tokens: Iterable[str]) -> re.Pattern[str]:
    """Where a text can be cut before a space without changing its pieces.

    Pieces join to pieces only, so no piece ever spans two characters that stand side by side in
    none. Most vocabularies have no piece with a letter before a space, so that words are
    independent and what a word becomes can be remembered.
    """
    before = {UNDERSCORE}
    for token in tokens:
        at = token.find(UNDERSCORE, 1)
        while at > 0:
            before.add(token[at - 1])
            at = token.find(UNDERSCORE, at + 1)
    inside = "".join(map(re.escape, sorted(before)))
    return re.compile(f"(?<=[^{inside}])(?={UNDERSCORE})")
