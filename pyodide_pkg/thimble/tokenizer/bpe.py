"""Byte-level byte-pair encoding, the kind that GGUF calls `gpt2`: words of bytes, merged by rank.

It knows the alphabet in which such vocabularies spell bytes, and the merges. It does not know how a
text is split into words (`pretokenizers.py`). Exactly llama.cpp's ids, except that a byte for which
the vocabulary has no token is an error here, where llama.cpp drops it silently: a text would not
come back, and bits per byte would be wrong. Source: Radford et al. 2019, "Language Models are
Unsupervised Multitask Learners".
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from ..errors import FormatError, OptionError, UnsupportedError
from .base import Tokenizer
from .merging import PairRank, merge
from .pretokenizers import PRETOKENIZERS
from .vocabulary import (
    ALWAYS,
    PREFIX,
    read_name,
    read_space_scheme,
    read_strings,
    read_vocabulary,
)


def _byte_alphabet() -> str:
    """256 characters, one a byte: printable Latin-1 is itself, the others count up from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


ALPHABET = _byte_alphabet()
BYTE_OF = {ord(character): byte for byte, character in enumerate(ALPHABET)}


class BPETokenizer(Tokenizer):
    """A tokenizer of GGUF's kind `gpt2`.

    Raises UnsupportedError for an unknown pre-tokenizer and FormatError for metadata that lies.
    """

    def __init__(self, metadata: Mapping[str, object]) -> None:
        name = read_name(metadata, "pre", "default")
        pretokenizer = PRETOKENIZERS.get(name)
        if pretokenizer is None:
            raise UnsupportedError(
                f"{PREFIX}pre is {name!r:.60}; those that run are "
                f"{', '.join(sorted(PRETOKENIZERS))}"
            )
        super().__init__(read_vocabulary(metadata, add_bos=pretokenizer.add_bos))
        self._pair_rank = _read_merges(metadata, self.vocabulary.ids)
        self._split = pretokenizer.split
        self._ignore_merges = pretokenizer.ignore_merges
        # By our key alone: llama.cpp adds none in this kind, whatever add_space_prefix says.
        scheme = read_space_scheme(metadata, None)
        self.adds_space, self.space_scheme = scheme is not None, scheme or ALWAYS

    def _encode_fragment(self, text: str, spaced: bool, ids: list[int]) -> None:
        self._encode_words(self._split(" " + text if self.adds_space and spaced else text), ids)

    def _encode_word(self, word: str) -> list[int]:
        known = self.vocabulary.ids
        spelled = word.encode().decode("latin-1").translate(ALPHABET)
        if self._ignore_merges and spelled in known:
            return [known[spelled]]
        ids = []
        for piece in merge(list(spelled), self._pair_rank):
            piece_id = known.get(piece)
            if piece_id is None:
                raise OptionError(
                    f"the vocabulary has no token for the byte 0x{BYTE_OF[ord(piece[0])]:02X} "
                    f"of {word!r:.60}"
                )
            ids.append(piece_id)
        return ids

    def _normal_bytes(self, token: str) -> bytes:
        try:
            return bytes(map(BYTE_OF.__getitem__, map(ord, token)))
        except KeyError:
            return token.encode()  # not spelled in the alphabet: it can only mean itself


def _read_merges(metadata: Mapping[str, object], known: Mapping[str, int]) -> PairRank:
    """What gives the rank of each pair that joins; the first of equal merges counts.

    A merge is known by the token that it makes and the length of its left half. Most tokens are
    made by one merge only, so what is a chain of merges below rarely has a second link.
    """
    latest = array("i", (-1,)) * len(known)  # by token: the last merge that makes it
    lengths, earlier = array("i"), array("i")  # by rank: of the left half; the merge before it
    for rank, text in enumerate(read_strings(metadata, "merges")):
        at = text.find(" ", 1)
        left, right = text[:at], text[at + 1 :]
        token_id = known.get(left + right)
        if at < 0 or left not in known or right not in known or token_id is None:
            raise FormatError(
                f"{PREFIX}merges[{rank}] is {text!r:.60}; a merge is two tokens with a space "
                "between, and together they are a token"
            )
        lengths.append(at)
        earlier.append(latest[token_id])
        latest[token_id] = rank

    def pair_rank(left: str, right: str) -> int | None:
        token_id = known.get(left + right)
        if token_id is None:
            return None
        rank, size, found = latest[token_id], len(left), None
        while rank >= 0:
            if lengths[rank] == size:
                found = rank
            rank = earlier[rank]
        return found

    return pair_rank
