"""What a template does with values: operators, items, attributes, and the methods it may call.

Each operation is paid by its operands before it happens. A method that is not in `METHODS` is out
of reach, whatever Python has.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from jinja2.runtime import LoopContext, Undefined

from ..errors import UnsupportedError
from .budget import MAX_INTEGER_BITS, RunawayError
from .values import (
    Group,
    Items,
    Maker,
    Namespace,
    Pair,
    Table,
    Value,
    View,
    is_container,
    kind,
    tree_of,
    unsafe,
)

LOOP = frozenset(
    "depth depth0 first index index0 last length nextitem previtem revindex revindex0".split()
)
"""What a loop says of itself."""


MISSING: Any = object()
"""What is not there, where None would be a value."""


class Method:
    """A method of a value, not called yet."""

    def __init__(self, value: Value, name: str) -> None:
        self.value = value
        self.name = name


def call_method(maker: Maker, method: Method, args: list[Value], named: dict[str, Value]) -> Value:
    """Call a method that the template may call. Raises what Python raises for wrong arguments."""
    value, name = method.value, method.name
    if isinstance(value, Table):
        return _DICT[name](maker, value, *args, **named)
    if isinstance(value, LoopContext):
        for argument in args:
            maker.budget.spend(1 + (tree_of(argument) >> 4))
        return getattr(value, name)(*args, **named)
    if name in _SPECIAL:
        return _SPECIAL[name](maker, value, *args, **named)
    _PRICES[name](maker, value, *args, **named)
    return maker.own(getattr(value, name)(*args, **named))


# --- prices of methods: each takes what the method takes ---


def _letters(maker: Maker, text: str) -> None:
    """Of a copy whose characters are looked up one by one, and may be three for one."""
    maker.budget.spend(1 + (len(text) >> 4))
    maker.budget.text(len(text) if text.isascii() else 3 * len(text), ascii=text.isascii())


def _look(maker: Maker, text: str) -> None:
    maker.budget.scan(len(text))


def _find(maker: Maker, text: Value, sub: Value, *bounds: Value) -> None:
    if isinstance(text, str):
        maker.budget.search(len(text), _length(sub))
    else:  # `index` and `count` of lists
        maker.budget.spend(1 + (len(text) >> 3) + (text.tree >> 7))


def _find_back(maker: Maker, text: str, sub: Value, *bounds: Value) -> None:
    maker.budget.search_back(len(text), _length(sub))


def _ends(maker: Maker, text: str, ends: Value, *bounds: Value) -> None:
    maker.budget.spend(1 + (tree_of(ends) >> 5))


def _cut(maker: Maker, text: str, end: Value) -> None:
    maker.budget.text(len(text), ascii=text.isascii())


def _strip(maker: Maker, text: str, chars: Value = None) -> None:
    maker.budget.spend(1 + (len(text) * (1 + _length(chars)) >> 8))
    maker.budget.text(len(text), ascii=text.isascii())


def _parts(maker: Maker, text: str, separator: Value) -> None:
    maker.budget.search(len(text), _length(separator))
    maker.budget.text(len(text), ascii=text.isascii())


def _parts_back(maker: Maker, text: str, separator: Value) -> None:
    maker.budget.search_back(len(text), _length(separator))
    maker.budget.text(len(text), ascii=text.isascii())


def _split(maker: Maker, text: str, sep: Value = None, maxsplit: Value = -1) -> None:
    if isinstance(sep, str) and sep:
        maker.budget.search(len(text), len(sep))
        pieces = 1 + text.count(sep)
    else:
        maker.budget.spend(1 + (len(text) >> 6))
        pieces = 1 + (sum(map(text.count, _SPACES)) if text.isascii() else len(text) // 2)
    _pieces(maker, text, min(pieces, maxsplit + 1) if _count(maxsplit) >= 0 else pieces)


def _split_back(maker: Maker, text: str, sep: Value = None, maxsplit: Value = -1) -> None:
    if isinstance(sep, str):
        maker.budget.search_back(len(text), len(sep))
    _split(maker, text, sep, maxsplit)


def _lines(maker: Maker, text: str, keepends: Value = False) -> None:
    maker.budget.spend(1 + (len(text) >> 6))
    breaks = sum(map(text.count, _BREAKS)) if text.isascii() else len(text)
    _pieces(maker, text, 1 + breaks)


def _pieces(maker: Maker, text: str, pieces: int) -> None:
    maker.budget.spend(pieces >> 3)
    maker.budget.make(64 * pieces + len(text) * (1 if text.isascii() else 4))


_SPACES = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e"

_PRICES: dict[str, Callable[..., None]] = {
    **dict.fromkeys("capitalize casefold lower swapcase title upper".split(), _letters),
    **dict.fromkeys(
        "isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle "
        "isupper".split(),
        _look,
    ),
    **dict.fromkeys("count find index".split(), _find),
    **dict.fromkeys("rfind rindex".split(), _find_back),
    **dict.fromkeys("endswith startswith".split(), _ends),
    **dict.fromkeys("removeprefix removesuffix".split(), _cut),
    **dict.fromkeys("lstrip rstrip strip".split(), _strip),
    "partition": _parts,
    "rpartition": _parts_back,
    "split": _split,
    "rsplit": _split_back,
    "splitlines": _lines,
}


def join(maker: Maker, separator: str, items: Value) -> str:
    """`separator.join(items)`, whose items are texts."""
    texts = list(maker.paid(items))
    size = sum(map(len, texts)) + len(separator) * len(texts)
    maker.budget.text(size, ascii=separator.isascii() and all(map(_is_ascii, texts)))
    return separator.join(texts)


def replace(maker: Maker, text: str, old: str, new: str, count: int = -1) -> str:
    """`text.replace(old, new, count)`."""
    maker.budget.search(len(text), len(old))
    found = text.count(old)
    if count >= 0:
        found = min(found, count)
    maker.budget.spend(found >> 4)
    ascii = text.isascii() and new.isascii()
    maker.budget.text(len(text) + found * max(0, len(new) - len(old)), ascii=ascii)
    return text.replace(old, new, count)


def _join(maker: Maker, text: str, items: Value) -> str:
    return join(maker, text, items)


_SPECIAL: dict[str, Callable[..., Value]] = {"join": _join, "replace": replace}


def _get(maker: Maker, table: Table, key: Value, default: Value = None) -> Value:
    maker.budget.spend(1 + (tree_of(key) >> 5))
    return table.get(key, default)


def _view(of: Callable[[Maker, Table], list[Value]]) -> Callable[[Maker, Table], View]:
    def view(maker: Maker, table: Table) -> View:
        made = maker.items(of(maker, table), View)
        assert isinstance(made, View)
        return made

    return view


def _pairs(maker: Maker, table: Table) -> list[Value]:
    return [maker.pair(pair) for pair in table.items()]


def _itself(maker: Maker, value: Value) -> Value:
    """A copy of what nobody can change."""
    return value


_DICT: dict[str, Callable[..., Value]] = {
    "get": _get,
    "items": _view(_pairs),
    "keys": _view(lambda maker, table: list(table)),
    "values": _view(lambda maker, table: list(table.values())),
    "copy": _itself,
}

METHODS: dict[type, frozenset[str]] = {
    str: frozenset(_PRICES) | frozenset(_SPECIAL),
    list: frozenset(("count", "index")),
    tuple: frozenset(("count", "index")),
    dict: frozenset(_DICT),
    float: frozenset(),
    int: frozenset(),
}
"""What may be called, by type."""
_BUILT_IN: tuple[tuple[type, type], ...] = (
    (Table, dict),
    (View, type({}.keys())),
    (Items, list),
    (Pair, tuple),
    (str, str),
)


def attribute(value: Value, name: str) -> Value:
    """`value.name`: what the value has under that name, else its item."""
    found = own_attribute(value, name)
    if found is MISSING and isinstance(value, Table):
        found = value.get(name, MISSING)
    return Undefined(obj=value, name=name) if found is MISSING else found


def own_attribute(value: Value, name: str) -> Value:
    """An attribute that is no item; MISSING where there is none."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, Namespace):
        return value.names.get(name, MISSING)
    if isinstance(value, LoopContext):
        if name in ("cycle", "changed"):
            return Method(value, name)
        return getattr(value, name) if name in LOOP else MISSING
    if isinstance(value, Group) and name in ("grouper", "list"):
        return value[name == "list"]
    plain = next((plain for ours, plain in _BUILT_IN if isinstance(value, ours)), type(value))
    if name in METHODS.get(plain, ()):
        return Method(value, name)
    return unsafe(value, name) if hasattr(plain, name) else MISSING


def item(maker: Maker, value: Value, key: Value) -> Value:
    """`value[key]`: the item, else what the value has under that name."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(key, slice):
        return _part(maker, value, key)
    if isinstance(value, (str, Items, Pair, Table, range)) and not isinstance(value, View):
        try:
            maker.budget.spend(tree_of(key) >> 5)
            return value[key]
        except (TypeError, LookupError):
            pass
    found = own_attribute(value, key) if isinstance(key, str) else MISSING
    return Undefined(obj=value, name=key) if found is MISSING else found


def _part(maker: Maker, value: Value, key: slice) -> Value:
    if not isinstance(value, (str, Items, Pair, range)) or isinstance(value, View):
        raise TypeError(f"{kind(value)!r} object has no parts")
    length = len(range(*key.indices(len(value))))
    if isinstance(value, str):
        maker.budget.text(length, ascii=value.isascii())
    else:
        maker.budget.make(8 * length)
    return maker.own(value[key])


# --- operators ---

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lteq": operator.le,
    "gt": operator.gt, "gteq": operator.ge,
}  # fmt: skip


def compute(maker: Maker, sign: str, left: Value, right: Value) -> Value:
    """`left sign right` for an arithmetic sign."""
    if isinstance(left, str) or isinstance(right, str):
        if sign == "%" and isinstance(left, str):
            raise UnsupportedError("the chat template formats text with %, which is not offered")
        if sign == "+" and isinstance(left, str) and isinstance(right, str):
            ascii = left.isascii() and right.isascii()
            maker.budget.text(len(left) + len(right), ascii=ascii)
            return left + right
    if isinstance(left, View) or isinstance(right, View):
        raise TypeError(f"{kind(left)!r} {sign} {kind(right)!r} is nothing")
    if sign == "*":
        _repeat(maker, left, right)
        _repeat(maker, right, left)
    elif sign == "+" and is_container(left) and is_container(right):
        maker.budget.make(8 * (len(left) + len(right)))
    elif sign == "**" and isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right
        if bits > MAX_INTEGER_BITS:
            raise RunawayError(f"it makes a number of {bits:,} bits")
    return maker.own(_ARITHMETIC[sign](left, right))


def _repeat(maker: Maker, value: Value, times: Value) -> None:
    if isinstance(times, int) and times > 0:
        if isinstance(value, str):
            maker.budget.text(len(value) * times, ascii=value.isascii())
        elif isinstance(value, (Items, Pair)):
            maker.budget.allow(value.tree * times)
            maker.budget.make(8 * len(value) * times)


def compare(maker: Maker, sign: str, left: Value, right: Value) -> Value:
    """`left sign right` for a comparison, `in` and `notin` among them."""
    if sign in ("in", "notin"):
        return contains(maker, right, left) == (sign == "in")
    less = min(tree_of(left), tree_of(right))
    maker.budget.spend(less >> (9 if isinstance(left, str) else 4))
    return _COMPARISONS[sign](left, right)


def contains(maker: Maker, container: Value, value: Value) -> bool:
    """`value in container`."""
    if isinstance(container, str):
        maker.budget.search(len(container), _length(value))
    elif isinstance(container, (Items, Pair)):
        maker.budget.spend((len(container) >> 3) + (container.tree >> 7))
    elif isinstance(container, Table):
        maker.budget.spend(tree_of(value) >> 5)
    elif isinstance(container, range):
        maker.budget.spend(0 if type(value) in (int, bool) else len(container) >> 4)
    else:
        container = maker.paid(container)
    return value in container


def _length(value: Value) -> int:
    return len(value) if isinstance(value, str) else 0


def _count(value: Value) -> int:
    return value if isinstance(value, int) else -1


def _is_ascii(text: Value) -> bool:
    if not isinstance(text, str):
        raise TypeError(f"sequence item: expected str instance, {kind(text)} found")
    return text.isascii()
