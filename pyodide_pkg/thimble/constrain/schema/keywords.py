"""What each keyword of a schema says, drafts 4 to 2020-12.

A keyword that the standard does not know is an annotation and passed over. Each function here has
the keyword's value and the kind of values that is asked about, and gives an expression; what it has
to say of other kinds is nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .document import Schema, escaped, wrong
from .logic import ARRAY, CONSTANT, FALSE, KINDS, NULL, NUMBER, OBJECT, STRING, TRUE, Expr
from .numerals import Bound, Multiple, OneOf, Whole
from .objects import Contains, Count, Has, Items, Members, Names, Unique
from .unevaluated import unevaluated_items, unevaluated_properties
from .values import exact, key_of, kind_of
from .words import Length, Text, spelled

if TYPE_CHECKING:
    from .reader import Reader

Handler = Callable[["Reader", Schema, str, int], Expr | None]
TYPES = {
    "null": (NULL,), "boolean": (TRUE, FALSE), "string": (STRING,), "array": (ARRAY,),
    "object": (OBJECT,), "number": (NUMBER,), "integer": (NUMBER,),
}  # fmt: skip
MEMBERS = ("properties", "patternProperties", "additionalProperties")


def expand(reader: Reader, schema: Schema, kind: int) -> Expr:
    """What a schema says of values of a kind."""
    raw, logic = schema.raw, reader.logic
    if raw is True or raw is False:
        return logic.constant(raw)
    if not isinstance(raw, Mapping):
        raise wrong(schema.path, raw, "a schema, which is an object, true or false")
    if "$ref" in raw and schema.draft <= 7 and isinstance(raw["$ref"], str):
        return _reference(reader, schema, "$ref", kind)
    parts: list[Expr] = []
    for word in raw:
        handler = HANDLERS[kind].get(word)
        if handler is not None:
            part = handler(reader, schema, word, kind)
            if part is logic.false:
                return part
            if part is not None:
                parts.append(part)
    return logic.both(parts)


def _type(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    names = value if isinstance(value, list) else [value]
    found: list[Expr] = []
    for at, name in enumerate(names):
        if isinstance(name, Mapping) and schema.draft <= 4:
            found.append(reader.logic.on(reader.sub(schema, "type", at), kind))
            continue
        if name == "any" and schema.draft <= 4:
            return None
        if not isinstance(name, str) or name not in TYPES:
            raise wrong(f"{schema.path}/type", name, f"one of {', '.join(TYPES)}")
        if kind in TYPES[name]:
            if name != "integer":
                return None
            found.append(reader.logic.says(Whole(schema.draft <= 4)))
    return reader.logic.any(found)


def _enum(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    if not isinstance(value, list):
        raise wrong(f"{schema.path}/enum", value, "a list with values")
    return reader.logic.on(values_of(reader, value), kind)


def _const(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    return reader.logic.on(values_of(reader, [value]), kind)


def values_of(reader: Reader, values: list[Any]) -> Expr:
    """One of these values."""
    by_key = {key_of(value): value for value in values}
    return reader.logic.values(tuple(by_key), list(by_key.values()))


def of_values(reader: Reader, values: list[Any], kind: int) -> Expr:
    """What it says of a value of a kind to be one of these."""
    same = [value for value in values if kind_of(value) == kind]
    logic = reader.logic
    if not same or kind in (NULL, TRUE, FALSE):
        return logic.constant(bool(same))
    if kind == STRING:
        return logic.says(Text(reader.strings.spelling.word(reader.strings.algebra, same)))
    if kind == NUMBER:
        spelled = [str(value) if isinstance(value, int) else repr(value) for value in same]
        spelled += [str(int(v)) for v in same if isinstance(v, float) and v.is_integer()]
        return logic.says(OneOf(tuple(exact(value) for value in same), tuple(spelled)))
    return logic.any(_of_whole(reader, value) for value in same)


def _of_whole(reader: Reader, value: Any) -> Expr:
    """What it says of a list or an object to be this one."""
    logic = reader.logic
    count = logic.says(Count(kind_of(value), len(value), len(value)))
    if isinstance(value, list):
        items = Items(tuple(values_of(reader, [one]) for one in value), logic.false)
        return logic.both([logic.says(items), count])
    named = {name: values_of(reader, [one]) for name, one in value.items()}
    has = [logic.says(Has(name)) for name in value]
    return logic.both([logic.says(Members(named, (), logic.false, True)), *has])


# --- schemas in a schema


def _reference(reader: Reader, schema: Schema, word: str, kind: int) -> Expr:
    value = schema.raw[word]
    return reader.logic.on(reader.logic.schema(reader.document.resolve(schema, value)), kind)


def _dynamic(reader: Reader, schema: Schema, word: str, kind: int) -> Expr:
    value = schema.raw[word]
    found = reader.document.resolve(schema, value, dynamic=True)
    return reader.logic.on(reader.logic.schema(found), kind)


def _recursive(reader: Reader, schema: Schema, word: str, kind: int) -> Expr:
    return reader.logic.on(reader.logic.schema(reader.document.recursive(schema)), kind)


def _branches(reader: Reader, schema: Schema, word: str, kind: int) -> list[Expr]:
    value = schema.raw[word]
    if not isinstance(value, list) or not value:
        raise wrong(f"{schema.path}/{word}", value, "a list of schemas")
    return [reader.logic.on(reader.sub(schema, word, at), kind) for at in range(len(value))]


def _all_of(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    return reader.logic.both(_branches(reader, schema, "allOf", kind))


def _any_of(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    return reader.logic.any(_branches(reader, schema, "anyOf", kind))


def _one_of(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    branches = _branches(reader, schema, "oneOf", kind)
    return reader.one_of(branches, kind)


def _not(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    return reader.logic.negate(reader.logic.on(reader.sub(schema, "not"), kind))


def _if(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    logic = reader.logic
    if "then" not in schema.raw and "else" not in schema.raw:
        return None
    condition = logic.on(reader.sub(schema, "if"), kind)
    found = []
    if "then" in schema.raw:
        then = logic.on(reader.sub(schema, "then"), kind)
        found.append(logic.any([logic.negate(condition), then]))
    if "else" in schema.raw:
        found.append(logic.any([condition, logic.on(reader.sub(schema, "else"), kind)]))
    return logic.both(found)


# --- numbers


def _number(schema: Schema, word: str, value: Any) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise wrong(f"{schema.path}/{word}", value, "a number")
    if isinstance(value, float) and abs(value) == float("inf"):
        raise wrong(f"{schema.path}/{word}", value, "a number that is not too large")
    return exact(value)


def _minimum(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    strict = schema.raw.get("exclusiveMinimum") is True
    return reader.logic.says(Bound(_number(schema, "minimum", value), False, strict))


def _maximum(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    strict = schema.raw.get("exclusiveMaximum") is True
    return reader.logic.says(Bound(_number(schema, "maximum", value), True, strict))


def _above(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    if isinstance(value, bool):
        return None  # draft 4: it belongs to `minimum`
    return reader.logic.says(Bound(_number(schema, "exclusiveMinimum", value), False, True))


def _below(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    if isinstance(value, bool):
        return None
    return reader.logic.says(Bound(_number(schema, "exclusiveMaximum", value), True, True))


def _multiple(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    by = _number(schema, "multipleOf", value)
    if by <= 0:
        raise wrong(f"{schema.path}/multipleOf", value, "a number above 0")
    return reader.logic.says(Multiple(by))


# --- strings


def _pattern(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    return reader.logic.says(Text(reader.pattern(value, f"{schema.path}/pattern")))


def _format(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    if not isinstance(value, str):
        raise wrong(f"{schema.path}/format", value, "a text")
    language = reader.format(value)
    return None if language is None else reader.logic.says(Text(language))


def _min_length(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    return reader.logic.says(Length(_count(schema, "minLength", value), None))


def _max_length(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    return reader.logic.says(Length(0, _count(schema, "maxLength", value)))


def _count(schema: Schema, word: str, value: Any) -> int:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value)
    if not whole or value < 0:
        raise wrong(f"{schema.path}/{word}", value, "a whole number, not below 0")
    return int(value)


# --- lists


def _prefix(reader: Reader, schema: Schema) -> tuple[list[Expr], str]:
    """What is said of the first items, and which keyword speaks of the others."""
    raw = schema.raw
    if "prefixItems" in raw and schema.draft >= 2020:
        return _tuple(reader, schema, "prefixItems"), "items"
    if isinstance(raw.get("items"), list):
        return _tuple(reader, schema, "items"), "additionalItems"
    return [], "items"


def _tuple(reader: Reader, schema: Schema, word: str) -> list[Expr]:
    value = schema.raw[word]
    if not isinstance(value, list):
        raise wrong(f"{schema.path}/{word}", value, "a list of schemas")
    return [reader.sub(schema, word, at) for at in range(len(value))]


def _items(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    if word == "prefixItems" and ("items" in schema.raw or schema.draft < 2020):
        return None  # said where `items` is met
    first, rest_word = _prefix(reader, schema)
    rest = reader.sub(schema, rest_word) if rest_word in schema.raw else reader.logic.true
    return reader.logic.says(Items(tuple(first), rest))


def _min_items(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    return reader.count(kind, _count(schema, "minItems", value), None)


def _max_items(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    return reader.count(kind, 0, _count(schema, "maxItems", value))


def _contains(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    raw = schema.raw
    low, high = 1, None
    if schema.draft >= 2019:
        low = _count(schema, "minContains", raw.get("minContains", 1))
        high = _count(schema, "maxContains", raw["maxContains"]) if "maxContains" in raw else None
    if low == 0 and high is None:
        return None
    return reader.logic.says(Contains(reader.sub(schema, "contains"), low, high))


def _unique(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    if not isinstance(value, bool):
        raise wrong(f"{schema.path}/uniqueItems", value, "true or false")
    return reader.logic.says(Unique()) if value else None


# --- objects


def _members(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    """`properties`, `patternProperties` and `additionalProperties` together, at the first."""
    raw = schema.raw
    if word != next(one for one in raw if one in MEMBERS):
        return None
    named = {name: reader.sub(schema, "properties", name) for name in _names(schema, "properties")}
    patterns = tuple(
        (
            reader.pattern(name, f"{schema.path}/patternProperties/{escaped(name)}"),
            reader.sub(schema, "patternProperties", name),
        )
        for name in _names(schema, "patternProperties")
    )
    explicit = "additionalProperties" in raw
    extra = reader.sub(schema, "additionalProperties") if explicit else reader.logic.true
    explicit = bool((explicit and raw["additionalProperties"] is not False) or patterns)
    return reader.logic.says(Members(named, patterns, extra, explicit))


def _names(schema: Schema, word: str) -> Iterator[str]:
    value = schema.raw.get(word, {})
    if not isinstance(value, Mapping):
        raise wrong(f"{schema.path}/{word}", value, "an object of schemas")
    return iter(value)


def texts(where: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise wrong(where, value, "a list of names")
    return value


def _required(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    if isinstance(value, bool) and schema.draft <= 4:
        return None  # draft 3 writes it into the member's own schema
    names = texts(f"{schema.path}/required", value)
    return reader.logic.both(reader.logic.says(Has(name)) for name in names)


def _property_names(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    said = reader.logic.on(reader.sub(schema, "propertyNames"), STRING)
    if said.kind == CONSTANT and said.of:
        return None
    given = reader.finite(reader.sub(schema, "propertyNames")) or []
    named = [one.said[0] for one in given if isinstance(one.said[0], str)]
    language = reader.strings.of(said)
    words = tuple(name for name in named if language.has(spelled(name)))
    return reader.logic.says(Names(language, words))


def _dependencies(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    logic, found = reader.logic, []
    for name in _names(schema, word):
        absent = logic.negate(logic.says(Has(name)))
        wanted = schema.raw[word][name]
        if isinstance(wanted, str) and schema.draft <= 4:
            wanted = [wanted]
        if isinstance(wanted, list) and word != "dependentSchemas":
            names = texts(f"{schema.path}/{word}/{escaped(name)}", wanted)
            then = logic.both(logic.says(Has(one)) for one in names)
        else:
            then = logic.on(reader.sub(schema, word, name), kind)
        found.append(logic.any([absent, then]))
    return logic.both(found)


def _min_members(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    return reader.count(kind, _count(schema, "minProperties", value), None)


def _max_members(reader: Reader, schema: Schema, word: str, kind: int) -> Expr | None:
    value = schema.raw[word]
    return reader.count(kind, 0, _count(schema, "maxProperties", value))


_ALL: dict[str, Handler] = {
    "type": _type, "enum": _enum, "const": _const, "$ref": _reference, "$dynamicRef": _dynamic,
    "$recursiveRef": _recursive, "allOf": _all_of, "anyOf": _any_of, "oneOf": _one_of, "not": _not,
    "if": _if,
}  # fmt: skip
_OWN: dict[int, dict[str, Handler]] = {
    NUMBER: {
        "minimum": _minimum, "maximum": _maximum, "exclusiveMinimum": _above,
        "exclusiveMaximum": _below, "multipleOf": _multiple,
    },
    STRING: {
        "pattern": _pattern, "format": _format, "minLength": _min_length, "maxLength": _max_length,
    },
    ARRAY: {
        "items": _items, "prefixItems": _items, "minItems": _min_items, "maxItems": _max_items,
        "contains": _contains, "uniqueItems": _unique, "unevaluatedItems": unevaluated_items,
    },
    OBJECT: {
        "properties": _members, "patternProperties": _members, "additionalProperties": _members,
        "required": _required, "propertyNames": _property_names, "dependencies": _dependencies,
        "dependentRequired": _dependencies, "dependentSchemas": _dependencies,
        "minProperties": _min_members, "maxProperties": _max_members,
        "unevaluatedProperties": unevaluated_properties,
    },
}  # fmt: skip
HANDLERS = [_ALL | _OWN.get(kind, {}) for kind in KINDS]
"""Of each kind of values, the keywords that say something about them."""
