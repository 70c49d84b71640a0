"""Regular expressions as JavaScript writes them, where they describe a regular language.

Characters, `.`, classes, `\\d \\w \\s` and their opposites, groups, `|`, quantifiers. `^` and `$`
may stand at the ends. What cannot be decided while writing (look-around, references, word
boundaries) is refused by name. Whether a quantifier is lazy makes no difference to the texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..errors import OptionError
from .nodes import (
    EMPTY,
    LAST,
    MOST_NESTED,
    MOST_SOURCE,
    Alt,
    Chars,
    Node,
    Range,
    Repeat,
    Seq,
    others,
    union,
)

DIGIT = ((48, 57),)
WORD = union([(48, 57), (65, 90), (95, 95), (97, 122)])
SPACE = union(
    (ord(signs[0]), ord(signs[-1]))
    for signs in ("\t\r", " ", "\xa0", "\u1680", "\u2000\u200a", "\u2028\u2029", "\u202f", "\u205f",
                  "\u3000", "\ufeff")
)  # fmt: skip
NO_LINE_END = others(((10, 10), (13, 13), (0x2028, 0x2029)))
_SETS = {
    "d": DIGIT, "D": others(DIGIT), "w": WORD, "W": others(WORD), "s": SPACE, "S": others(SPACE),
}  # fmt: skip
_CONTROLS = {"n": 10, "r": 13, "t": 9, "v": 11, "f": 12, "0": 0}
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}")
_COUNT = re.compile(r"\{([0-9]+)(,)?([0-9]*)\}")
_NAME = re.compile(r"\?(?::|<[A-Za-z_$][A-Za-z0-9_$]*>)")
MOST_TIMES = 100_000

Encode = Callable[[tuple[Range, ...]], Node]
"""What a class of characters is written as: JSON strings escape some."""


def parse(pattern: str, *, encode: Encode = Chars, search: bool = False) -> Node:
    """The texts that a pattern matches as a whole; with `search`, those that have a match anywhere.
    Raises OptionError that says where it is wrong."""
    if len(pattern) > MOST_SOURCE:
        raise OptionError(
            f"the pattern has {len(pattern):,} characters; {MOST_SOURCE:,} is the most"
        )
    return _Reader(pattern, encode).whole(search)


class _Reader:
    def __init__(self, pattern: str, encode: Encode) -> None:
        self._pattern = pattern
        self._encode = encode
        self._at = 0
        self._nested = 0

    def _wrong(self, words: str, at: int | None = None) -> OptionError:
        where = self._at if at is None else at
        error = OptionError(f"the regular expression is wrong at character {where + 1}: {words}")
        error.at = where
        return error

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def whole(self, search: bool) -> Node:
        """Alternatives, each with its own ends: ^ and $ bind closer than |."""
        anything = Repeat(self._encode(((0, LAST),)), 0, None)
        parts: list[Node] = []
        while True:
            begins = self._take("^")
            node = self._sequence()
            ends = self._take("$")
            before = [] if begins or not search else [anything]
            parts.append(Seq((*before, node, *([] if ends or not search else [anything]))))
            if not self._take("|"):
                break
        if self._next():
            raise self._wrong(self._stray(self._next()))
        return parts[0] if len(parts) == 1 else Alt(tuple(parts))

    def _stray(self, sign: str) -> str:
        if sign in "^$":
            return f"{sign} can stand at an end of the whole expression only"
        return f"{sign!r} has no partner"

    def _take(self, sign: str) -> bool:
        there = self._next() == sign
        self._at += there
        return there

    def _alternatives(self) -> Node:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Alt(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while (sign := self._next()) and sign not in "|)":
            if sign == "$" and self._pattern[self._at + 1 : self._at + 2] in ("", "|"):
                break
            if sign in "^$":
                raise self._wrong(self._stray(sign))
            parts.append(self._quantified(self._one()))
        return Seq(tuple(parts)) if parts else EMPTY

    def _quantified(self, node: Node) -> Node:
        sign = self._next()
        if sign and sign in "*+?":
            self._at += 1
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        elif found := _COUNT.match(self._pattern, self._at):
            low, high = self._count(found)
            self._at = found.end()
        else:
            return node
        self._take("?")
        if self._next() and self._next() in "*+?":
            raise self._wrong(f"{self._next()!r} has nothing before it to repeat")
        return Repeat(node, low, high)

    def _count(self, found: re.Match[str]) -> tuple[int, int | None]:
        if len(found[0]) > 20 or int(found[1]) > MOST_TIMES or int(found[3] or 0) > MOST_TIMES:
            raise self._wrong(f"{found[0]:.30} repeats more than {MOST_TIMES:,} times")
        low = int(found[1])
        high = int(found[3]) if found[3] else None if found[2] else low
        if high is not None and high < low:
            raise self._wrong(f"{found[0]} asks for at least {low} and at most {high}")
        return low, high

    def _one(self) -> Node:
        start, sign = self._at, self._next()
        self._at += 1
        if sign == "(":
            return self._group(start)
        if sign == "[":
            return self._encode(self._class(start))
        if sign == "\\":
            return self._encode(self._escaped(start, inside=False))
        if sign == ".":
            return self._encode(NO_LINE_END)
        if sign in "*+?":
            raise self._wrong(f"{sign!r} has nothing before it to repeat", start)
        return self._encode(((ord(sign), ord(sign)),))

    def _group(self, start: int) -> Node:
        if found := _NAME.match(self._pattern, self._at):
            self._at = found.end()
        elif self._next() == "?":
            raise self._wrong("look-around and flags in groups are not supported", start)
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise self._wrong(f"groups stand in more than {MOST_NESTED} others", start)
        node = self._alternatives()
        if not self._take(")"):
            raise self._wrong("this group is never closed", start)
        self._nested -= 1
        return node

    def _escaped(self, start: int, *, inside: bool) -> tuple[Range, ...]:
        """The characters behind a backslash."""
        if found := _CODE.match(self._pattern, self._at):
            self._at = found.end()
            point = int(next(group for group in found.groups() if group), 16)
            if point > LAST or 0xD800 <= point <= 0xDFFF:
                raise self._wrong(f"{found[0]} is no character", start)
            return ((point, point),)
        sign = self._next()
        self._at += 1
        if not sign:
            raise self._wrong("a backslash stands at the end", start)
        if sign in _SETS:
            return _SETS[sign]
        if sign in _CONTROLS:
            return ((_CONTROLS[sign],) * 2,)
        if inside and sign == "b":
            return ((8, 8),)
        if sign.isalnum():
            kind = {"b": "word boundaries", "B": "word boundaries"}.get(sign, f"escape \\{sign}")
            kind = "references to groups" if sign.isdigit() or sign == "k" else kind
            raise self._wrong(f"{kind} are not supported" if kind[-1] == "s" else
                              f"there is no {kind} here", start)  # fmt: skip
        return ((ord(sign), ord(sign)),)

    def _class(self, start: int) -> tuple[Range, ...]:
        negated = self._take("^")
        ranges: list[Range] = []
        while not self._take("]"):
            low = self._member(start)
            if self._next() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._member(start)
                if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1]:
                    raise self._wrong("a range in a class goes from a character to another")
                if high[0][0] < low[0][0] or high[0][0] != high[0][1]:
                    raise self._wrong("a range in a class is backwards or ends in a set")
                ranges.append((low[0][0], high[0][0]))
            else:
                ranges += low
        found = union(ranges)
        return others(found) if negated else found

    def _member(self, start: int) -> tuple[Range, ...]:
        at, sign = self._at, self._next()
        if not sign:
            raise self._wrong("this class is never closed", start)
        self._at += 1
        return self._escaped(at, inside=True) if sign == "\\" else ((ord(sign), ord(sign)),)
