"""Values that a schema names: which are equal, and of what kind each is."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from .logic import ARRAY, FALSE, NULL, NUMBER, OBJECT, STRING, TRUE

Key = tuple[Any, ...]


def kind_of(value: Any) -> int:
    """The kind of a JSON value."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, (int, float)):
        return NUMBER
    return STRING if isinstance(value, str) else ARRAY if isinstance(value, list) else OBJECT


def key_of(value: Any) -> Key:
    """The same for equal values, and for no others: 1 and 1.0 are equal, 1 and true are not."""
    kind = kind_of(value)
    if kind == NUMBER:
        return (NUMBER, exact(value))
    if kind == ARRAY:
        return (ARRAY, *(key_of(one) for one in value))
    if kind == OBJECT:
        return (OBJECT, *sorted((name, key_of(one)) for name, one in value.items()))
    return (kind, value) if kind == STRING else (kind,)


def exact(value: int | float) -> Fraction:
    """A number as it was written: 0.1 is a tenth."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))
