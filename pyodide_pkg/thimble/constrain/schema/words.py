"""Strings: which characters may stand between the quotes of a JSON text.

A statement about a string is a regular language of its spelling, or a length; what follows of
several is one automaton, found as far as a text goes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from ..effort import Effort
from ..kinds import NOT as COMPLEMENT
from ..nodes import LAST, Node, Range, others, union
from ..program import ENDLESS
from ..regular import Algebra, Regular
from .logic import AND, CONSTANT, NOT, OR, STATEMENT, STRING, Expr, Logic
from .rows import together

_SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}
EVERY: tuple[Range, ...] = ((0, 0xD7FF), (0xE000, LAST))
ESCAPED: tuple[Range, ...] = ((0, 31), (34, 34), (92, 92))


@dataclass(frozen=True, slots=True)
class Text:
    """The string's spelling is of this language."""

    kind: ClassVar[int] = STRING
    language: Regular


@dataclass(frozen=True, slots=True)
class Length:
    """The string has so many characters; None for no bound."""

    kind: ClassVar[int] = STRING
    low: int
    high: int | None


def spelled(words: str) -> bytes:
    """A string between its quotes, each character in its shortest way."""
    text = json.dumps(words, ensure_ascii=False)[1:-1]
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a pair of surrogates
        return "".join(
            f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text
        ).encode()


def within(ranges: tuple[Range, ...], outer: tuple[Range, ...]) -> tuple[Range, ...]:
    return union(
        (max(low, first), min(high, last))
        for low, high in ranges
        for first, last in outer
        if max(low, first) <= min(high, last)
    )


class Spelling:
    """How characters are spelled in JSON. Shared by all schemas that spell alike."""

    def __init__(self, *, any_way: bool) -> None:
        self.any_way = any_way
        self.algebra = Algebra(Effort(1 << 60))
        self._spelled: dict[tuple[Range, ...], Regular] = {}
        self.formats: dict[str, Regular] = {}
        self.character = self.spell(EVERY)
        self.any_text = self.algebra.repeat(self.character, 0, None)
        self.algebra.absorbing.add(self.any_text)

    def spell(self, ranges: tuple[Range, ...]) -> Regular:
        """One character out of these ranges."""
        found = self._spelled.get(ranges)
        if found is None:
            if len(self._spelled) > 2000:
                self._spelled.clear()
            found = self._spelled[ranges] = self._spell(within(ranges, EVERY))
        return found

    def _spell(self, ranges: tuple[Range, ...]) -> Regular:
        algebra = self.algebra
        plain = within(ranges, others(ESCAPED))
        ways = [algebra.utf8(plain)] if plain else []
        points = [p for low, high in within(ranges, ESCAPED) for p in range(low, high + 1)]
        ways.append(
            algebra.words(
                b"\\" + (_SHORT[p].encode() if p in _SHORT else b"u%04x" % p) for p in points
            )
        )
        if self.any_way:
            ways.append(self._escapes(ranges))
        return algebra.alt(ways)

    def _escapes(self, ranges: tuple[Range, ...]) -> Regular:
        """`\\uXXXX` for each of these characters, and `\\/`."""
        algebra = self.algebra
        begin = algebra.words([b"\\u"])
        ways = [
            algebra.seq(begin, self._hex(low, high)) for low, high in within(ranges, ((0, 0xFFFF),))
        ]
        for low, high in within(ranges, ((0x10000, LAST),)):
            (top, bottom), (end, rest) = divmod(low - 0x10000, 1024), divmod(high - 0x10000, 1024)
            if top == end:
                ways.append(self._pair(top, end, bottom, rest))
                continue
            ways.append(self._pair(top, top, bottom, 1023))
            if end - top > 1:
                ways.append(self._pair(top + 1, end - 1, 0, 1023))
            ways.append(self._pair(end, end, 0, rest))
        if any(low <= 47 <= high for low, high in ranges):
            ways.append(algebra.words([b"\\/"]))
        return algebra.alt(ways)

    def _pair(self, top: int, end: int, low: int, high: int) -> Regular:
        algebra = self.algebra
        begin = algebra.words([b"\\u"])
        return algebra.seq(
            begin,
            self._hex(0xD800 + top, 0xD800 + end),
            begin,
            self._hex(0xDC00 + low, 0xDC00 + high),
        )

    def _hex(self, low: int, high: int, digits: int = 4) -> Regular:
        """Numbers in hexadecimal digits, capitals or not."""
        algebra = self.algebra
        if digits == 0:
            return algebra.epsilon
        size = 16 ** (digits - 1)
        ways = []
        for digit in range(low // size, high // size + 1):
            mask = (1 << ord(f"{digit:x}")) | (1 << ord(f"{digit:X}"))
            first, last = max(low, digit * size), min(high, (digit + 1) * size - 1)
            rest = self._hex(first - digit * size, last - digit * size, digits - 1)
            ways.append(algebra.seq(algebra.byte_set(mask), rest))
        return algebra.alt(ways)

    def word(self, algebra: Algebra, words: list[str]) -> Regular:
        """Any of these strings, as a whole."""
        if not self.any_way:
            return algebra.words(spelled(word) for word in words)
        return algebra.alt(
            algebra.seq(*(self.spell(((ord(c), ord(c)),)) for c in word)) for word in words
        )


class Strings:
    """What expressions say of strings, for one schema."""

    def __init__(self, logic: Logic, spelling: Spelling, effort: Effort) -> None:
        self._logic, self.spelling = logic, spelling
        self.algebra = Algebra(effort, spelling.algebra)
        self._shortest: dict[tuple[Regular, Regular], int] = {}

    def language(self, node: Node) -> Regular:
        """The spellings of the strings that a regular expression has."""
        return self.algebra.of(node, self.spelling.spell)

    def parts(self, expr: Expr) -> tuple[Regular, int, int | None]:
        """An expression as a language and a length."""
        low: int = 0
        high: int | None = None
        languages = [self.spelling.any_text]
        for part in expr.of if expr.kind == AND else (expr,):
            if part.kind == STATEMENT and isinstance(part.of, Length):
                low = max(low, part.of.low)
                high = _least(high, part.of.high)
            else:
                languages.append(self.of(part))
        return self._both(languages), low, high

    def of(self, expr: Expr) -> Regular:
        """An expression as one language."""
        algebra, any_text = self.algebra, self.spelling.any_text
        if expr.kind == CONSTANT:
            return any_text if expr.of else algebra.nothing
        if expr.kind == AND:
            return self._both([self.of(part) for part in expr.of])
        if expr.kind == OR:
            return algebra.alt(self.of(part) for part in expr.of)
        if expr.kind == NOT:
            return self._both([algebra.but(self.of(expr.of)), any_text])
        if expr.kind == STATEMENT:
            if isinstance(expr.of, Length):
                return algebra.repeat(self.spelling.character, expr.of.low, expr.of.high)
            language: Regular = expr.of.language
            return language
        return self.of(self._logic.normal(expr))

    def _both(self, languages: list[Regular]) -> Regular:
        any_text = self.spelling.any_text
        if any(one is not any_text and one.kind != COMPLEMENT for one in languages):
            languages = [one for one in languages if one is not any_text]
        return self.algebra.both(languages)

    def satisfiable(self, expr: Expr) -> bool:
        language, low, high = self.parts(expr)
        if high is not None and high < low:
            return False
        if not language.live:
            return False
        if (low == 0 and high is None) or language is self.spelling.any_text:
            return True
        language = self.at_least(language, low, high)
        return language.live if high is None else self._least_of(language) <= high

    def at_least(self, language: Regular, low: int, high: int | None) -> Regular:
        """The strings of a language that have so many characters, which is all of them where the
        shortest has: that is looked for where `high` makes it known anyway."""
        if not low or (high is not None and self._least_of(language) >= low):
            return language
        longer = self.algebra.repeat(self.spelling.character, low, None)
        return self.algebra.both([language, longer])

    def _least_of(self, language: Regular) -> int:
        return self.shortest(language, self.spelling.any_text)

    def shortest(self, at: Regular, left: Regular) -> int:
        """How many characters must begin until a string may end of which `at` is left, and `left`
        of its character and any others; ENDLESS where it cannot end. (Dijkstra's search.)"""
        known = self._shortest.get((at, left))
        if known is not None:
            return known
        any_text, nothing = self.spelling.any_text, self.algebra.nothing
        came: dict[tuple[Regular, Regular], tuple[Regular, Regular] | None] = {(at, left): None}
        best, end = ENDLESS, (at, left)
        now, levels = 0, [[(at, left)]]
        distances = {(at, left): 0}
        while now < len(levels) and now < best:
            for here in levels[now]:  # grows by those that are as far
                if distances[here] < now:
                    continue
                rest = self._shortest.get(here)
                if rest is None and here[0].nullable:
                    rest = 0
                if rest is not None:
                    if now + rest < best:
                        best, end = now + rest, here
                    continue
                far = now + (here[1] is any_text)
                if far >= best:
                    continue
                for _, pair in together(here, nothing):
                    there = (pair[0], pair[1])
                    if there[1] is not nothing and distances.get(there, ENDLESS) > far:
                        distances[there], came[there] = far, here
                        if far == len(levels):
                            levels.append([])
                        levels[far].append(there)
            now += 1
        if best == ENDLESS:
            for one in came:
                self._shortest[one] = ENDLESS
        step: tuple[Regular, Regular] | None = end
        while step is not None and best < ENDLESS:
            self._shortest[step] = best - distances[step]
            step = came[step]
        return best


def _least(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)
