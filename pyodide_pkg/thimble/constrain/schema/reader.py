"""A JSON Schema on its way to an automaton: what its schemas say, found when it is asked for."""

from __future__ import annotations

import functools
import json

from ...errors import OptionError
from ...json_options import JsonOptions
from .. import read_regex
from ..effort import Effort, shortened
from ..regular import Regular
from . import checks, formats, keywords
from .blame import why_not
from .document import Document, Schema, wrong
from .logic import AND, FALSE, KINDS, NULL, SCHEMA, TRUE, VALUES, Expr, Logic
from .numerals import Numbers
from .objects import Count
from .satisfy import Satisfier
from .words import Spelling, Strings

MOST_NESTED = 64
"""Schemas of the same value in each other."""
MOST_VALUES = 64
"""Values that are told apart one by one."""


@functools.cache
def _spelling(any_way: bool) -> Spelling:
    return Spelling(any_way=any_way)


class _UnfinishedError(Exception):
    """A question leads to a schema that is being read."""


class Reader:
    """One schema document and what it says."""

    def __init__(self, source: str, options: JsonOptions, effort: Effort) -> None:
        self.options, self.effort = options, effort
        self.document = Document(source)
        self.logic = Logic(self._expand, self._values)
        self.strings = Strings(self.logic, _spelling(options.escapes == "any"), effort)
        short = options.numbers == "short"
        self.numbers = Numbers(self.logic, self.strings.algebra, short=short)
        self.satisfier = Satisfier(self)
        self._patterns: dict[str, Regular] = {}
        self._open: list[tuple[Schema, int]] = []
        self._probing = 0
        """Questions that are asked while schemas are read."""
        self.root = self.logic.schema(self.document.root)

    def sub(self, schema: Schema, *keys: str | int) -> Expr:
        """What the schema at these keys of another says."""
        raw = schema.raw
        for key in keys:
            raw = raw[key]
        if raw is True or raw == {}:
            return self.logic.true
        if raw is False:
            return self.logic.false
        return self.logic.schema(self.document.inside(schema, *keys))

    def count(self, kind: int, low: int, high: int | None) -> Expr:
        """A number of members or items."""
        if low == 0 and high is None:
            return self.logic.true
        return self.logic.says(Count(kind, low, high))

    def _expand(self, schema: Schema, kind: int) -> Expr:
        key = (schema, kind)
        if key in self._open:
            if self._probing:
                raise _UnfinishedError
            raise OptionError(
                f"{shortened(schema.path)}: its $ref leads round to itself and says nothing"
            )
        if len(self._open) > MOST_NESTED:
            raise OptionError(
                f"{shortened(schema.path)}: schemas stand more than {MOST_NESTED} deep in schemas"
            )
        self._open.append(key)
        self.effort.where = schema.path
        self.effort.spend(1)
        try:
            return keywords.expand(self, schema, kind)
        finally:
            self._open.pop()

    def _values(self, values: list[object], kind: int) -> Expr:
        return keywords.of_values(self, values, kind)

    def pattern(self, pattern: object, where: str) -> Regular:
        """The strings in which a regular expression has a match."""
        if not isinstance(pattern, str):
            raise wrong(where, pattern, "a text")
        found = self._patterns.get(pattern)
        if found is None:
            try:
                node = read_regex.parse(pattern, search=True)
            except OptionError as error:
                raise OptionError(f"{shortened(where)}: {error}") from None
            self.effort.where = where
            found = self._patterns[pattern] = self.strings.language(node)
        return found

    def format(self, name: str) -> Regular | None:
        """The strings of a format, or None where it says nothing."""
        if self.options.formats != "kept":
            return None
        return formats.language(self.strings.spelling, name)

    def one_of(self, branches: list[Expr], kind: int) -> Expr:
        """Exactly one; where no two can be true at once that is any one."""
        logic = self.logic
        left = [one for one in branches if one is not logic.false]
        if kind in (NULL, TRUE, FALSE) or len(left) < 2 or not self._apart(left, kind):
            return logic.one(left)
        return logic.any(left)

    def _apart(self, branches: list[Expr], kind: int) -> bool:
        apart = self.satisfier.apart
        self._probing += 1
        try:
            return all(
                apart(one, other, kind, thorough=len(branches) < 9)
                for at, one in enumerate(branches)
                for other in branches[:at]
            )
        except _UnfinishedError:
            return False  # a branch has a schema inside that is being read
        finally:
            self._probing -= 1

    def finite(self, expr: Expr) -> list[Expr] | None:
        """The values that may satisfy an expression, each by itself, where it names a few."""
        if expr.kind == VALUES:
            values = [keywords.values_of(self, [value]) for value in expr.said]
            return values if len(values) <= MOST_VALUES else None
        if expr.kind == SCHEMA and isinstance(expr.of.raw, dict):
            raw = expr.of.raw
            if "const" in raw or isinstance(raw.get("enum"), list):
                given = [raw["const"]] if "const" in raw else raw["enum"]
                return self.finite(keywords.values_of(self, given))
            if raw.get("type") in ("boolean", "null"):
                named = [None] if raw["type"] == "null" else [True, False]
                return self.finite(keywords.values_of(self, named))
            if isinstance(raw.get("$ref"), str):
                target = self.document.resolve(expr.of, raw["$ref"])
                return None if target is expr.of else self.finite(self.logic.schema(target))
        if expr.kind == AND:
            return next((f for part in expr.of if (f := self.finite(part)) is not None), None)
        return None

    def value_of(self, text: bytes) -> Expr:
        """The value that a JSON text is."""
        return keywords.values_of(self, [json.loads(text)])

    def check(self) -> None:
        """Refuse what is no schema, and a schema that nothing satisfies."""
        checks.check(self)
        if not any(self.satisfier.can(self.root, kind) for kind in KINDS):
            raise OptionError(why_not(self, self.document.root))
