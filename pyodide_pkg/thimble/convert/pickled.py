"""What is written in a pickle, without doing what it says.

    value = read_pickle(data, "meta.pkl", {"collections.OrderedDict": dict})

A pickle is a program that can call anything. Here its instructions are read one by one
(`pickletools`), and only those are known that put together dicts, lists, tuples, numbers and texts;
what it wants to call is looked up in a table of the caller's, and anything else is refused by name.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import FormatError, UnsupportedError

LONGEST = 1 << 20
"""Bytes of a pickle: four times what the largest GPT-2 has. Each may become 78 in memory."""

Calls = Mapping[str, Callable[..., Any]]
"""What a pickle may call, by module and name; they must not trust what they are given."""
_PLAIN = (str, int, float, bool, type(None))

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
_VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "INT", "LONG", "FLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE",
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Named:
    """Something that a pickle may call, not yet called."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name, self.call = name, call


class _Mark:
    """Where on the stack a group of values begins."""


def read_pickle(
    data: bytes, name: str, calls: Calls, persistent: Callable[[Any], Any] | None = None
) -> Any:
    """The value in `data`; `persistent` makes something of what is kept beside it.

    Raises FormatError for what is no pickle, UnsupportedError for one that wants more than this.
    """
    if len(data) > LONGEST:
        raise FormatError(f"{name} has {len(data):,} bytes; up to {LONGEST:,} are read")
    machine = _Machine(name, calls, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
        raise FormatError(f"{name} is no pickle, or is damaged: {error!s:.100}") from None
    return machine.stack.pop()


class _Machine:
    """The stack that a pickle's instructions work on."""

    def __init__(self, name: str, calls: Calls, persistent: Callable[[Any], Any] | None) -> None:
        self.name = name
        self.calls = calls
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Follow one instruction. Raises IndexError, ValueError or KeyError where it cannot."""
        stack = self.stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _EMPTY:
            stack.append(_EMPTY[opcode]())
        elif opcode == "MARK":
            stack.append(_Mark)
        elif opcode in _TUPLES:
            at = len(stack) - _TUPLES[opcode]
            if at < 0:
                raise ValueError("a tuple of too few")
            stack[at:] = [tuple(stack[at:])]
        elif opcode == "TUPLE":
            stack.append(tuple(self._marked()))
        elif opcode in ("SETITEM", "SETITEMS"):
            self._set(self._marked() if opcode == "SETITEMS" else [stack.pop(-2), stack.pop()])
        elif opcode in ("APPEND", "APPENDS"):
            added = self._marked() if opcode == "APPENDS" else [stack.pop()]
            self._last(list).extend(added)
        else:
            self._refer(opcode, argument)

    def _refer(self, opcode: str, argument: Any) -> None:
        """The instructions that remember, recall and call."""
        stack = self.stack
        if opcode in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif opcode == "GLOBAL":
            stack.append(self._named(argument.replace(" ", ".", 1)))
        elif opcode == "STACK_GLOBAL":
            module, name = stack.pop(-2), stack.pop()
            stack.append(self._named(f"{module:s}.{name:s}"))
        elif opcode == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            if not isinstance(called, Named) or not isinstance(arguments, tuple):
                raise ValueError("a call of nothing that can be called")
            stack.append(called.call(*arguments))
        elif opcode == "BUILD":
            stack.pop()  # what an OrderedDict has besides its items
            self._last(dict)
        elif opcode == "BINPERSID" and self.persistent:
            stack.append(self.persistent(stack.pop()))
        elif opcode == "STOP":
            if len(stack) != 1 or stack[0] is _Mark:
                raise ValueError("it ends with less or more than one value")
        elif opcode not in ("PROTO", "FRAME"):
            raise UnsupportedError(
                f"{self.name} has the instruction {opcode}; plain data has none such"
            )

    def _named(self, name: str) -> Named:
        if name not in self.calls:
            raise UnsupportedError(
                f"{self.name} wants to call {name:.80}, which is not done here; "
                f"{', '.join(self.calls) or 'nothing'} may be called"
            )
        return Named(name, self.calls[name])

    def _marked(self) -> list[Any]:
        """Take what lies behind the last mark, and the mark."""
        stack = self.stack
        at = next(i for i in range(len(stack) - 1, -2, -1) if i < 0 or stack[i] is _Mark)
        if at < 0:
            raise ValueError("a group without a beginning")
        found = stack[at + 1 :]
        del stack[at:]
        return found

    def _last(self, kind: type[Any]) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {kind.__name__} was promised")
        return self.stack[-1]

    def _set(self, items: list[Any]) -> None:
        into = self._last(dict)
        if len(items) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Others may take forever to compare, or be made to collide.
            if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < 1 << 32):
                raise ValueError("a key that is neither a text nor a small number")
            into[key] = value


def told(value: Any) -> str:
    """A value for a message: short, whatever a file put there."""
    if isinstance(value, int) and abs(value) > 1 << 64:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, _PLAIN):
        return f"{value!r:.60}" if not isinstance(value, str) else repr(value[:60])
    return f"a {type(value).__name__}"
