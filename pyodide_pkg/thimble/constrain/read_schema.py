"""JSON Schema as a grammar of JSON texts that are valid against it.

Not every valid text is in the grammar: members stand in the order of the schema, at most one space
stands behind `,` and `:`, numbers have at most 16 digits, and an object with `properties` has no
others unless `additionalProperties` says so. A keyword that would have to be ignored is refused by
its name. docs/structured-output.md has the list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from . import numbers, read_regex
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
    chars,
    optional,
    others,
    text,
    union,
)

_SILENT = {
    "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default",
    "examples", "deprecated", "readOnly", "writeOnly",
}  # fmt: skip
_WORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"pattern", "minLength", "maxLength", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "boolean": set[str](),
    "null": set[str](),
}
_WORDS["integer"] = _WORDS["number"]
_TYPES = ("object", "array", "string", "number", "boolean", "null")
_DAY = r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"  # noqa: E501
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"  # noqa: E501
_HOST = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?){0,3}"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
FORMATS = {
    "date": rf"[0-9]{{3}}[1-9]-{_DAY}",
    "time": _TIME,
    "date-time": rf"[0-9]{{3}}[1-9]-{_DAY}T{_TIME}",
    "email": rf"[a-z0-9]+(?:[._+-][a-z0-9]+){{0,3}}@{_HOST}",
    "hostname": _HOST,
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
MOST_REPEATED = 10_000
"""Of `minLength`, `maxItems` and the like."""

_GAP = optional(text(" "))
_COMMA = Seq((text(","), _GAP))
_COLON = Seq((text(":"), _GAP))
_SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}


def in_string(ranges: tuple[Range, ...]) -> Node:
    """A class of characters as a JSON string spells them: each in one way."""
    plain = union(_without(ranges, ((0, 31), (34, 34), (92, 92))))
    ways: list[Node] = [Chars(plain)] if plain else []
    escaped = [p for p in (*range(32), 34, 92) if any(low <= p <= high for low, high in ranges)]
    short = [(ord(_SHORT[point]),) * 2 for point in escaped if point in _SHORT]
    if short:
        ways.append(Seq((text("\\"), Chars(union(short)))))
    for first in (0, 1):
        digits = [f"{p & 15:x}" for p in escaped if p not in _SHORT and p >> 4 == first]
        if digits:
            ways.append(Seq((text(f"\\u00{first}"), chars(*digits))))
    return ways[0] if len(ways) == 1 else Alt(tuple(ways))


def _without(ranges: tuple[Range, ...], taken: tuple[Range, ...]) -> list[Range]:
    left: list[Range] = []
    for low, high in ranges:
        for first, last in others(taken):
            if max(low, first) <= min(high, last):
                left.append((max(low, first), min(high, last)))
    return left


_CHARACTER = in_string(((0, LAST),))


def parse(source: str) -> dict[str, Node]:
    """The rules of a schema's JSON text. Raises OptionError that says where it is wrong."""
    if len(source) > MOST_SOURCE:
        raise OptionError(f"the schema has {len(source):,} characters; {MOST_SOURCE:,} is the most")
    try:
        schema = json.loads(source)
    except (ValueError, RecursionError) as error:
        wrong = OptionError(f"the JSON Schema is no JSON: {error}")
        wrong.at = getattr(error, "pos", None)
        raise wrong from None
    return Schema(schema).rules()


class Schema:
    """One schema on its way to rules."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._rules: dict[str, Node] = {}
        self._pending: list[tuple[str, Any, str]] = []
        self._depth = 0

    def rules(self) -> dict[str, Node]:
        self._rules["root"] = self._node(self._schema, "#")
        while self._pending:
            name, schema, where = self._pending.pop()
            self._rules[name] = self._node(schema, where)
        return self._rules

    def _node(self, schema: Any, where: str) -> Node:
        if schema is True or schema == {}:
            return self._anything()
        if schema is False:
            raise OptionError(f"{where} is false, which no value satisfies")
        if not isinstance(schema, Mapping):
            raise _wrong(where, schema, "a schema, which is an object")
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise OptionError(f"{where:.60} lies in more than {MOST_NESTED} schemas; use $defs")
        node = self._combined(schema, where)
        self._depth -= 1
        return node

    def _combined(self, schema: Mapping[str, Any], where: str) -> Node:
        words = {name for name in schema if name not in _SILENT}
        for name in ("$ref", "const", "enum", "anyOf", "oneOf", "allOf"):
            if name not in words:
                continue
            beside = words - {name} - ({"type"} if name in ("const", "enum") else set())
            if beside:
                raise OptionError(
                    f"{where} has {sorted(beside)[0]!r} beside {name!r}; together they are not "
                    "supported"
                )
            return self._choice(name, schema, where)
        return self._typed(schema, words, where)

    def _choice(self, name: str, schema: Mapping[str, Any], where: str) -> Node:
        value = schema[name]
        if name == "$ref":
            return self._reference(value, where)
        if name in ("const", "enum"):
            values = [value] if name == "const" else value
            if not isinstance(values, list) or not values:
                raise _wrong(f"{where}/enum", values, "a list with values")
            if "type" in schema:
                values = [one for one in values if _is_of(one, schema["type"])]
            if not values:
                raise OptionError(f"{where}: no value of {name} is of type {schema['type']!r}")
            return Alt(tuple(text(_spelled(one)) for one in values))
        if not isinstance(value, list) or not value:
            raise _wrong(f"{where}/{name}", value, "a list of schemas")
        if name == "allOf" and len(value) > 1:
            raise OptionError(f"{where} has allOf of {len(value)}; more than one is not supported")
        if name == "oneOf":
            _check_apart(value, where)
        return Alt(tuple(self._node(one, f"{where}/{name}/{i}") for i, one in enumerate(value)))

    def _reference(self, value: Any, where: str) -> Node:
        if not isinstance(value, str) or not value.startswith("#"):
            raise _wrong(f"{where}/$ref", value, "a place in this schema, as in #/$defs/name")
        found = self._schema
        for part in value[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            else:
                raise OptionError(f"{where}: $ref {value!r:.80} leads nowhere: no {key!r:.40}")
        return self._rule(f"ref {value}", found, value)

    def _rule(self, name: str, schema: Any, where: str) -> Node:
        if name not in self._rules:
            self._rules[name] = EMPTY  # until its turn comes
            self._pending.append((name, schema, where))
        return Rule(name)

    def _typed(self, schema: Mapping[str, Any], words: set[str], where: str) -> Node:
        kinds = schema.get("type")
        if kinds is None:
            kinds = [kind for kind in _TYPES if words & _WORDS[kind]] or list(_TYPES)
        elif isinstance(kinds, str):
            kinds = [kinds]
        known = {"type"}
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if not isinstance(kind, str) or kind not in _WORDS:
                raise _wrong(f"{where}/type", kind, f"one of {', '.join(_WORDS)}")
            known |= _WORDS[kind]
        for name in words:
            if name not in known:
                raise OptionError(f"{where} has {name!r:.60}, which is not supported here")
        if not kinds:
            raise _wrong(f"{where}/type", kinds, "a type, or a list with types")
        return Alt(tuple(self._of_type(kind, schema, where) for kind in kinds))

    def _of_type(self, kind: str, schema: Mapping[str, Any], where: str) -> Node:
        if kind == "object":
            return self._object(schema, where)
        if kind == "array":
            return self._array(schema, where)
        if kind == "string":
            return _string(schema, where)
        if kind in ("number", "integer"):
            return _number(kind, schema, where)
        return text("null") if kind == "null" else Alt((text("true"), text("false")))

    def _anything(self) -> Node:
        """Any JSON value."""
        if "any" not in self._rules:
            value = Rule("any")
            member = Seq((_any_string(), _COLON, value))
            self._rules["any"] = Alt((
                _any_string(), read_regex.parse(numbers.NUMBER), text("true"), text("false"),
                text("null"), _listed("[", value, "]"), _listed("{", member, "}"),
            ))  # fmt: skip
        return Rule("any")

    def _array(self, schema: Mapping[str, Any], where: str) -> Node:
        low, high = _counts(schema, "Items", where)
        first = schema.get("prefixItems", [])
        if not isinstance(first, list):
            raise _wrong(f"{where}/prefixItems", first, "a list of schemas")
        heads = [self._node(one, f"{where}/prefixItems/{i}") for i, one in enumerate(first)]
        if high is not None:
            heads = heads[:high]
        rest = schema.get("items", True)
        node: Node = EMPTY
        most = None if high is None else high - len(heads)
        if rest is not False and most != 0:
            item = self._node(rest, f"{where}/items")
            comma: Node = _COMMA
            if heads:
                node = Repeat(Seq((comma, item)), max(0, low - len(heads)), most)
            else:
                more = Repeat(
                    Seq((comma, item)), max(0, low - 1), None if most is None else most - 1
                )
                node = Seq((item, more)) if low else optional(Seq((item, more)))
        elif low > len(heads):
            raise OptionError(f"{where} wants {low} items and allows {len(heads)}")
        for i in range(len(heads) - 1, -1, -1):
            node = Seq((*([_COMMA] if i else []), heads[i], node))
            if i >= low:
                node = optional(node)
        return Seq((text("["), node, text("]")))

    def _object(self, schema: Mapping[str, Any], where: str) -> Node:
        named = schema.get("properties", {})
        if not isinstance(named, Mapping):
            raise _wrong(f"{where}/properties", named, "an object of schemas")
        wanted = schema.get("required", [])
        if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
            raise _wrong(f"{where}/required", wanted, "a list of names")
        more = schema.get("additionalProperties", "properties" not in schema)
        named = {**named, **{name: more for name in wanted if name not in named}}
        for name in wanted:
            if named[name] is False:
                raise OptionError(f"{where} requires {name!r:.60} and does not allow it")
        extra: Node | None = None
        if more is not False:
            value = self._node(more, f"{where}/additionalProperties")
            extra = Seq((_key_but(list(named)), _COLON, value))
        members: list[tuple[Node, bool]] = [
            (
                Seq((text(_spelled(name)), _COLON, self._node(one, f"{where}/properties/{name}"))),
                name in wanted,
            )
            for name, one in named.items()
            if one is not False
        ]
        return Seq((text("{"), self._members(members, extra), text("}")))

    def _members(self, members: list[tuple[Node, bool]], extra: Node | None) -> Node:
        """Members in their order, commas between them; a rule for each, so that what may be left
        out does not double what comes behind it."""
        first: Node = EMPTY
        later: Node = EMPTY
        if extra is not None:
            later = Repeat(Seq((_COMMA, extra)), 0, None)
            first = optional(Seq((extra, later)))
        for member, wanted in reversed(members):
            following = self._named(later)
            begun, joined = Seq((member, following)), Seq((_COMMA, member, following))
            first = begun if wanted else Alt((begun, first))
            later = joined if wanted else Alt((joined, following))
        return first

    def _named(self, node: Node) -> Node:
        if node == EMPTY or isinstance(node, Rule):
            return node
        name = f"rest {len(self._rules)}"
        self._rules[name] = node
        return Rule(name)


def _wrong(where: str, value: object, right: str) -> OptionError:
    return OptionError(f"{where} is {json.dumps(value, default=str):.60}; it must be {right}")


def _spelled(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _any_string() -> Node:
    return Seq((text('"'), Repeat(_CHARACTER, 0, None), text('"')))


def _listed(begin: str, item: Node, end: str) -> Node:
    more = Repeat(Seq((_COMMA, item)), 0, None)
    return Seq((text(begin), optional(Seq((item, more))), text(end)))


def _counts(schema: Mapping[str, Any], what: str, where: str) -> tuple[int, int | None]:
    low, high = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    value: Any
    for name, value in ((f"min{what}", low), (f"max{what}", high)):
        if value is None and name.startswith("max"):
            continue  # as if it were not there
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole and 0 <= value <= MOST_REPEATED):
            raise _wrong(f"{where}/{name}", value, f"a whole number up to {MOST_REPEATED:,}")
    if high is not None and high < low:
        raise OptionError(f"{where} wants at least {low} and at most {high} {what.lower()}")
    return low, high


def _string(schema: Mapping[str, Any], where: str) -> Node:
    low, high = _counts(schema, "Length", where)
    ways = [name for name in ("pattern", "format") if name in schema]
    if len(ways) + (low > 0 or high is not None) > 1:
        raise OptionError(
            f"{where}: pattern, format and length of a string are not supported together"
        )
    inside: Node = Repeat(_CHARACTER, low, high)
    if ways:
        value = schema[ways[0]]
        if not isinstance(value, str):
            raise _wrong(f"{where}/{ways[0]}", value, "a text")
        if ways[0] == "format" and value not in FORMATS:
            raise _wrong(f"{where}/format", value, f"one of {', '.join(FORMATS)}")
        pattern = value if ways[0] == "pattern" else FORMATS[value]
        try:
            inside = read_regex.parse(pattern, encode=in_string, search=ways[0] == "pattern")
        except OptionError as error:
            raise OptionError(f"{where}/pattern: {error}") from None
    return Seq((text('"'), inside, text('"')))


def _number(kind: str, schema: Mapping[str, Any], where: str) -> Node:
    found: dict[str, int] = {}
    for name in _WORDS["number"] & set(schema):
        value = schema[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1:
            raise _wrong(f"{where}/{name}", value, "a whole number; other bounds are not supported")
        found[name] = int(value)
    low, high = found.get("minimum"), found.get("maximum")
    above, below = found.get("exclusiveMinimum"), found.get("exclusiveMaximum")
    if kind == "integer":
        low = _most(low, None if above is None else above + 1, max)
        high = _most(high, None if below is None else below - 1, min)
        pattern = numbers.integer(low, high)
    else:
        bottom, top = _most(low, above, max), _most(high, below, min)
        pattern = numbers.number(
            bottom, top, above=above is not None and above == bottom,
            below=below is not None and below == top,
        )  # fmt: skip
    if pattern is None:
        raise OptionError(
            f"{where}: no {kind} lies between the bounds {dict(sorted(found.items()))}"
        )
    return read_regex.parse(pattern)


def _most(a: int | None, b: int | None, pick: Any) -> int | None:
    given = [one for one in (a, b) if one is not None]
    return pick(given) if given else None


def _key_but(names: list[str]) -> Node:
    """A key without escapes that is none of these names."""
    plain = union(_without(((32, LAST),), ((34, 34), (92, 92))))

    def behind(rest: list[str]) -> Node:
        """What may follow, where these are the names' remaining letters."""
        heads = sorted({one[0] for one in rest if one})
        other = Chars(tuple(_without(plain, tuple((ord(c), ord(c)) for c in heads))))
        ways: list[Node] = [Seq((other, Repeat(Chars(plain), 0, None)))]
        if "" not in rest:
            ways.append(EMPTY)
        for head in heads:
            if any(low <= ord(head) <= high for low, high in plain):
                tails = [one[1:] for one in rest if one.startswith(head)]
                ways.append(Seq((text(head), behind(tails))))
        return Alt(tuple(ways))

    if any(len(name) > MOST_NESTED for name in names):
        raise OptionError(f"beside additionalProperties a name has at most {MOST_NESTED} letters")
    return Seq((text('"'), behind(names), text('"')))


def _is_of(value: Any, kinds: Any) -> bool:
    names = kinds if isinstance(kinds, list) else [kinds]
    return bool(_kinds_of(value) & set(map(str, names)))


def _kinds_of(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    if isinstance(value, float):
        return {"number"} | ({"integer"} if value.is_integer() else set())
    kinds = {str: "string", list: "array", dict: "object", type(None): "null"}
    return {kinds[type(value)]}


def _check_apart(schemas: list[Any], where: str) -> None:
    """oneOf wants exactly one: what could be two at once is refused."""
    for i, one in enumerate(schemas):
        for j in range(i):
            if not _apart(schemas[j], one):
                raise OptionError(
                    f"{where}/oneOf: {j} and {i} may both be true of a value; give them different "
                    "types or a required member with different constants, or write anyOf"
                )


def _apart(a: Any, b: Any) -> bool:
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return False
    if (mine := _values(a)) is not None and (yours := _values(b)) is not None:
        return not any(one == two for one in mine for two in yours)
    kinds = [_possible(one) for one in (a, b)]
    if kinds[0] and kinds[1] and not kinds[0] & kinds[1]:
        return True
    both = set(a.get("required") or ()) & set(b.get("required") or ())
    first, second = a.get("properties") or {}, b.get("properties") or {}
    same = kinds[0] == kinds[1] == {"object"}
    return same and any(_apart(first.get(name), second.get(name)) for name in both)


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _possible(schema: Mapping[str, Any]) -> set[str]:
    """The types that a value may have; nothing where that cannot be told."""
    if (values := _values(schema)) is not None:
        return {kind for value in values for kind in _kinds_of(value)}
    kinds = schema.get("type")
    found = set(kinds) if isinstance(kinds, list) else {str(kinds)} if kinds else set()
    return found | ({"integer"} if "number" in found else set())
