"""Strings over which DRY's repetitions do not go, as tokens.

A breaker may lie in one token or begin in one and go on in the tokens that follow, so each becomes
heads and tails: the tokens in which it begins, and what must come after those. As in llama.cpp and
koboldcpp (https://github.com/LostRuins/koboldcpp/pull/982).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from .kernel import Kernel, Scratch
from .tokenizer import Tokenizer

LONGEST_TAIL = 20
"""Tokens."""

_made: WeakKeyDictionary[Tokenizer, dict[tuple[str, ...], SequenceBreakers]] = WeakKeyDictionary()


class SequenceBreakers:
    """Of one vocabulary. `of` makes them, or finds those that were made before."""

    def __init__(self, kernel: Kernel, tokenizer: Tokenizer, breakers: Sequence[str]) -> None:
        self._tails: dict[int, list[tuple[int, ...]]] = {}
        for token in range(tokenizer.n_vocab):
            data = tokenizer.token_bytes(token)
            found = {tail for one in breakers for tail in _tails(tokenizer, data, one.encode())}
            if found:
                self._tails[token] = sorted(found, key=len, reverse=True)
        words = array("I", bytes(4 * (tokenizer.n_vocab + 31 >> 5)))
        for token, tails in self._tails.items():
            if () in tails:
                words[token >> 5] |= 1 << (token & 31)
        self._bits = Scratch(kernel, 4 * len(words), "sequence breakers")
        self._bits.write(words.tobytes())

    @classmethod
    def of(
        cls, kernel: Kernel, tokenizer: Tokenizer, breakers: Sequence[str]
    ) -> SequenceBreakers | None:
        """The breakers of a vocabulary in kernel memory; None where there are none."""
        if not breakers:
            return None
        known = _made.setdefault(tokenizer, {})
        key = tuple(breakers)
        if key not in known:
            known[key] = cls(kernel, tokenizer, key)
        return known[key]

    @property
    def mask(self) -> int:
        """Address of a bit for each token that is one alone."""
        return self._bits.address

    def limit(self, tokens: Sequence[int], window: int) -> int:
        """How many tokens at the end of a text come after its last breaker; `window` at most."""
        for back in range(window):
            at = len(tokens) - 1 - back
            for tail in self._tails.get(tokens[at], ()):
                if len(tail) <= back and tuple(tokens[at + 1 : at + 1 + len(tail)]) == tail:
                    return back - len(tail)
        return window


def _tails(tokenizer: Tokenizer, token: bytes, breaker: bytes) -> list[tuple[int, ...]]:
    """What must come after a token, by its bytes, for a breaker to begin in it."""
    if breaker in token:
        return [()]
    tails = []
    for begin in range(max(0, len(token) - len(breaker) + 1), len(token)):
        part = token[begin:]
        if breaker.startswith(part):
            try:
                rest = breaker[len(part) :].decode()
            except UnicodeDecodeError:
                continue  # inside a character, whose other bytes no text of its own begins with
            ids: list[int] = []
            tokenizer._encode_fragment(rest, False, ids)  # goes on, and so begins with no space
            tails.append(tuple(ids[:LONGEST_TAIL]))
    return tails
