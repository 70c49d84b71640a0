"""Objects and lists: what a schema says of their members and items, one at a time.

A statement is followed: `behind` says what is left of it after a member or an item of which this
and that is said, `closed` whether it holds where nothing more comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..regular import Regular
from .logic import AND, ARRAY, CHILD, NOT, OBJECT, ONE, OR, STATEMENT, Expr, Logic


class Name(NamedTuple):
    """A member's name, as far as a schema tells names apart."""

    text: str | None
    """None for any that is not mentioned."""
    matched: frozenset[Regular]
    """The languages of names that have it."""


class Members:
    """Each member's value satisfies what is said of its name."""

    __slots__ = ("explicit", "extra", "named", "patterns")
    kind = OBJECT

    def __init__(
        self, named: dict[str, Expr], patterns: tuple[tuple[Regular, Expr], ...], extra: Expr,
        explicit: bool,
    ) -> None:  # fmt: skip
        self.named, self.patterns, self.extra = named, patterns, extra
        self.explicit = explicit
        """Whether the schema speaks of members that it does not name."""

    def at(self, name: Name, logic: Logic) -> Expr:
        """What is said of the value of a member."""
        found = [said for language, said in self.patterns if language in name.matched]
        if name.text is not None and name.text in self.named:
            found.append(self.named[name.text])
        return logic.both(found) if found else self.extra


@dataclass(frozen=True, slots=True)
class Has:
    """There is a member of this name."""

    kind: ClassVar[int] = OBJECT
    name: str


@dataclass(frozen=True, slots=True)
class Names:
    """Each member's name is of this language."""

    kind: ClassVar[int] = OBJECT
    language: Regular
    words: tuple[str, ...] = ()
    """All of them, where they are few."""


@dataclass(frozen=True, slots=True)
class Count:
    """There are so many members, or items; None for no bound."""

    kind: int
    low: int
    high: int | None

    def less(self) -> Count:
        """The same of what comes behind another one."""
        return Count(self.kind, max(0, self.low - 1), None if self.high is None else self.high - 1)


class Items:
    """Each item satisfies what is said of its place."""

    __slots__ = ("first", "rest")
    kind = ARRAY

    def __init__(self, first: tuple[Expr, ...], rest: Expr) -> None:
        self.first, self.rest = first, rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Items) and (self.first, self.rest) == (other.first, other.rest)

    def __hash__(self) -> int:
        return hash((self.first, self.rest))

    def at(self, place: int) -> Expr:
        return self.first[place] if place < len(self.first) else self.rest


@dataclass(frozen=True, slots=True)
class Contains:
    """So many items satisfy this."""

    kind: ClassVar[int] = ARRAY
    inner: Expr
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Unique:
    """No two items are equal, nor any to one of these."""

    kind: ClassVar[int] = ARRAY
    seen: tuple[Expr, ...] = ()
    """Values that came, each as an expression that is true of it alone."""


def behind_name(logic: Logic, expr: Expr, name: Name, missed: frozenset[str]) -> Expr:
    """What is left of an expression about an object behind a member; of its value it says what must
    be so. Members of the names in `missed` cannot come any more."""

    def change(part: Expr) -> Expr:
        said = part.of
        if isinstance(said, Members):
            return logic.both([logic.child(said.at(name, logic)), part])
        if isinstance(said, Has):
            if said.name == name.text:
                return logic.true
            return logic.false if said.name in missed else part
        if isinstance(said, Names):
            return part if said.language in name.matched else logic.false
        return counted(logic, part, said)

    return each(logic, expr, change)


def counted(logic: Logic, part: Expr, said: Any) -> Expr:
    """What is left of a statement about the number of members or items behind another."""
    if isinstance(said, Count):
        if said.high == 0:
            return logic.false
        less = said.less()
        return logic.true if less.low == 0 and less.high is None else logic.says(less)
    return part


def behind_item(logic: Logic, expr: Expr) -> Expr:
    """What is left of an expression about a list behind an item."""

    def change(part: Expr) -> Expr:
        said = part.of
        if isinstance(said, Items):
            left = logic.says(Items(said.first[1:], said.rest)) if said.first else part
            return logic.both([logic.child(said.at(0)), left])
        if isinstance(said, Contains):
            return _behind_contains(logic, part, said)
        if isinstance(said, Unique):
            apart = [logic.negate(logic.child(one)) for one in said.seen]
            return logic.both([part, *apart])
        return counted(logic, part, said)

    return each(logic, expr, change)


def _behind_contains(logic: Logic, part: Expr, said: Contains) -> Expr:
    inner = logic.child(said.inner)
    if said.high == 0:
        return logic.both([logic.negate(inner), part])
    high = None if said.high is None else said.high - 1
    more = Contains(said.inner, max(0, said.low - 1), high)
    met = logic.true if more.low == 0 and high is None else logic.says(more)
    return logic.any([
        logic.both([inner, met]), logic.both([logic.negate(inner), part])
    ])  # fmt: skip


def closed(logic: Logic, expr: Expr) -> bool:
    """Whether an expression about an object or a list holds where nothing more comes."""

    def change(part: Expr) -> Expr:
        said = part.of
        if isinstance(said, Has):
            return logic.false
        if isinstance(said, (Count, Contains)):
            return logic.constant(said.low == 0)
        return logic.true

    return each(logic, expr, change) is logic.true


def each(logic: Logic, expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """An expression with its statements changed."""
    if expr.kind == STATEMENT:
        return change(expr)
    return logic.map(expr, lambda part: change(part) if part.kind == STATEMENT else part)


def inners(expr: Expr) -> Iterator[Expr]:
    """What an expression says of the value of a member or an item, each part."""
    if expr.kind == CHILD:
        yield expr.of
    elif expr.kind == NOT:
        yield from inners(expr.of)
    elif expr.kind in (AND, OR, ONE):
        for part in expr.of:
            yield from inners(part)


def settle(logic: Logic, expr: Expr, known: dict[Expr, bool]) -> Expr:
    """An expression of whose value these things are known."""

    def change(part: Expr) -> Expr:
        if part.kind == CHILD and part.of in known:
            return logic.constant(known[part.of])
        return part

    return change(expr) if expr.kind == CHILD else logic.map(expr, change)


def statements(expr: Expr) -> Iterator[Any]:
    """Every statement in an expression."""
    if expr.kind == STATEMENT:
        yield expr.of
    elif expr.kind == NOT:
        yield from statements(expr.of)
    elif expr.kind in (AND, OR, ONE):
        for part in expr.of:
            yield from statements(part)


def conjuncts(expr: Expr) -> tuple[Expr, ...]:
    """The parts that must all be true."""
    parts: tuple[Expr, ...] = expr.of if expr.kind == AND else (expr,)
    return parts


def names_in(exprs: Iterable[Expr]) -> list[str]:
    """Every name that expressions mention, in the order of the schema."""
    found: dict[str, None] = {}
    wanted: dict[str, None] = {}
    for expr in exprs:
        for said in statements(expr):
            if isinstance(said, Members):
                found.update(dict.fromkeys(said.named))
            elif isinstance(said, Has):
                wanted[said.name] = None
            elif isinstance(said, Names):
                wanted.update(dict.fromkeys(said.words))
    return list(found | wanted)
