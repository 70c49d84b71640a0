"""A grammar as the pushdown automaton that `kernels/constrain.c` follows.

A *state* has a row: where each class of bytes leads. Most moves are to another state; the others
are the numbers that the functions below make. A *record* is a place in an object or a list that is
being written: what may come there, and what is behind it. A *frame* is where to go on when a value
is over. States and records have numbers, and are made when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .nodes import Token

REJECT = -1
MISSING = -2
"""Stands in the first class of a row that is not there."""
NOWHERE = -1
ENDLESS = 1 << 30
"""Characters of a string that is not bounded."""


MOVES = (
    "reject", "missing_row", "pop", "end", "enter", "key_end", "call", "close", "key_start",
    "more_items", "more_members", "in_key", "into", "jump", "count", "character",
)  # fmt: skip
"""That are not to a state, by the kernel's numbers, from 1 on. The functions below make them."""
_NUMBERS = {name: number for number, name in enumerate(MOVES, 1)}


def _move(kind: str, number: int = 0) -> int:
    return -(number << 5 | _NUMBERS[kind])


def pop(said: int) -> int:
    """The value was over before this byte; `said` is told to whoever called it."""
    return _move("pop", said)


def end(said: int) -> int:
    """The value is over with this byte."""
    return _move("end", said)


def enter(number: int) -> int:
    """To the state and the record that `Program.entered` has under this number."""
    return _move("enter", number)


def key_end(kind: int) -> int:
    """A member's name is over, and of this kind."""
    return _move("key_end", kind)


def call(back: int) -> int:
    """The record's next value begins with this byte; behind it comes state `back`."""
    return _move("call", back)


CLOSE = _move("close")
"""The object or list is over, if the record lets it be."""
KEY_START = _move("key_start")
"""A member's name begins, if the record has any."""


def more_items(to: int) -> int:
    """To a state, if the record lets another item come."""
    return _move("more_items", to)


def more_members(to: int) -> int:
    """To a state, if the record lets another member come."""
    return _move("more_members", to)


def in_key(to: int) -> int:
    """To a state inside a key, if the record lets a name with this beginning come."""
    return _move("in_key", to)


def target(move: int) -> int:
    """The state that a move leads to, of those that lead to one only; else NOWHERE."""
    return move if move >= 0 else -move >> 5 if -move & 31 == _NUMBERS["in_key"] else NOWHERE


def into(number: int) -> int:
    """A value begins with this byte: at the state and the record that `Program.entered` has under
    this number; behind it comes what stands under the next."""
    return _move("into", number)


def count(number: int) -> int:
    """A string begins whose characters are counted: at the first of what `Program.entered` has
    under this number; under the next stand how many may come at most, and at least."""
    return _move("count", number)


def character(to: int) -> int:
    """To a state inside a string whose characters are counted, if enough of them are left."""
    return _move("character", to)


def counted(move: int) -> int:
    """The state of a move `character`; NOWHERE of another."""
    return -move >> 5 if -move & 31 == _NUMBERS["character"] else NOWHERE


JUMP = _move("jump")
"""With this byte, to the state and the record that the record names as its child."""


@dataclass(slots=True)
class Record:
    """What may come at a place in an object or a list."""

    close: int = NOWHERE
    """What is said of the value if it ends here; NOWHERE if it may not."""
    key: int = NOWHERE
    """The state behind a key's first quote; NOWHERE if no member may come."""
    others: bool = False
    """Whether names may come that the states' spans do not have."""
    allowed: list[bool] | None = None
    """Of each name whether it may come; None for all."""
    n_names: int = 0
    """Kinds of names that are known."""
    child: int = NOWHERE
    child_record: int = 0
    n_said: int = 1
    """What may be said of a value behind it, at most."""
    exact: bool = False
    """Whether the place behind the value depends on its text."""


Span = tuple[int, int, bool]


class Program(Protocol):
    """What a machine asks of a grammar."""

    classes: bytes
    """Of each byte the number of its class."""

    @property
    def n_classes(self) -> int: ...

    colon: int
    """The state before a member's colon."""

    def start(self) -> tuple[int, int]:
        """State and record where a text begins."""

    def bottom(self) -> tuple[int, int] | None:
        """State and record behind the text's value, where that is one."""

    def entered(self) -> list[tuple[int, int]]:
        """What the moves `enter`, `into` and `count` name: states and records, or numbers."""

    def begin(self) -> None:
        """Another piece of work begins, which has an effort of its own."""

    def spaced(self, state: int) -> int:
        """A state like this one before which a space may stand."""

    def adopt(self, other: Program, state: int) -> int:
        """A state of another automaton of the same grammar as one of this; NOWHERE where that
        cannot be."""

    def row(self, state: int) -> Sequence[int]:
        """Where each class of bytes leads."""

    def move(self, state: int, byte: int) -> int:
        """Where a byte leads, or MISSING where only a row tells."""

    def ahead(self, state: int) -> list[int]:
        """States whose rows will be asked for behind this one's."""

    def fresh_spans(self) -> list[tuple[int, Span]]:
        """Of states that were made since this was asked. Inside keys: the first listed name that
        it may become, the last one + 1, and whether it may become another. Inside strings whose
        characters are counted: how many must come at least, whether one begins here, and False."""

    tokens: Sequence[Token]
    """Tokens that may stand in a text as such, whatever they say."""

    def settled(self, state: int, record: int) -> tuple[int, int]:
        """Where a text stands that has come to a state and a record: elsewhere, where that state
        only jumps."""

    def token_ways(self, state: int) -> list[tuple[int, int]]:
        """The numbers in `tokens` of those that may come in a state, and the state behind each."""

    def united(self, a: int, b: int) -> int:
        """The state of a text that may stand in either of two."""

    def record(self, number: int) -> Record: ...

    def behind_key(self, record: int, kind: int, text: bytes | None) -> int:
        """The record behind a name of a kind, or NOWHERE. Without its text, as far as that goes."""

    def behind_value(self, record: int, said: int, text: bytes | None) -> int:
        """The record behind a value of which something was said, or NOWHERE."""

    def said(self, state: int) -> int:
        """What is said of the value if the text ends in this state, or NOWHERE."""

    def accepting(self, state: int) -> bool:
        """Whether a text that no frame goes on with may end in this state."""

    def dead(self, state: int) -> bool:
        """Whether nothing can come in this state."""

    def slice(self, state: int, record: int) -> int:
        """How many plain characters of a JSON string may come, whichever they are, but for what
        is counted; -1 for no such thing."""

    def folded(self, state: int, record: int) -> tuple[int, int]:
        """A state and a record that no token of at most `reach` bytes tells from these."""

    @property
    def size(self) -> int:
        """States that were made."""

    @property
    def weight(self) -> int:
        """What it takes in memory, as so many states of some 2,000 bytes."""

    @property
    def n_records(self) -> int:
        """Records that were made."""
