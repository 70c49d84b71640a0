"""The values of a template: Python's plain ones, and containers that know how large they are.

A template cannot change a container, and a container cannot hold itself; so its size is known once
it is made, however often it holds the same text. Everything else that a template can get hold of (a
namespace, a macro, a loop, an iterator) stands in no container and is never written as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard, cast

from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined

from ..errors import UnsupportedError
from .budget import MAX_INTEGER_BITS, MAX_NESTING, Budget, RunawayError

Value = Any
"""What a template computes with."""

PLAIN = (int, float, bool, type(None), Undefined, range)
"""Values whose text is short, beside `str`."""
ITERATORS: tuple[type, ...] = (type(iter([])), type(reversed([])))
"""What filters give that is gone over once."""


class Items(list[Value]):
    """A list that knows its size."""

    __slots__ = ("deep", "nodes", "tree")
    tree: int
    """Characters and items in it; what it holds twice counts twice."""
    nodes: int
    """Items in it, at any depth."""
    deep: int
    """Containers within each other, itself included."""


class View(Items):
    """What a dict's `items`, `keys` and `values` give: gone over, never written or added to."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, View) and list.__eq__(self, other)


class Pair(tuple[Value, ...]):
    """A tuple that knows its size."""

    tree: int
    nodes: int
    deep: int


class Group(Pair):
    """What `groupby` gives for each value: that value, and the items that have it."""


class Table(dict[Value, Value]):
    """A dict that knows its size."""

    __slots__ = ("deep", "nodes", "tree")
    tree: int
    nodes: int
    deep: int


CONTAINERS = (Items, Pair, Table)


class Namespace:
    """What `namespace()` makes: names that a template may set, from any depth."""

    def __init__(self, names: dict[str, Value]) -> None:
        self.names = names


def is_container(value: Value) -> TypeGuard[Items | Pair | Table]:
    return isinstance(value, CONTAINERS)


def size_of(value: Value) -> tuple[int, int, int]:
    """Characters and items, items, and depth of a value that may stand in a container."""
    if isinstance(value, str):
        return 1 + len(value), 1, 0
    if is_container(value) and not isinstance(value, View):
        return value.tree, value.nodes, value.deep
    if isinstance(value, PLAIN):
        return 1, 1, 0
    raise UnsupportedError(f"the chat template puts a {kind(value)} into a list")


def tree_of(value: Value) -> int:
    """Characters and items of any value."""
    if isinstance(value, str):
        return 1 + len(value)
    return value.tree if is_container(value) else 1


def kind(value: Value) -> str:
    """The name of a value's type, as Python has it."""
    names: dict[type, str] = {
        Items: "list",
        View: "view",
        Pair: "tuple",
        Group: "tuple",
        Table: "dict",
    }
    return names.get(type(value), type(value).__name__)


def unsafe(value: Value, name: str) -> Undefined:
    """What stands for an attribute that Python has and a template may not use."""
    hint = f"access to attribute {name!r} of {kind(value)!r} object is unsafe."
    return Undefined(hint, obj=value, name=name, exc=SecurityError)


class Maker:
    """Makes values, and pays for them."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def items(self, found: list[Value], container: type[Items] = Items) -> Items:
        made = container(found)
        self._measure(made, found, 8)
        return made

    def pair(self, found: Iterable[Value], container: type[Pair] = Pair) -> Pair:
        made = container(found)
        self._measure(made, made, 16)
        return made

    def table(self, found: Mapping[Value, Value]) -> Table:
        made = Table(found)
        self._measure(made, [*found, *found.values()], 60)
        return made

    def _measure(self, made: Items | Pair | Table, parts: Iterable[Value], each: int) -> None:
        tree, nodes, deep = 1, 1, 0
        for part in parts:
            size = size_of(part)
            tree, nodes, deep = tree + size[0], nodes + size[1], max(deep, size[2])
        made.tree, made.nodes, made.deep = tree, nodes, deep + 1
        self.budget.spend(1 + (len(made) >> 2))
        self.budget.make(200 + each * len(made))
        self.budget.allow(tree)
        if deep >= MAX_NESTING:
            raise RunawayError(f"it nests more than {MAX_NESTING} lists")

    def own(self, value: Value) -> Value:
        """What Python gave, as a value of a template's. Raises UnsupportedError for what is none,
        RunawayError for a number that is too long."""
        if isinstance(value, int):
            if value.bit_length() > MAX_INTEGER_BITS:
                raise RunawayError(f"it makes a number of {value.bit_length():,} bits")
        elif isinstance(value, list) and not isinstance(value, Items):
            return self.items(value)
        elif isinstance(value, tuple) and not isinstance(value, Pair):
            return self.pair(value)
        elif not isinstance(value, (str, *PLAIN, *CONTAINERS)):
            raise UnsupportedError(f"the chat template makes a {type(value).__name__}")
        return value

    def admit(self, value: Value, depth: int = 0) -> Value:
        """A value from outside, a copy all the way down; text comes for free."""
        if depth > MAX_NESTING:
            raise RunawayError(f"it is given more than {MAX_NESTING} lists in lists")
        if isinstance(value, Mapping):
            return self.table({key: self.admit(inner, depth + 1) for key, inner in value.items()})
        if isinstance(value, list):
            return self.items([self.admit(inner, depth + 1) for inner in value])
        if isinstance(value, tuple):
            return self.pair([self.admit(inner, depth + 1) for inner in value])
        return self.own(value)

    def text(self, value: Value) -> str:
        """A value as `{{ }}` writes it."""
        if isinstance(value, str):
            return value
        if isinstance(value, PLAIN):
            return str(value)
        if not is_container(value) or isinstance(value, View):
            raise UnsupportedError(f"the chat template writes a {kind(value)}, which is no text")
        self.budget.spend((value.tree >> 5) + (value.nodes >> 1))
        self.budget.text(value.tree + 4 * value.nodes)
        text = str(value)
        self.budget.text(len(text))
        return text

    def iterable(self, value: Value) -> Iterable[Value]:
        """The value itself, if a loop may go over it. Raises TypeError."""
        if isinstance(value, (str, Undefined, range, *CONTAINERS, *ITERATORS)):
            return cast("Iterable[Value]", value)
        raise TypeError(f"{kind(value)!r} object is not iterable")

    def paid(self, value: Value) -> Iterator[Value]:
        """Go over a value, and pay for each item."""
        for item in self.iterable(value):
            self.budget.spend(1)
            yield item
