"""`unevaluatedProperties` and `unevaluatedItems`: what no other keyword there speaks of.

Which those are may depend on which branches hold, so that it is said of each way they may hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ..effort import shortened
from .document import Schema, escaped
from .logic import ARRAY, OBJECT, Expr
from .objects import Has, Items, Members

if TYPE_CHECKING:
    from .reader import Reader

MOST_WAYS = 64
MEMBERS = ("properties", "patternProperties", "additionalProperties")


@dataclass(frozen=True)
class Seen:
    """What other keywords speak of."""

    names: frozenset[str] = frozenset()
    patterns: frozenset[tuple[str, str]] = frozenset()
    """Patterns, and where they stand."""
    first: int = 0
    """So many items."""
    found: frozenset[Expr] = frozenset()
    """And every item of which this is true."""
    all: bool = False

    def with_(self, other: Seen) -> Seen:
        return Seen(
            self.names | other.names, self.patterns | other.patterns,
            max(self.first, other.first), self.found | other.found, self.all or other.all,
        )  # fmt: skip


NOTHING = Seen()
Way = tuple[Expr, Seen]
"""Under what condition what is seen."""


def unevaluated_properties(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    rest, logic = reader.sub(schema, word), reader.logic
    ways = _ways(reader, schema, kind, skip=word)
    found = []
    for condition, seen in ways:
        if seen.all:
            found.append(condition)
            continue
        patterns = tuple(
            (reader.pattern(text, where), logic.true) for text, where in sorted(seen.patterns)
        )
        named = dict.fromkeys(sorted(seen.names), logic.true)
        explicit = schema.raw[word] is not False
        found.append(logic.both([condition, logic.says(Members(named, patterns, rest, explicit))]))
    return logic.any(found)


def unevaluated_items(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    rest, logic = reader.sub(schema, word), reader.logic
    found = []
    for condition, seen in _ways(reader, schema, kind, skip=word):
        if seen.all:
            found.append(condition)
            continue
        said = logic.any([rest, *seen.found])
        items = Items((logic.true,) * seen.first, said)
        found.append(logic.both([condition, logic.says(items)]))
    return logic.any(found)


def _ways(
    reader: Reader, schema: Schema, kind: int, *, skip: str = "", depth: int = 0
) -> list[Way]:
    """Every way in which a schema that holds may speak of members or items."""
    raw, logic = schema.raw, reader.logic
    if not isinstance(raw, Mapping):
        return [(logic.true, NOTHING)]
    if depth > 40:
        raise OptionError(f"{shortened(schema.path)}: what is not evaluated cannot be found out")
    ways: list[Way] = [(logic.true, _own(reader, schema, kind, skip))]

    def join(others: list[Way]) -> None:
        nonlocal ways
        if all(seen == NOTHING for _, seen in others):
            return
        ways = [
            (logic.both([one, other]), first.with_(second))
            for one, first in ways
            for other, second in others
        ]
        if len(ways) > MOST_WAYS:
            raise OptionError(
                f"{shortened(schema.path)}: there are more than {MOST_WAYS} ways to hold; fewer "
                "branches beside unevaluated… would be right"
            )

    def inner(found: Schema) -> list[Way]:
        return _ways(reader, found, kind, depth=depth + 1)

    def sub(*keys: str | int) -> Schema:
        return reader.document.inside(schema, *keys)

    if isinstance(raw.get("$ref"), str):
        join(inner(reader.document.resolve(schema, raw["$ref"])))
    if isinstance(raw.get("$dynamicRef"), str):
        join(inner(reader.document.resolve(schema, raw["$dynamicRef"], dynamic=True)))
    if "$recursiveRef" in raw:
        join(inner(reader.document.recursive(schema)))
    for at in range(len(_list(raw, "allOf"))):
        join(inner(sub("allOf", at)))
    for word in ("anyOf", "oneOf"):
        for at in range(len(_list(raw, word))):
            branch = sub(word, at)
            holds = logic.on(logic.schema(branch), kind)
            join(_if_holds(logic, holds, inner(branch)))
    if "if" in raw:
        condition = logic.on(logic.schema(sub("if")), kind)
        yes = inner(sub("if"))
        if "then" in raw:
            yes = [(logic.both([a, b]), s.with_(t)) for a, s in yes for b, t in inner(sub("then"))]
        no = inner(sub("else")) if "else" in raw else [(logic.true, NOTHING)]
        join(
            [(logic.both([condition, one]), seen) for one, seen in yes]
            + [(logic.both([logic.negate(condition), one]), seen) for one, seen in no]
        )
    for name in raw.get("dependentSchemas", {}) if kind == OBJECT else ():
        has = logic.says(Has(name))
        join(_if_holds(logic, has, inner(sub("dependentSchemas", name))))
    return ways


def _if_holds(logic: Any, holds: Expr, ways: list[Way]) -> list[Way]:
    if all(seen == NOTHING for _, seen in ways):
        return [(logic.true, NOTHING)]
    found = [(logic.both([holds, one]), seen) for one, seen in ways]
    return [*found, (logic.negate(holds), NOTHING)]


def _list(raw: Mapping[str, Any], word: str) -> list[Any]:
    value = raw.get(word)
    return value if isinstance(value, list) else []


def _own(reader: Reader, schema: Schema, kind: int, skip: str) -> Seen:
    """What a schema's own keywords speak of."""
    raw = schema.raw
    if kind == OBJECT:
        if "additionalProperties" in raw or ("unevaluatedProperties" in raw and not skip):
            return Seen(all=True)
        where = f"{schema.path}/patternProperties/"
        patterns = [(text, where + escaped(text)) for text in raw.get("patternProperties", {})]
        return Seen(names=frozenset(raw.get("properties", {})), patterns=frozenset(patterns))
    assert kind == ARRAY
    if "unevaluatedItems" in raw and not skip:
        return Seen(all=True)
    found: frozenset[Expr] = frozenset()
    if "contains" in raw and schema.draft >= 2020:
        found = frozenset([reader.sub(schema, "contains")])
    items, first = raw.get("items"), _list(raw, "prefixItems")
    if isinstance(items, list):
        return Seen(first=len(items), all="additionalItems" in raw)
    return Seen(first=len(first), all="items" in raw, found=found)
