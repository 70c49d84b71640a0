"""Lark grammars as rules over what a lexer finds.

`lark_syntax.py` reads them. Each terminal, and each text, class and pattern in a rule, is a
*lexeme*: a regular language of which a lexer finds texts (`lexed.py`), where the rules let one of
them come. Rules speak of lexemes by their numbers. Tokens and JSON are such numbers, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import OptionError
from . import read_regex, regex_syntax, unicode_sets
from .effort import Effort
from .kinds import EPSILON
from .lark_syntax import Source, read
from .lark_tree import (
    Absent,
    Between,
    Definition,
    Document,
    Literal,
    Name,
    Part,
    Pattern,
    Schema,
    Special,
    Times,
    Ways,
)
from .nodes import (
    EMPTY,
    Alt,
    Both,
    Chars,
    Json,
    Node,
    Not,
    Repeat,
    Rule,
    Seq,
    Terminal,
    Token,
)
from .regular import Algebra, Regular

MOST_STEPS = 40_000
"""Of making the lexemes."""
_RANGES = re.compile(r"<\[(\^?)([0-9,-]*)\]>")
_NUMBER = r"(?:\+|-)?"
_FLOAT = r"(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE](?:\+|-)?[0-9]+)?|[0-9]+[eE](?:\+|-)?[0-9]+"
COMMON = {
    "DIGIT": "[0-9]", "HEXDIGIT": "[a-fA-F0-9]", "INT": "[0-9]+", "SIGNED_INT": f"{_NUMBER}[0-9]+",
    "DECIMAL": r"[0-9]+\.[0-9]*|\.[0-9]+", "_EXP": rf"[eE]{_NUMBER}[0-9]+", "FLOAT": _FLOAT,
    "SIGNED_FLOAT": f"{_NUMBER}(?:{_FLOAT})", "NUMBER": f"[0-9]+|{_FLOAT}",
    "SIGNED_NUMBER": f"{_NUMBER}(?:[0-9]+|{_FLOAT})", "ESCAPED_STRING": r'"([^"\\]|\\.)*"',
    "LCASE_LETTER": "[a-z]", "UCASE_LETTER": "[A-Z]", "LETTER": "[A-Za-z]", "WORD": "[A-Za-z]+",
    "CNAME": "[_A-Za-z][_A-Za-z0-9]*", "WS_INLINE": r"[ \t]+", "WS": r"[ \t\f\r\n]+", "CR": r"\r",
    "LF": r"\n", "NEWLINE": r"(?:\r?\n)+", "SH_COMMENT": r"#[^\n]*", "CPP_COMMENT": r"//[^\n]*",
    "C_COMMENT": r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/", "SQL_COMMENT": r"--[^\n]*",
}  # fmt: skip
"""What `%import common.X` brings: the terminals of Lark's own `common.lark`."""


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A piece of a text."""

    language: Regular
    lazy: bool
    """Whether it ends as soon as it may; else it is as long as it can be."""


@dataclass(slots=True)
class Lark:
    """A grammar of lexemes."""

    algebra: Algebra
    rules: dict[str, Node] = field(default_factory=dict)
    symbols: list[Lexeme | Token | Json] = field(default_factory=list)
    """What the rules' terminals are."""
    ignored: Regular | None = None
    """What may stand between lexemes."""
    ignore_once: bool = False
    ignore_first: bool = False
    """Whether it may stand before the first lexeme, too."""


def parse(text: str) -> Lark:
    """The rules and lexemes of a grammar; it begins with the rule "start". Raises OptionError that
    says where it is wrong."""
    source = Source(text)
    return _Builder(source, read(source)).grammar()


class _Builder:
    def __init__(self, source: Source, document: Document) -> None:
        self._source, self._document = source, document
        self._lark = Lark(Algebra(Effort(MOST_STEPS)))
        self._lark.ignore_once = "ignore_once" in document.options
        self._lark.ignore_first = "allow_initial_skip" in document.options
        self._numbers: dict[Lexeme | Token | Json, int] = {}
        self._tokens: dict[str, Node] = {}
        self._open: set[str] = set()

    def grammar(self) -> Lark:
        rules = self._document.rules
        if "start" not in rules:
            raise OptionError("the grammar has no rule 'start', which is where a text begins")
        lark = self._lark
        waiting = ["start"]
        while waiting:
            name = waiting.pop()
            if name in lark.rules:
                continue
            called: list[str] = []
            lark.rules[name] = self._rule(rules[name], called)
            waiting += called
        if self._document.ignored:
            ways = tuple(self._terminal(one) for one in self._document.ignored)
            lark.ignored = lark.algebra.of(Alt(ways), lark.algebra.utf8)
        return lark

    # Rules

    def _rule(self, definition: Definition, called: list[str]) -> Node:
        if definition.lazy:
            body = self._terminal(definition.body)
            if definition.suffix is not None:
                body = Seq((body, self._terminal(definition.suffix)))
            return self._lexeme(body, lazy=True)
        return self._of_ways(definition.body, called)

    def _of_ways(self, ways: Ways, called: list[str]) -> Node:
        parts: list[Node] = []
        for conjunction in ways.ways:
            if len(conjunction) > 1:
                raise self._source.wrong(
                    ways.at, "& stands in terminals only; write this one's name in capitals"
                )
            sequence = tuple(self._of_part(part, called) for part in conjunction[0])
            parts.append(sequence[0] if len(sequence) == 1 else Seq(sequence))
        return parts[0] if len(parts) == 1 else Alt(tuple(parts))

    def _of_part(self, part: Part, called: list[str]) -> Node:
        if isinstance(part, Ways):
            return self._of_ways(part, called)
        if isinstance(part, Times):
            return Repeat(self._of_part(part.part, called), part.low, part.high)
        if isinstance(part, Name) and part.name in self._document.rules:
            called.append(part.name)
            return Rule(part.name)
        if isinstance(part, Special):
            return self._symbol(self._special(part))
        if isinstance(part, Schema):
            return self._symbol(Json(part.source))
        if part == Literal(""):
            return EMPTY
        return self._lexeme(self._terminal(part))

    def _lexeme(self, node: Node, *, lazy: bool = False) -> Node:
        """A terminal for a language; nothing may stand for what may be empty, as well."""
        algebra = self._lark.algebra
        language = algebra.of(node, algebra.utf8)
        if not language.live:
            raise OptionError("a terminal of the grammar has no text")
        if language.kind == EPSILON:
            return EMPTY
        terminal = self._symbol(Lexeme(language, lazy))
        return Alt((terminal, EMPTY)) if language.nullable else terminal

    def _symbol(self, symbol: Lexeme | Token | Json) -> Terminal:
        number = self._numbers.setdefault(symbol, len(self._lark.symbols))
        if number == len(self._lark.symbols):
            self._lark.symbols.append(symbol)
        return Terminal(number)

    def _special(self, part: Special) -> Token:
        if not part.text.startswith("<["):
            return Token(names=(part.text,))
        found = _RANGES.fullmatch(part.text)
        if part.text == "<[*]>":
            return Token(absent=True)
        ranges: list[tuple[int, int]] = []
        for one in found[2].split(",") if found else []:
            first, _, last = one.partition("-")
            low, high = first, last or first
            if not one:
                continue
            if not (low.isdecimal() and high.isdecimal()) or len(low) > 9 or len(high) > 9:
                found = None
                break
            ranges.append((int(low), int(high)))
        if not found or not ranges or any(high < low for low, high in ranges):
            raise self._source.wrong(
                part.at,
                f"{part.text:.40} is no set of tokens, as <[12]>, <[1-5,9]>, <[^12]>, <[*]>",
            )
        return Token(tuple(ranges), absent=bool(found[1]))

    # Terminals

    def _terminal(self, part: Part) -> Node:
        """The regular language of a part of a terminal."""
        if isinstance(part, Ways):
            ways = tuple(
                _both(tuple(self._sequence(one) for one in conjunction))
                for conjunction in part.ways
            )
            return ways[0] if len(ways) == 1 else Alt(ways)
        if isinstance(part, Times):
            return Repeat(self._terminal(part.part), part.low, part.high)
        if isinstance(part, Absent):
            return Not(self._terminal(part.part))
        if isinstance(part, Between):
            return Chars(((ord(part.first), ord(part.last)),))
        if isinstance(part, Literal):
            return Seq(tuple(Chars(_cased(letter, part.ignore_case)) for letter in part.text))
        if isinstance(part, Pattern):
            return self._pattern(part)
        if isinstance(part, Name):
            return self._named(part)
        words = "special tokens" if isinstance(part, Special) else "JSON Schemas"
        raise self._source.wrong(part.at, f"{words} cannot stand in terminals; they can in rules")

    def _sequence(self, parts: tuple[Part, ...]) -> Node:
        nodes = tuple(self._terminal(part) for part in parts)
        return nodes[0] if len(nodes) == 1 else Seq(nodes)

    def _pattern(self, part: Pattern) -> Node:
        if "l" in part.flags:
            raise self._source.wrong(part.at, "the flag l is not supported")
        try:
            tree = regex_syntax.read(part.pattern, regex_syntax.RUST, part.flags)
        except OptionError as error:
            at = part.at + (error.at or 0)
            raise self._source.wrong(at, str(error)) from None
        return read_regex.lowered(tree)

    def _named(self, name: Name) -> Node:
        known = self._tokens.get(name.name)
        if known is not None:
            return known
        if name.name in self._document.imports:
            called = self._document.imports[name.name]
            if called.name not in COMMON:
                raise self._source.wrong(
                    called.at, f"common has no {called.name!r:.30}; it has {', '.join(COMMON)}"
                )
            node = read_regex.lowered(regex_syntax.read(COMMON[called.name], regex_syntax.RUST))
        else:
            definition = self._document.tokens.get(name.name)
            if definition is None:
                kind = "terminals" if name.name in self._document.rules else "the grammar"
                raise self._source.wrong(name.at, f"there is no {name.name!r:.60} in {kind}")
            if name.name in self._open or len(self._open) > MOST_OPEN:
                raise self._source.wrong(
                    name.at, f"terminal {name.name!r:.60} leads to itself, or through too many"
                )
            self._open.add(name.name)
            node = self._terminal(definition.body)
            self._open.discard(name.name)
        self._tokens[name.name] = node
        return node


MOST_OPEN = 50
"""Terminals in terminals."""


def _both(nodes: tuple[Node, ...]) -> Node:
    return nodes[0] if len(nodes) == 1 else Both(nodes)


def _cased(letter: str, ignore_case: bool) -> tuple[tuple[int, int], ...]:
    ranges = ((ord(letter), ord(letter)),)
    return unicode_sets.either_case(ranges) if ignore_case else ranges
