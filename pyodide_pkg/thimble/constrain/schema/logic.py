"""What a schema says of a value, as an expression: keywords joined by and, or, not, exactly one.

An expression speaks of a value of any kind; `on` keeps of it what concerns one kind, which is made
of that kind's own statements. Equal expressions are one object. What a statement means is known to
the module of its kind (`words.py`, `numerals.py`, `lists.py`, `objects.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

NULL, TRUE, FALSE, NUMBER, STRING, ARRAY, OBJECT = range(7)
"""The kinds of values."""
KINDS = range(7)
CONSTANT, AND, OR, NOT, ONE, SCHEMA, VALUES, CHILD, STATEMENT = range(9)


class Expr:
    """A statement about a value; made by `Logic` only."""

    __slots__ = ("kind", "number", "of", "on", "said")

    def __init__(self, kind: int, of: Any, number: int, said: Any = None) -> None:
        self.kind, self.of, self.number, self.said = kind, of, number, said
        self.on: list[Expr | None] = [None] * 7

    def __repr__(self) -> str:
        names = ("", "And", "Or", "Not", "One", "Schema", "Values", "Child", "Says")
        return f"{names[self.kind]}({self.of!r})"


class Logic:
    """Makes expressions, each once."""

    def __init__(
        self, expand: Callable[[Any, int], Expr], values: Callable[[Any, int], Expr]
    ) -> None:
        self._made: dict[tuple[Any, ...], Expr] = {}
        self._expand, self._values = expand, values
        self.true = Expr(CONSTANT, True, 0)
        self.false = Expr(CONSTANT, False, 1)

    def _make(self, kind: int, of: Any, said: Any = None) -> Expr:
        key = (kind, of)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Expr(kind, of, len(self._made) + 2, said)
        return found

    def constant(self, holds: bool) -> Expr:
        return self.true if holds else self.false

    def schema(self, schema: Any) -> Expr:
        """What a schema says."""
        return self._make(SCHEMA, schema)

    def values(self, key: tuple[Any, ...], values: list[Any]) -> Expr:
        """One of these values, which `key` tells apart from others."""
        return self._make(VALUES, key, values)

    def child(self, inner: Expr) -> Expr:
        """What a member's or an item's value satisfies, in a statement about the whole."""
        return inner if inner.kind == CONSTANT else self._make(CHILD, inner)

    def says(self, statement: Any) -> Expr:
        """A kind's own statement."""
        return self._make(STATEMENT, statement)

    def both(self, parts: Iterable[Expr]) -> Expr:
        """All of these."""
        return self._joined(AND, parts, self.true, self.false)

    def any(self, parts: Iterable[Expr]) -> Expr:
        """One of these, or more."""
        return self._joined(OR, parts, self.false, self.true)

    def _joined(self, kind: int, parts: Iterable[Expr], neutral: Expr, ends: Expr) -> Expr:
        flat: set[Expr] = set()
        for part in parts:
            if part is ends:
                return ends
            if part.kind == kind:
                flat.update(part.of)
            elif part is not neutral:
                flat.add(part)
        if len(flat) < 2:
            return next(iter(flat)) if flat else neutral
        for part in flat:
            if part.kind == NOT and part.of in flat:
                return ends
        return self._make(kind, tuple(sorted(flat, key=_number)))

    def negate(self, part: Expr) -> Expr:
        if part.kind == CONSTANT:
            return self.false if part.of else self.true
        if part.kind == NOT:
            inside: Expr = part.of
            return inside
        return self._make(NOT, part)

    def one(self, parts: Iterable[Expr]) -> Expr:
        """Exactly one of these."""
        left: list[Expr] = []
        certain = 0
        for part in parts:
            if part is self.true:
                certain += 1
            elif part is not self.false:
                left.append(part)
        twice = {part for part in left if left.count(part) > 1}
        if twice:
            left = [part for part in left if part not in twice]
        apart = [self.negate(part) for part in twice]
        if certain > 1:
            return self.false
        if certain:
            return self.both([*apart, *(self.negate(part) for part in left)])
        if len(left) < 2:
            return self.both([*apart, left[0]]) if left else self.false
        return self.both([*apart, self._make(ONE, tuple(sorted(left, key=_number)))])

    def on(self, expr: Expr, kind: int) -> Expr:
        """What an expression says of values of a kind, in that kind's statements."""
        found = expr.on[kind]
        if found is None:
            found = expr.on[kind] = self._on(expr, kind)
        return found

    def _on(self, expr: Expr, kind: int) -> Expr:
        if expr.kind == SCHEMA:
            return self._expand(expr.of, kind)
        if expr.kind == VALUES:
            return self._values(expr.said, kind)
        if expr.kind == STATEMENT:
            return expr if expr.of.kind == kind else self.true
        return self.map(expr, lambda part: self.on(part, kind))

    def map(self, expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
        """The same expression with its leaves changed."""
        if expr.kind == AND:
            return self.both([self._part(part, change) for part in expr.of])
        if expr.kind == OR:
            return self.any([self._part(part, change) for part in expr.of])
        if expr.kind == NOT:
            return self.negate(self._part(expr.of, change))
        if expr.kind == ONE:
            return self.one([self._part(part, change) for part in expr.of])
        return expr

    def _part(self, part: Expr, change: Callable[[Expr], Expr]) -> Expr:
        return self.map(part, change) if part.kind in (AND, OR, NOT, ONE) else change(part)

    def normal(self, expr: Expr) -> Expr:
        """The same with `not` before statements only, and without `exactly one`, one step deep."""
        if expr.kind == ONE:
            parts = expr.of
            return self.any(
                self.both([one, *(self.negate(other) for other in parts if other is not one)])
                for one in parts
            )
        if expr.kind == NOT:
            inside: Expr = expr.of
            if inside.kind == AND:
                return self.any(self.negate(part) for part in inside.of)
            if inside.kind == OR:
                return self.both(self.negate(part) for part in inside.of)
            if inside.kind == ONE:
                return self.any([
                    self.both(self.negate(part) for part in inside.of),
                    *(
                        self.both([one, other])
                        for i, one in enumerate(inside.of)
                        for other in inside.of[:i]
                    ),
                ])  # fmt: skip
        return expr


def _number(expr: Expr) -> int:
    return expr.number
