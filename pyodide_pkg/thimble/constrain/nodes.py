"""What a grammar is made of, whichever way it was written down.

`read_gbnf.py`, `read_regex.py` and `read_schema.py` make these, `automaton.py` follows them. They
speak of characters; bytes come later.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..json_options import JsonOptions

Range = tuple[int, int]
"""First and last code point."""
LAST = 0x10FFFF
MOST_SOURCE = 1_000_000
"""Characters that a grammar may have."""
MOST_NESTED = 64
"""Brackets in brackets, or schemas in schemas."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of these ranges; none at all where there are none."""

    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Seq:
    """One after the other; nothing, where there are none."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of these."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same from `low` to `high` times; None for any number."""

    node: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """What the rule of this name says."""

    name: str


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the model's vocabulary with one of these numbers or names; where `absent`, one
    with none of them that does not end the text. What it says is not looked at."""

    numbers: tuple[Range, ...] = ()
    names: tuple[str, ...] = ()
    absent: bool = False
    optional: bool = False
    """Whether a vocabulary may lack the names; then nothing can come here."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a lexer has found, by its number. For grammars whose texts are cut into such first."""

    number: int


@dataclass(frozen=True, slots=True)
class Both:
    """The texts that all of these have. They must be regular: without a rule in them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Every text that this has not, of any length. It must be regular: without a rule in it."""

    node: Node


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value that is valid against a schema, where the text before it leaves nothing else."""

    schema: str
    options: JsonOptions | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A nondeterministic automaton that begins in state 0: of each state what may be read there
    and the state behind it, and the states where it may end. A state from which nothing need be
    read to an end is one of these, too. Inside `Both` and `Not` it must be without a rule."""

    ways: tuple[tuple[tuple[Node, int], ...], ...]
    ends: frozenset[int]


Node = Chars | Seq | Alt | Repeat | Rule | Token | Terminal | Both | Not | Graph | Json
EMPTY = Seq(())


def text(characters: str) -> Node:
    """Exactly these characters."""
    return Seq(tuple(Chars(((ord(c), ord(c)),)) for c in characters))


def chars(*ranges: tuple[str, str] | str) -> Chars:
    """A class of characters: each a character, or the first and the last of a range."""
    return Chars(union((ord(r[0]), ord(r[-1])) for r in ranges))


def union(ranges: object) -> tuple[Range, ...]:
    """Ranges in order, those that touch made one."""
    merged: list[Range] = []
    for low, high in sorted(ranges):  # type: ignore[call-overload]
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def others(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """Every code point that is in none of the ranges."""
    left: list[Range] = []
    start = 0
    for low, high in union(ranges):
        if low > start:
            left.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        left.append((start, LAST))
    return tuple(left)


def optional(node: Node) -> Node:
    return Repeat(node, 0, 1)
