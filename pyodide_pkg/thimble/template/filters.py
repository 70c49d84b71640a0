"""The filters and tests of a template, those that chat templates in use need.

They do what Jinja2's of the same names do, with the same names for arguments, and pay for it. What
Jinja2 gives lazily is computed at once and gone over once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jinja2 import tests as jinja_tests
from jinja2.exceptions import FilterArgumentError, TemplateRuntimeError
from jinja2.filters import do_float, do_int, do_title
from jinja2.runtime import Undefined

from ..errors import UnsupportedError
from . import operations
from .budget import RunawayError
from .operations import Method
from .values import Group, Items, Pair, Table, Value, View, is_container, kind, tree_of

if TYPE_CHECKING:
    from .interpreter import Interpreter

MAX_DIGITS = 1000
"""Characters of a text that is read as a number."""
MAX_PRECISION = 300
MAX_INDENT = 64

Filter = Callable[..., Value]


# --- text ---


def _indent(
    run: Interpreter, s: Value, width: Value = 4, first: Value = False, blank: Value = False
) -> str:
    maker = run.maker
    maker.budget.text(tree_of(s))
    text = s + "\n"  # Jinja2 takes nothing but text here, either
    if isinstance(width, str):
        maker.budget.allow(len(width))
        indention = width
    else:
        if width > maker.budget.size:
            raise RunawayError(f"it indents by {width:,}")
        indention = " " * width
    breaks = operations.Method(text, "splitlines")
    lines = operations.call_method(maker, breaks, [], {})
    ascii = text.isascii() and indention.isascii()
    maker.budget.text(len(text) + len(lines) * (len(indention) + 1), ascii=ascii)
    if blank:
        made = ("\n" + indention).join(lines)
    else:
        made = lines[0] + "".join("\n" + (indention + line if line else "") for line in lines[1:])
    return indention + made if first else made


def _join(run: Interpreter, value: Value, d: Value = "", attribute: Value = None) -> str:
    maker = run.maker
    get = _getter(run, attribute)
    texts = [maker.text(get(item)) for item in maker.paid(value)]
    return operations.join(maker, maker.text(d), maker.items(texts))


def _letters(name: str) -> Filter:
    def change(run: Interpreter, s: Value) -> Value:
        return operations.call_method(run.maker, Method(run.maker.text(s), name), [], {})

    return change


def _replace(run: Interpreter, s: Value, old: Value, new: Value, count: Value = None) -> str:
    text = run.maker.text
    return operations.replace(
        run.maker, text(s), text(old), text(new), -1 if count is None else count
    )


def _title(run: Interpreter, s: Value) -> str:
    text = run.maker.text(s)
    run.budget.spend(len(text))
    run.budget.text(3 * len(text), ascii=text.isascii())
    return do_title(text)


def _to_json(
    run: Interpreter,
    value: Value,
    ensure_ascii: Value = False,
    indent: Value = None,
    separators: Value = None,
    sort_keys: Value = False,
) -> str:
    # The names and their order are those of Hugging Face's transformers, for which templates are.
    if isinstance(value, (Undefined, range, View)) or not isinstance(
        value, (str, int, float, type(None), Items, Pair, Table)
    ):
        raise UnsupportedError(f"the chat template writes a {kind(value)} as JSON")
    if not isinstance(indent, (int, type(None))) or (indent or 0) > MAX_INDENT:
        raise RunawayError(f"it writes JSON with an indentation of {indent!r:.40}")
    if separators is not None and sum(map(tree_of, separators)) > MAX_INDENT:
        raise RunawayError("it writes JSON with long separators")
    nodes, deep = (value.nodes, value.deep) if is_container(value) else (1, 0)
    size = tree_of(value) + nodes * ((indent or 0) * deep + MAX_INDENT)
    run.budget.spend((size >> 5) + nodes)
    run.budget.text(size)
    text = json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    run.budget.text(len(text))
    return text


def _trim(run: Interpreter, value: Value, chars: Value = None) -> Value:
    return operations.call_method(run.maker, Method(run.maker.text(value), "strip"), [chars], {})


def _text(run: Interpreter, value: Value) -> str:
    return run.maker.text(value)


# --- numbers ---


def _abs(run: Interpreter, x: Value) -> Value:
    return run.maker.own(abs(x))


def _int(run: Interpreter, value: Value, default: Value = 0, base: Value = 10) -> Value:
    _short(value)
    run.budget.spend(len(value) >> 6 if isinstance(value, str) else 0)
    return run.maker.own(do_int(value, default, base))


def _float(run: Interpreter, value: Value, default: Value = 0.0) -> Value:
    _short(value)
    return run.maker.own(do_float(value, default))


def _short(value: Value) -> None:
    if isinstance(value, str) and len(value) > MAX_DIGITS:
        raise RunawayError(f"it reads a text of {len(value):,} characters as a number")


def _round(run: Interpreter, value: Value, precision: Value = 0, method: Value = "common") -> Value:
    if method not in ("common", "ceil", "floor"):
        raise FilterArgumentError("method must be common, ceil or floor")
    if abs(precision) > MAX_PRECISION:
        raise RunawayError(f"it rounds to {precision:,} digits")
    if method == "common":
        return run.maker.own(round(value, precision))
    power = 10**precision
    return getattr(math, method)(value * power) / power


def _sum(run: Interpreter, iterable: Value, attribute: Value = None, start: Value = 0) -> Value:
    if isinstance(start, str):
        raise TypeError("sum() can't sum strings [use ''.join(seq) instead]")
    get = _getter(run, attribute)
    for item in run.maker.paid(iterable):
        start = operations.compute(run.maker, "+", start, get(item))
    return start


# --- lists ---


def _default(
    run: Interpreter, value: Value, default_value: Value = "", boolean: Value = False
) -> Value:
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


def _first(run: Interpreter, seq: Value) -> Value:
    for item in run.maker.paid(seq):
        return item
    return Undefined("No first item, sequence was empty.")


def _last(run: Interpreter, seq: Value) -> Value:
    for item in reversed(run.maker.iterable(seq)):  # type: ignore[call-overload]
        return item
    return Undefined("No last item, sequence was empty.")


def _count(run: Interpreter, obj: Value) -> int:
    return len(obj)


def _list(run: Interpreter, value: Value) -> Items:
    return run.maker.items(list(run.maker.paid(value)))


def _items(run: Interpreter, value: Value) -> Iterator[Value]:
    if isinstance(value, Undefined):
        return iter(Items())
    if not isinstance(value, Table):
        raise TypeError("Can only get item pairs from a mapping.")
    return iter(operations.call_method(run.maker, Method(value, "items"), [], {}))


def _reverse(run: Interpreter, value: Value) -> Value:
    if isinstance(value, str):
        run.budget.text(len(value), ascii=value.isascii())
        return value[::-1]
    return iter(run.maker.items(list(run.maker.paid(value))[::-1]))


def _sort(
    run: Interpreter,
    value: Value,
    reverse: Value = False,
    case_sensitive: Value = False,
    attribute: Value = None,
) -> Items:
    wanted = attribute.split(",") if isinstance(attribute, str) else [attribute]
    getters = [_getter(run, one) for one in wanted]
    keyed = [
        ([_folded(run, get(item), case_sensitive) for get in getters], item)
        for item in run.maker.paid(value)
    ]
    _pay_for_sorting(run, [key for keys, _ in keyed for key in keys])
    keyed.sort(key=lambda pair: pair[0], reverse=reverse)
    return run.maker.items([item for _, item in keyed])


def _dictsort(
    run: Interpreter,
    value: Value,
    case_sensitive: Value = False,
    by: Value = "key",
    reverse: Value = False,
) -> Items:
    if by not in ("key", "value"):
        raise FilterArgumentError('You can only sort by either "key" or "value"')
    pairs = operations.call_method(run.maker, operations.attribute(value, "items"), [], {})
    return _sort(run, pairs, reverse, case_sensitive, int(by == "value"))


def _groupby(
    run: Interpreter,
    value: Value,
    attribute: Value,
    default: Value = None,
    case_sensitive: Value = False,
) -> Items:
    get = _getter(run, attribute, default)
    keyed = [(_folded(run, get(item), case_sensitive), item) for item in run.maker.paid(value)]
    _pay_for_sorting(run, [key for key, _ in keyed])
    keyed.sort(key=lambda pair: pair[0])
    groups: list[tuple[Value, list[Value]]] = []
    for key, item in keyed:
        if not groups or groups[-1][0] != key:
            groups.append((key, []))
        groups[-1][1].append(item)
    maker = run.maker
    return maker.items(
        [maker.pair((get(items[0]), maker.items(items)), Group) for _, items in groups]
    )


def _unique(
    run: Interpreter, value: Value, case_sensitive: Value = False, attribute: Value = None
) -> Iterator[Value]:
    get = _getter(run, attribute)
    seen, found = set(), []
    for item in run.maker.paid(value):
        key = _folded(run, get(item), case_sensitive)
        run.budget.spend(1 + (tree_of(key) >> 5))
        if key not in seen:
            seen.add(key)
            found.append(item)
    return iter(run.maker.items(found))


def _extreme(choose: Callable[..., Value]) -> Filter:
    def extreme(
        run: Interpreter, value: Value, case_sensitive: Value = False, attribute: Value = None
    ) -> Value:
        get = _getter(run, attribute)
        items = list(run.maker.paid(value))
        if not items:
            return Undefined("No aggregated item, sequence was empty.")
        keys = [_folded(run, get(item), case_sensitive) for item in items]
        _pay_for_sorting(run, keys)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    return extreme


def _pay_for_sorting(run: Interpreter, keys: list[Value]) -> None:
    rounds = len(keys).bit_length()
    run.budget.spend((len(keys) * rounds >> 2) + (sum(map(tree_of, keys)) * rounds >> 7))
    run.budget.make(100 * len(keys))


def _folded(run: Interpreter, key: Value, case_sensitive: Value) -> Value:
    if isinstance(key, str) and not case_sensitive:
        return operations.call_method(run.maker, Method(key, "lower"), [], {})
    return key


def _getter(run: Interpreter, attribute: Value, default: Value = None) -> Callable[[Value], Value]:
    """What finds "a.b.0" in an item; None is the item itself."""
    parts = [attribute] if attribute is not None else []
    if isinstance(attribute, str):
        run.budget.scan(len(attribute))
        run.budget.make(64 * (1 + attribute.count(".")))
        parts = [int(x) if x.isdigit() else x for x in attribute.split(".")]

    def get(item: Value) -> Value:
        for part in parts:
            run.budget.spend(1)
            item = operations.item(run.maker, item, part)
            if default is not None and isinstance(item, Undefined):
                item = default
        return item

    return get


def _map(run: Interpreter, value: Value, *args: Value, **named: Value) -> Iterator[Value]:
    if not value:
        return iter(Items())
    if not args and "attribute" in named:
        change = _getter(run, named.pop("attribute"), named.pop("default", None))
        if named:
            raise FilterArgumentError(f"Unexpected keyword argument {next(iter(named))!r}")
    elif not args:
        raise FilterArgumentError("map requires a filter argument")
    else:
        name, *rest = args

        def change(item: Value) -> Value:
            return call_filter(run, name, item, rest, named)

    return iter(run.maker.items([change(item) for item in run.maker.paid(value)]))


def _select(wanted: bool, by_attribute: bool) -> Filter:
    def select(run: Interpreter, value: Value, *args: Value, **named: Value) -> Iterator[Value]:
        if not value:
            return iter(Items())
        rest = list(args)
        if by_attribute and not rest:
            raise FilterArgumentError("Missing parameter for attribute name")
        get = _getter(run, rest.pop(0) if by_attribute else None)
        found = []
        for item in run.maker.paid(value):
            key = get(item)
            held = call_test(run, rest[0], key, rest[1:], named) if rest else bool(key)
            if bool(held) == wanted:
                found.append(item)
        return iter(run.maker.items(found))

    return select


FILTERS: dict[str, Filter] = {
    "abs": _abs,
    "capitalize": _letters("capitalize"),
    "count": _count,
    "d": _default,
    "default": _default,
    "dictsort": _dictsort,
    "first": _first,
    "float": _float,
    "groupby": _groupby,
    "indent": _indent,
    "int": _int,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _count,
    "list": _list,
    "lower": _letters("lower"),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "reject": _select(False, False),
    "rejectattr": _select(False, True),
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "safe": _text,
    "select": _select(True, False),
    "selectattr": _select(True, True),
    "sort": _sort,
    "string": _text,
    "sum": _sum,
    "title": _title,
    "tojson": _to_json,
    "trim": _trim,
    "unique": _unique,
    "upper": _letters("upper"),
}


def call_filter(
    run: Interpreter, name: Value, value: Value, args: Iterable[Value], named: Mapping[str, Value]
) -> Value:
    """`value | name(...)`."""
    run.budget.spend(1)
    if name not in FILTERS:
        raise UnsupportedError(f"the chat template wants a filter: No filter named {name!r:.60}.")
    run.budget.depth -= 1
    if run.budget.depth < 0:
        raise RunawayError("it calls itself without an end")
    found = FILTERS[name](run, value, *args, **named)
    run.budget.depth += 1
    return found


# --- tests ---

_COMPARED = {
    "==": "eq", "eq": "eq", "equalto": "eq", "!=": "ne", "ne": "ne", "<": "lt", "lt": "lt",
    "lessthan": "lt", "<=": "lteq", "le": "lteq", ">": "gt", "gt": "gt", "greaterthan": "gt",
    ">=": "gteq", "ge": "gteq", "in": "in",
}  # fmt: skip
_SIMPLE: dict[str, Callable[..., Any]] = {
    name: getattr(jinja_tests, f"test_{name}")
    for name in "boolean defined false float integer iterable mapping none number sameas sequence "
    "string true undefined".split()
}
_DIVIDED = {"odd": (2, 1), "even": (2, 0)}
_CASES = ("lower", "upper")
TESTS = frozenset((*_COMPARED, *_SIMPLE, *_DIVIDED, *_CASES, "callable", "divisibleby", "filter",
                   "test"))  # fmt: skip


def call_test(
    run: Interpreter, name: Value, value: Value, args: Iterable[Value], named: Mapping[str, Value]
) -> Value:
    """`value is name(...)`."""
    run.budget.spend(1)
    if name in _COMPARED:
        (other,) = args
        return operations.compare(run.maker, _COMPARED[name], value, other)
    if name in _SIMPLE:
        if name == "sequence" and isinstance(value, View):
            return False
        return _SIMPLE[name](value, *args, **named)
    if name in _DIVIDED or name == "divisibleby":
        divisor, rest = _DIVIDED.get(name) or (*args, *named.values(), 0)
        return operations.compute(run.maker, "%", value, divisor) == rest
    if name in _CASES:
        text = run.maker.text(value)
        return operations.call_method(run.maker, Method(text, f"is{name}"), [], {})
    if name == "callable":
        return run.is_callable(value)
    if name in ("filter", "test"):
        return value in (FILTERS if name == "filter" else TESTS)
    if not isinstance(name, str):
        raise TemplateRuntimeError(f"a test is named by a text, not by a {kind(name)}")
    raise UnsupportedError(f"the chat template wants a test: No test named {name!r:.60}.")
