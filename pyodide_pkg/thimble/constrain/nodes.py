"""What a grammar is made of, whichever way it was written down.

`read_gbnf.py`, `read_regex.py` and `read_schema.py` make these, `automaton.py` follows them. They
speak of characters; bytes come later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import OptionError

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
class JsonOptions:
    """How the JSON of a schema is written."""

    property_order: str = "schema"
    """"schema": members stand in the order of the schema; "any"."""
    whitespace: str = "compact"
    """"compact": at most one space behind `,` and `:`; "free": white space wherever JSON has it."""
    extra_members: str = "named"
    """"named": an object with `properties` has others only where the schema speaks of them;
    "standard": whatever the schema does not forbid."""
    escapes: str = "shortest"
    """"shortest": each character of a text is spelled in one way; "any"."""
    numbers: str = "short"
    """"short": at most 16 digits before and behind the point, and whole numbers without one;
    "any"."""
    formats: str = "kept"
    """"kept": a known `format` holds; "passed": it is an annotation, as the standard has it."""

    def __post_init__(self) -> None:
        for name, values in JSON_CHOICES.items():
            if getattr(self, name) not in values:
                raise OptionError(
                    f"{name} is {getattr(self, name)!r:.40}; it must be {' or '.join(values)}"
                )

    @staticmethod
    def of(options: JsonOptions | None, changes: dict[str, str]) -> JsonOptions:
        """Options with some of them changed, by their names."""
        for name in changes:
            if name not in JSON_CHOICES:
                raise OptionError(f"{name!r:.40} is none of {', '.join(JSON_CHOICES)}")
        return replace(options or JsonOptions(), **changes)


JSON_CHOICES = {
    "property_order": ("schema", "any"), "whitespace": ("compact", "free"),
    "extra_members": ("named", "standard"), "escapes": ("shortest", "any"),
    "numbers": ("short", "any"), "formats": ("kept", "passed"),
}  # fmt: skip
AS_USUAL = JsonOptions()
AS_STANDARD = JsonOptions(
    property_order="any", whitespace="free", extra_members="standard", numbers="any"
)
"""The widest texts: what is valid is accepted, however it is written."""


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
