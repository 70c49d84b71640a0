"""Refuses a schema that is none, before anything is written: each that can be reached is looked at
once, its references are followed and its patterns read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .document import LISTED, NAMED, ONE, Schema, escaped, wrong
from .keywords import TYPES

if TYPE_CHECKING:
    from .reader import Reader


def _whole(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and value >= 0 and value == value and value in (0, value // 1)


def _number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and value == value and abs(value) != float("inf")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_COUNT: tuple[Callable[[Any], bool], str] = (_whole, "a whole number, not below 0")
_LIMIT: tuple[Callable[[Any], bool], str] = (_number, "a number")
_STRICT: tuple[Callable[[Any], bool], str] = (
    lambda value: isinstance(value, bool) or _number(value), "a number",
)  # fmt: skip
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys((
        "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
        "minContains", "maxContains",
    ), _COUNT),
    "minimum": _LIMIT, "maximum": _LIMIT, "exclusiveMinimum": _STRICT, "exclusiveMaximum": _STRICT,
    "multipleOf": (lambda value: _number(value) and value > 0, "a number above 0"),
    "enum": (lambda value: isinstance(value, list), "a list with values"),
    "format": (lambda value: isinstance(value, str), "a text"),
    "pattern": (lambda value: isinstance(value, str), "a text"),
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    "required": (lambda value: _texts(value) or isinstance(value, bool), "a list of names"),
}  # fmt: skip


def check(reader: Reader) -> None:
    """Look at every schema that can be reached. Raises OptionError that says where it is wrong."""
    document = reader.document
    work = [document.root]
    seen = {document.root}
    while work:
        schema = work.pop()
        reader.effort.where = schema.path
        for found in _inside(reader, schema):
            if found not in seen:
                seen.add(found)
                work.append(found)


def _inside(reader: Reader, schema: Schema) -> Iterator[Schema]:
    raw, document = schema.raw, reader.document
    if isinstance(raw, bool):
        return
    if not isinstance(raw, Mapping):
        raise wrong(schema.path, raw, "a schema, which is an object, true or false")
    if isinstance(raw.get("$ref"), str):
        yield document.resolve(schema, raw["$ref"])
        if schema.draft <= 7:
            return
    for word, value in raw.items():
        if word in SHAPES:
            holds, right = SHAPES[word]
            if not holds(value):
                raise wrong(f"{schema.path}/{word}", value, right)
            if word == "pattern":
                reader.pattern(value, f"{schema.path}/pattern")
        elif word in ONE or (word == "items" and not isinstance(value, list)):
            yield document.inside(schema, word)
        elif word in LISTED or word == "items":
            if not isinstance(value, list) or (not value and word in ("allOf", "anyOf", "oneOf")):
                raise wrong(f"{schema.path}/{word}", value, "a list of schemas")
            for at in range(len(value)):
                yield document.inside(schema, word, at)
        elif word in NAMED:
            yield from _named(reader, schema, word)
        elif word == "type":
            _check_type(schema, value)


def _named(reader: Reader, schema: Schema, word: str) -> Iterator[Schema]:
    value = schema.raw[word]
    if not isinstance(value, Mapping):
        raise wrong(f"{schema.path}/{word}", value, "an object of schemas")
    if word in ("$defs", "definitions"):
        return  # those that nothing refers to say nothing
    for name, inner in value.items():
        if word == "patternProperties":
            reader.pattern(name, f"{schema.path}/patternProperties/{escaped(name)}")
        if word != "dependencies" or isinstance(inner, (bool, Mapping)):
            yield reader.document.inside(schema, word, name)


def _check_type(schema: Schema, value: Any) -> None:
    for name in value if isinstance(value, list) else [value]:
        known = isinstance(name, str) and (name in TYPES or (name == "any" and schema.draft <= 4))
        if not known and not (isinstance(name, Mapping) and schema.draft <= 4):
            raise wrong(f"{schema.path}/type", name, f"one of {', '.join(TYPES)}")
