"""Grammars in GBNF, as llama.cpp reads them.

    root  ::= "yes" | "no" | "about " number
    number ::= [1-9] [0-9]{0,3}   # a comment

Texts in quotes, classes of characters, `.`, tokens (`<[12]>`, `<think>`, and `!` before one for
any other), brackets, `|`, and `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`. A rule goes to the end of its
line; it goes on behind `::=` and `|`, and inside brackets. A text must match the rule `root`. Of
two rules with one name the later one holds.

The source of all this is llama.cpp's `grammars/README.md` and what its parser does. Brackets are
counted, not descended into, so that their depth has no bound but the length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import OptionError
from .nodes import (
    EMPTY,
    LAST,
    MOST_SOURCE,
    Alt,
    Chars,
    Node,
    Range,
    Repeat,
    Rule,
    Seq,
    Token,
    others,
    union,
)

_BLANK = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile("[A-Za-z0-9_-]+")
_TEXT = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_CLASS = re.compile(r"\[([^\]\\]*(?:\\.[^\]\\]*)*)\]", re.DOTALL)
_TOKEN = re.compile(r"!?<(?:\[([0-9]{1,9})\]|([^[>\n][^>\n]*))>")
_COUNT = re.compile("[0-9]*")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt\\\"\[\]^-]))|([^\\])", re.S
)
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}
_TIMES = {"*": (0, None), "+": (1, None), "?": (0, 1)}
MOST_TIMES = 2_000
"""Repetitions that llama.cpp takes: of one thing, and multiplied with those inside it."""
MOST_ITEMS = 200_000
DEEPEST = 24
"""Brackets in brackets of one tree; what is deeper becomes a rule of its own."""


@dataclass(slots=True)
class _Group:
    """A bracket that is open, or a rule."""

    at: int
    symbols: int
    """Names that there were before it."""
    height: int = 0
    """Brackets inside it, one in the other."""
    ways: list[Node] = field(default_factory=list)
    parts: list[Node] = field(default_factory=list)
    repeated: int = 1
    """Rules that llama.cpp makes of the last part."""

    def close_way(self) -> None:
        self.ways.append(
            self.parts[0]
            if len(self.parts) == 1
            else Seq(tuple(self.parts))
            if self.parts
            else EMPTY
        )
        self.parts = []

    def node(self) -> Node:
        self.close_way()
        return self.ways[0] if len(self.ways) == 1 else Alt(tuple(self.ways))


def parse(source: str) -> dict[str, Node]:
    """The rules of a grammar. Raises OptionError that says where it is wrong."""
    if len(source) > MOST_SOURCE:
        raise OptionError(
            f"the grammar has {len(source):,} characters; {MOST_SOURCE:,} is the most"
        )
    rules = _Reader(source).rules()
    if "root" not in rules:
        raise OptionError("the grammar has no rule 'root', which is where a text begins")
    return rules


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._items = 0
        self._rules: dict[str, Node] = {}
        self._called: dict[str, int] = {}
        self._characters: dict[int, Chars] = {}
        self._names: set[str] = set()
        self._made = 0
        """Rules that llama.cpp makes of brackets and repetitions."""

    def _wrong(self, at: int, words: str) -> OptionError:
        line = self._source.count("\n", 0, at) + 1
        column = at - self._source.rfind("\n", 0, at)
        error = OptionError(f"the grammar is wrong in line {line}, column {column}: {words}")
        error.at = at
        return error

    def _next(self) -> str:
        return self._source[self._at : self._at + 1]

    def _skip(self, lines: bool) -> None:
        found = (_BLANK_LINES if lines else _BLANK).match(self._source, self._at)
        assert found is not None  # it matches nothing at all, too
        self._at = found.end()

    def rules(self) -> dict[str, Node]:
        self._skip(True)
        while self._at < len(self._source):
            self._rule()
        for name, at in self._called.items():
            if name not in self._rules:
                raise self._wrong(at, f"there is no rule {name!r}")
        return self._rules

    def _rule(self) -> None:
        start = self._at
        name = _NAME.match(self._source, start)
        if not name:
            raise self._wrong(start, f"a rule, name ::= ..., should begin at {self._next()!r}")
        self._at = name.end()
        self._names.add(name[0])
        self._skip(False)
        if not self._source.startswith("::=", self._at):
            raise self._wrong(self._at, f"::= should stand behind the name {name[0]!r:.40}")
        self._at += 3
        self._skip(True)
        node = self._alternatives(name[0], start)
        if self._next() not in ("", "\n", "\r"):
            words = self._source[self._at : self._at + 12]
            raise self._wrong(self._at, f"{words!r} cannot stand in a rule")
        self._rules[name[0]] = node
        self._skip(True)

    def _alternatives(self, rule: str, start: int) -> Node:
        """What a rule says, as far as its line goes."""
        open_groups = [_Group(start, 0)]
        while True:
            group = open_groups[-1]
            inside = len(open_groups) > 1
            sign, at = self._next(), self._at
            if sign == "|":
                group.close_way()
                self._at += 1
                self._skip(True)
                continue
            if sign == "(":
                self._made += 1
                self._count_item(at)
                open_groups.append(_Group(at, len(self._names) + self._made - 1))
                self._at += 1
                self._skip(True)
                continue
            if sign == ")" and inside:
                self._close(open_groups, rule)
                self._at += 1
            elif sign and sign in "*+?{":
                self._repeat(group, sign, inside)
            elif (node := self._one(sign)) is not None:
                self._count_item(at)
                group.parts.append(node)
                group.repeated = 1
            elif inside:
                if not sign:
                    raise self._wrong(group.at, "this bracket is never closed")
                raise self._wrong(at, f"{sign!r} cannot stand here")
            else:
                return group.node()
            self._skip(len(open_groups) > 1)

    def _close(self, open_groups: list[_Group], rule: str) -> None:
        """Put what stands in a bracket into what it stands in."""
        group = open_groups.pop()
        node, outer = group.node(), open_groups[-1]
        if group.height >= DEEPEST:
            name = f"{rule} ({len(self._rules)})"  # which no rule can be called
            self._rules[name] = node
            node, group.height = Rule(name), 0
        outer.height = max(outer.height, group.height + 1)
        outer.parts.append(node)
        outer.repeated = max(1, len(self._names) + self._made - group.symbols)

    def _count_item(self, at: int) -> None:
        self._items += 1
        if self._items > MOST_ITEMS:
            raise self._wrong(at, f"the grammar has more than {MOST_ITEMS:,} parts")

    # What is repeated

    def _repeat(self, group: _Group, sign: str, inside: bool) -> None:
        start = self._at
        if sign in _TIMES:
            self._at += 1
            low, high = _TIMES[sign]
        else:
            low, high = self._times(inside)
        words = self._source[start : self._at]
        if not group.parts:
            raise self._wrong(start, f"{words:.30} has nothing before it to repeat")
        if high is not None and high < low:
            raise self._wrong(start, f"{words} asks for at least {low} and at most {high}")
        bounded = high is not None and high <= MOST_TIMES
        times = max(1, high if bounded and high else low)
        if low > MOST_TIMES or group.repeated * times > MOST_TIMES:
            raise self._wrong(
                start,
                f"{words:.30} repeats more than {MOST_TIMES:,} times, what is inside included",
            )
        group.repeated *= times
        self._made += high - low if bounded and high is not None else 1
        group.parts[-1] = Repeat(group.parts[-1], low, high)

    def _times(self, inside: bool) -> tuple[int, int | None]:
        """What `{n}`, `{n,}` or `{n,m}` says."""
        start = self._at
        self._at += 1
        low = self._number(inside, start)
        high: int | None = low
        if low is not None and self._next() == ",":
            self._at += 1
            high = self._number(inside, start)
        if low is None or self._next() != "}":
            words = self._source[start : self._at + 1]
            raise self._wrong(start, f"{words:.30} is not one of {{n}}, {{n,}} and {{n,m}}")
        self._at += 1
        return low, high

    def _number(self, inside: bool, start: int) -> int | None:
        self._skip(inside)
        found = _COUNT.match(self._source, self._at)
        digits = found[0] if found else ""
        if len(digits.lstrip("0")) > 9:
            raise self._wrong(start, f"{{{digits:.20}... repeats too often")
        self._at += len(digits)
        self._skip(inside)
        return int(digits) if digits else None

    # What stands for itself

    def _one(self, sign: str) -> Node | None:
        """The text, class, token or rule that begins here, if one does."""
        at = self._at
        if name := _NAME.match(self._source, at):
            self._at = name.end()
            self._names.add(name[0])
            self._called.setdefault(name[0], at)
            return Rule(name[0])
        if sign == ".":
            self._at += 1
            return Chars(((0, LAST),))
        for begins, pattern, read in (('"', _TEXT, self._text), ("[", _CLASS, self._chars)):
            if sign == begins:
                found = pattern.match(self._source, at)
                if not found:
                    kind = "text" if sign == '"' else "class of characters"
                    raise self._wrong(at, f"this {kind} is never closed")
                self._at = found.end()
                return read(found[1], at)
        if sign and sign in "<!":
            token = _TOKEN.match(self._source, at)
            if not token:
                raise self._wrong(at, "a token is written <[number]> or <text>, or ! before it")
            self._at = token.end()
            name_or_none = None if token[1] else token[0].removeprefix("!")
            numbers = ((int(token[1]),) * 2,) if token[1] else ()
            return Token(numbers, (name_or_none,) if name_or_none else (), absent=sign == "!")
        return None

    def _text(self, inside: str, at: int) -> Node:
        points = self._points(inside, at + 1)
        return Seq(tuple(self._character(point) for point, _ in points)) if points else EMPTY

    def _character(self, point: int) -> Chars:
        return self._characters.setdefault(point, Chars(((point, point),)))

    def _chars(self, inside: str, at: int) -> Node:
        negated = inside.startswith("^")
        points = self._points(inside[negated:], at + 1 + negated)
        if not points:
            return EMPTY  # so llama.cpp has it
        ranges: list[Range] = []
        i = 0
        while i < len(points):
            low = high = points[i][0]
            if i + 2 < len(points) and points[i + 1] == (ord("-"), False):
                high = points[i + 2][0]
                i += 2
            if high < low:
                raise self._wrong(at, f"the range {chr(low)!r} to {chr(high)!r} is backwards")
            ranges.append((low, high))
            i += 1
        found = union(ranges)
        return Chars(others(found) if negated else found)

    def _points(self, inside: str, at: int) -> list[tuple[int, bool]]:
        """Code points, and whether each was escaped."""
        points: list[tuple[int, bool]] = []
        start = 0
        while start < len(inside):
            found = _ESCAPE.match(inside, start)
            if not found:
                words = inside[start : start + 2]
                raise self._wrong(at + start, f"GBNF has no escape {words!r}")
            *codes, named, plain = found.groups()
            code = next((c for c in codes if c), None)
            point = int(code, 16) if code else ord(plain or _NAMED.get(named, named))
            if point > LAST or 0xD800 <= point <= 0xDFFF:
                raise self._wrong(at + start, f"{found[0]} is no character")
            points.append((point, plain is None))
            start = found.end()
        return points
