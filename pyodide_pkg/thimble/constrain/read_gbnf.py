"""Grammars in GBNF, as llama.cpp writes them.

    root  ::= "yes" | "no" | "about " number
    number ::= [1-9] [0-9]{0,3}   # a comment

Texts in quotes, classes of characters, `.`, brackets, `|`, and `*`, `+`, `?`, `{n}`, `{n,}`,
`{n,m}`; escapes are those of llama.cpp. A text must match the rule `root`.
"""

from __future__ import annotations

import re

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
    Rule,
    Seq,
    others,
    union,
)

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*)
    | (?P<name>[A-Za-z0-9_-]+) | (?P<is>::=)
    | (?P<text>"(?:[^"\\\n]|\\.)*") | (?P<chars>\[(?:[^\]\\\n]|\\.)*\])
    | (?P<times>\{[ ]*[0-9]+[ ]*(?:,[ ]*[0-9]*[ ]*)?\}) | (?P<sign>[().|*+?])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt\\\"\[\]^-]))|([^\\])", re.S
)
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}
_TIMES = {"*": (0, None), "+": (1, None), "?": (0, 1)}

Token = tuple[str, str, int]
"""Kind, text, and at which character it begins."""


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
        self._tokens = self._cut()
        self._at = 0
        self._nested = 0
        self._called: dict[str, int] = {}

    def _cut(self) -> list[Token]:
        tokens: list[Token] = []
        at = 0
        while at < len(self._source):
            found = _TOKEN.match(self._source, at)
            if not found:
                raise self._wrong(at, f"{self._source[at : at + 12]!r} is nothing that GBNF has")
            if found.lastgroup != "space":
                tokens.append((str(found.lastgroup), found[0], at))
            at = found.end()
        return [*tokens, ("end", "", at), ("end", "", at)]

    def _wrong(self, at: int, words: str) -> OptionError:
        line = self._source.count("\n", 0, at) + 1
        column = at - self._source.rfind("\n", 0, at)
        error = OptionError(f"the grammar is wrong in line {line}, column {column}: {words}")
        error.at = at
        return error

    def rules(self) -> dict[str, Node]:
        rules: dict[str, Node] = {}
        while self._tokens[self._at][0] != "end":
            _, name, at = self._tokens[self._at]
            if not self._begins_rule():
                raise self._wrong(at, f"a rule, name ::= ..., should begin at {name!r}")
            if name in rules:
                raise self._wrong(at, f"rule {name!r} is there already")
            self._at += 2
            rules[name] = self._alternatives()
        for name, at in self._called.items():
            if name not in rules:
                raise self._wrong(at, f"there is no rule {name!r}")
        return rules

    def _begins_rule(self) -> bool:
        return self._tokens[self._at][0] == "name" and self._tokens[self._at + 1][0] == "is"

    def _alternatives(self) -> Node:
        parts = [self._sequence()]
        while self._tokens[self._at][1] == "|":
            self._at += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Alt(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while True:
            kind, words, at = self._tokens[self._at]
            if kind == "end" or words in ("|", ")") or self._begins_rule():
                return Seq(tuple(parts)) if parts else EMPTY
            if kind == "times" or words in _TIMES:
                if not parts:
                    raise self._wrong(at, f"{words} has nothing before it to repeat")
                parts[-1] = self._repeated(parts[-1], words, at)
                self._at += 1
            else:
                parts.append(self._one())

    def _repeated(self, node: Node, words: str, at: int) -> Node:
        if words in _TIMES:
            low, high = _TIMES[words]
            return Repeat(node, low, high)
        first, comma, last = words[1:-1].replace(" ", "").partition(",")
        if len(first) > 7 or len(last) > 7:
            raise self._wrong(at, f"{words:.30} repeats too often")
        low, high = int(first), int(last) if last else None if comma else int(first)
        if high is not None and high < low:
            raise self._wrong(at, f"{words} asks for at least {low} and at most {high}")
        return Repeat(node, low, high)

    def _one(self) -> Node:
        kind, words, at = self._tokens[self._at]
        self._at += 1
        if kind == "name":
            self._called.setdefault(words, at)
            return Rule(words)
        if kind == "text":
            points = self._points(words[1:-1], at)
            return Seq(tuple(Chars(((p, p),)) for p, _ in points))
        if kind == "chars":
            return self._chars(words[1:-1], at)
        if words == ".":
            return Chars(((0, LAST),))
        if words != "(":
            raise self._wrong(at, f"{words!r} cannot stand here")
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise self._wrong(at, f"brackets stand in more than {MOST_NESTED} others")
        node = self._alternatives()
        if self._tokens[self._at][1] != ")":
            raise self._wrong(at, "this bracket is never closed")
        self._at += 1
        self._nested -= 1
        return node

    def _chars(self, inside: str, at: int) -> Node:
        negated = inside.startswith("^")
        points = self._points(inside[negated:], at)
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
                raise self._wrong(at, f"GBNF has no escape {inside[start : start + 2]!r}")
            *codes, named, plain = found.groups()
            code = next((c for c in codes if c), None)
            point = int(code, 16) if code else ord(plain or _NAMED.get(named, named))
            if point > LAST or 0xD800 <= point <= 0xDFFF:
                raise self._wrong(at, f"{found[0]} is no character")
            points.append((point, plain is None))
            start = found.end()
        return points
