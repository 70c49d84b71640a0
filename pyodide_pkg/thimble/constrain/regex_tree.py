"""What a regular expression is made of, once it is read: sets of characters, and what is seen
around a place without being read.

`regex_syntax.py` makes these, `read_regex.py` and `regex_looks.py` make a grammar of them. Each is
equal to itself only, so that it can be looked up quickly.
"""

from __future__ import annotations

from dataclasses import dataclass

from .nodes import LAST, Range, others


@dataclass(frozen=True, slots=True, eq=False)
class Set:
    """One character out of these ranges."""

    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Concat:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """The same from `low` to `high` times; None for any number."""

    tree: Tree
    low: int
    high: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A place before or behind (`ahead`) which stands what the tree says, or never (`absent`)."""

    tree: Tree
    ahead: bool
    absent: bool
    at: int = -1
    """At which character of the expression it stands, where it is no edge of the text."""


Tree = Set | Concat | Choice | Times | Look

NOTHING = Concat(())
ANY = Set(((0, LAST),))
ANYTHING = Times(ANY, 0, None)
START = Look(ANY, ahead=False, absent=True)
END = Look(ANY, ahead=True, absent=True)


def line_start(ends: tuple[Range, ...], at: int) -> Tree:
    return Look(Set(others(ends)), ahead=False, absent=True, at=at)


def line_end(ends: tuple[Range, ...], at: int) -> Tree:
    return Look(Set(others(ends)), ahead=True, absent=True, at=at)


def word_boundary(word: tuple[Range, ...], absent: bool, at: int) -> Tree:
    """`\\b`, or `\\B` where it is absent: a word on one side only, or on both or none."""
    letter = Set(word)
    return Choice(tuple(
        Concat((Look(letter, False, before, at), Look(letter, True, before != (not absent), at)))
        for before in (False, True)
    ))  # fmt: skip
