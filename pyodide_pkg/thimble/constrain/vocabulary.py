"""A vocabulary's tokens by their bytes, in kernel memory, for `kernels/constrain.c` to walk over.

Most tokens are plain: they may stand inside any JSON string, whatever comes before and behind. Such
masks are made once, by how many characters may come, and only the other tokens are walked over.
"""

from __future__ import annotations

import codecs
from array import array
from typing import Protocol

from ..errors import OptionError
from ..kernel import Kernel, Scratch
from .nodes import Token

PLAIN = frozenset(range(32, 256)) - {0x22, 0x5C}
"""Bytes of characters that a JSON string has as they are."""


class Words(Protocol):
    """What a tokenizer says of its tokens."""

    @property
    def n_vocab(self) -> int: ...

    @property
    def eog_ids(self) -> frozenset[int] | set[int] | tuple[int, ...]: ...

    def token_bytes(self, token: int) -> bytes: ...

    def is_special(self, token: int) -> bool: ...


class Tree:
    """Tokens as a tree of bytes, in the order in which one walks it."""

    def __init__(self, kernel: Kernel, spelled: list[tuple[bytes, int]]) -> None:
        letters, depths, skips = bytearray(), array("i"), array("i")
        firsts, tokens = array("i"), array("i")
        path: list[int] = []  # the open nodes, from the first byte on
        before = b""
        for word, token in spelled:
            common = 0
            while common < min(len(word), len(before)) and word[common] == before[common]:
                common += 1
            for node in path[common:]:
                skips[node] = len(letters)
            del path[common:]
            for depth in range(common, len(word)):
                path.append(len(letters))
                letters.append(word[depth])
                depths.append(depth)
                skips.append(0)
                firsts.append(len(tokens))
            tokens.append(token)
            before = word
        for node in path:
            skips[node] = len(letters)
        firsts.append(len(tokens))
        self.n_nodes = len(letters)
        parts = [bytes(letters), *(a.tobytes() for a in (depths, skips, firsts, tokens))]
        size = sum(len(part) + 16 for part in parts) + 4 * self.n_nodes
        self._memory = Scratch(kernel, size, "a vocabulary's tree")
        self.addresses: tuple[int, ...] = ()
        at = 0
        for part in parts:
            self._memory.write(part, at)
            self.addresses += (self._memory.address + at,)
            at += (len(part) + 15) & ~15
        self.addresses += (self._memory.address + at,)
        letters_at, _, skips_at, firsts_at, _, below_at = self.addresses
        kernel.call("constrain_below", letters_at, skips_at, firsts_at, self.n_nodes, below_at)


class Vocabulary:
    """The trees of a tokenizer, and the masks of plain tokens."""

    def __init__(self, kernel: Kernel, words: Words) -> None:
        self.kernel = kernel
        # Not the tokenizer itself, which would then never go.
        self.spelled = [words.token_bytes(token) for token in range(words.n_vocab)]
        self.n_vocab = words.n_vocab
        self.n_words = (words.n_vocab + 31) // 32
        self.ends = frozenset(words.eog_ids)
        special = {token for token in range(words.n_vocab) if words.is_special(token)}
        self.silent = frozenset(special | self.ends)
        """Tokens that say nothing."""
        ordered = sorted(
            (data, token)
            for token, data in enumerate(self.spelled)
            if data and token not in self.silent
        )
        self.deepest = max((len(word) for word, _ in ordered), default=0)
        self.all = Tree(kernel, ordered)
        self._ordered = ordered
        self._crossing: Tree | None = None
        self._plain: list[int] = [0]
        """The plain tokens of at most so many characters, as a number's bits."""
        self._slices: dict[int, Scratch] = {}
        self._named: dict[bytes, int] = {}
        self._chosen: dict[Token, frozenset[int]] = {}

    def chosen(self, token: Token) -> frozenset[int]:
        """The tokens that a grammar names. Raises OptionError where there is none such."""
        found = self._chosen.get(token)
        if found is None:
            listed = {self._of_name(name, token.optional) for name in token.names} - {-1}
            for low, high in token.numbers:
                if high >= self.n_vocab and not token.absent:
                    raise OptionError(
                        f"the grammar names token {high}; this model's last one is "
                        f"{self.n_vocab - 1}"
                    )
                listed.update(range(low, min(high + 1, self.n_vocab)))
            if token.absent:
                listed = set(range(self.n_vocab)) - listed - self.ends
            found = self._chosen[token] = frozenset(listed)
        return found

    def _of_name(self, name: str, optional: bool) -> int:
        if not self._named:
            special = sorted(self.silent)
            everything = [*(one for one in range(self.n_vocab)), *special]  # those hold
            self._named = {self.spelled[one]: one for one in everything}
        found = self._named.get(name.encode(), -1)
        if found < 0 and not optional:
            raise OptionError(f"the grammar names the token {name!r:.60}; this model has none such")
        return found

    @property
    def crossing(self) -> Tree:
        """The tokens that are not plain."""
        if self._crossing is None:
            others = []
            plain: dict[int, bytearray] = {}
            for word, token in self._ordered:
                characters = _characters(word)
                if characters < 0:
                    others.append((word, token))
                    continue
                bits = plain.setdefault(characters, bytearray(4 * self.n_words))
                bits[token >> 3] |= 1 << (token & 7)
            for characters in range(1, max(plain, default=0) + 1):
                fresh = int.from_bytes(plain.get(characters, b""), "little")
                self._plain.append(self._plain[-1] | fresh)
            self._crossing = Tree(self.kernel, others)
        return self._crossing

    @property
    def longest_plain(self) -> int:
        """Characters of the longest plain token."""
        _ = self.crossing
        return len(self._plain) - 1

    def plain(self, most: int) -> Scratch:
        """The mask of the plain tokens of at most so many characters."""
        most = min(most, self.longest_plain)
        found = self._slices.get(most)
        if found is None:
            found = Scratch(self.kernel, 4 * self.n_words, "a mask of tokens")
            found.write(self._plain[most].to_bytes(4 * self.n_words, "little"))
            self._slices[most] = found
        return found


def _characters(word: bytes) -> int:
    """How many characters a plain token begins; -1 for one that is not plain."""
    if not PLAIN.issuperset(word):
        return -1
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(word)
    except UnicodeDecodeError:
        return -1
    return sum(byte & 0xC0 != 0x80 for byte in word)
