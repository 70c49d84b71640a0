"""A normalizer of SentencePiece's, as files carry it: which characters become which, as a trie.

The bytes are the trie's length, its units (a double array of Darts-clone's: 32 bits each, little
end first), and the texts that its values point into, each ended by a zero byte. At each place of a
text the longest beginning that the trie has is replaced, as in SentencePiece and llama.cpp. It
knows nothing of tokens. Source: Kudo and Richardson 2018, https://arxiv.org/abs/1808.06226, and
https://github.com/s-yata/darts-clone for the units.
"""

from __future__ import annotations

import sys
from array import array

from ..errors import FormatError

UNIT = 4
LEAF, VALUE, LABEL = 1 << 8, 0x7FFFFFFF, 0x800000FF
LONGEST = 1024
"""Bytes that one replacement may have; NFKC's longest has 33."""
MATCH = 64
"""Characters that are looked at for one replacement."""
REMEMBERED = 50_000
"""Characters and pairs."""


class Charsmap:
    """The normalizer in `data`. Raises FormatError where these are no such bytes."""

    def __init__(self, data: bytes) -> None:
        size = int.from_bytes(data[:UNIT], "little")
        if len(data) < 2 * UNIT or size < UNIT or size % UNIT or size > len(data) - UNIT:
            raise FormatError(
                f"the normalizer's trie should have {size:,} bytes of {len(data):,}; a multiple of "
                f"{UNIT}, behind {UNIT} that say so, is right"
            )
        self._units = array("I", data[UNIT : UNIT + size])
        if sys.byteorder == "big":
            self._units.byteswap()
        self._texts = data[UNIT + size :]
        self._root = _offset_of(self._unit(0))
        # What a character becomes that begins nothing longer, or does so with none that follows.
        self._known: dict[str, tuple[str, int]] = {}

    def __call__(self, text: str) -> str:
        """`text` with what is known replaced. Raises FormatError where the trie leads astray."""
        found, known, at = list[str](), self._known, 0
        while at < len(text):
            one = known.get(text[at]) or known.get(text[at : at + 2]) or self._longest(text, at)
            found.append(one[0])
            at += one[1]
        return "".join(found)

    def _longest(self, text: str, at: int) -> tuple[str, int]:
        """What the longest match at a place becomes, and how many characters it has."""
        node, value, length = self._root, -1, 1
        for end in range(at, min(at + MATCH, len(text))):
            for byte in text[end].encode():
                unit = self._unit(node ^ byte)
                if unit & LABEL != byte:
                    found = self._text(value, text[at]), length
                    if end < at + 2:  # it depends on these characters alone
                        if len(self._known) >= REMEMBERED:
                            self._known.clear()
                        self._known[text[at : end + 1]] = found
                    return found
                node ^= byte ^ _offset_of(unit)
            if unit & LEAF:
                value, length = self._unit(node) & VALUE, end + 1 - at
        return self._text(value, text[at]), length

    def _unit(self, node: int) -> int:
        if node >= len(self._units):
            raise FormatError(
                f"the normalizer's trie leads to unit {node:,}; it has {len(self._units):,}"
            )
        return self._units[node]

    def _text(self, value: int, otherwise: str) -> str:
        """The replacement that begins at byte `value`."""
        if value < 0:
            return otherwise
        end = self._texts.find(b"\0", value, value + LONGEST + 1)
        if end < 0:
            raise FormatError(
                f"the normalizer's replacement at byte {value:,} of {len(self._texts):,} has no "
                f"end within {LONGEST} bytes"
            )
        try:
            return self._texts[value:end].decode()
        except UnicodeDecodeError as error:
            raise FormatError(
                f"the normalizer's replacement at byte {value:,} is no UTF-8: {error.reason}"
            ) from None


def _offset_of(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)
