"""What a template may call by name, without a value before it: `dict`, `range` and the like."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

from ..errors import FormatError, OptionError
from .budget import RunawayError
from .values import Maker, Namespace, Table, Value

MAX_RANGE = 100_000
MAX_DATE = 200


class Functions:
    """The functions of one rendering; what they make is paid for by its budget."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker

    def offered(self) -> dict[str, Callable[..., Value]]:
        """All of them, by the names that templates know them by."""
        return {
            "dict": self._dict, "namespace": self._namespace, "range": self._range,
            "raise_exception": self._raise_exception, "strftime_now": self._strftime_now,
        }  # fmt: skip

    def _dict(self, *args: Value, **named: Value) -> Table:
        made: dict[Value, Value] = {}
        for arg in args:
            made.update(arg if isinstance(arg, Table) else self._pairs(arg))
        if len(args) > 1:
            raise TypeError(f"dict expected at most 1 argument, got {len(args)}")
        return self._maker.table({**made, **named})

    def _pairs(self, value: Value) -> dict[Value, Value]:
        made = {}
        for pair in self._maker.paid(value):
            key, inner = self._maker.paid(pair)
            made[key] = inner
        return made

    def _namespace(self, *args: Value, **named: Value) -> Namespace:
        return Namespace(dict(self._dict(*args)) | named)

    def _range(self, *args: Value) -> range:
        made = range(*args)
        if len(made) > MAX_RANGE:
            raise RunawayError(f"it counts to {len(made):,}; a range has at most {MAX_RANGE:,}")
        return made

    def _raise_exception(self, message: Value = "") -> None:
        text = self._maker.text(message)
        raise OptionError(f"the chat template refuses this conversation: {text:.300}")

    def _strftime_now(self, format: Value) -> str:
        # Widths ("%999999999d") would make a text of that length.
        wrong = not isinstance(format, str) or len(format) > MAX_DATE
        if wrong or re.search(r"%\W*\d\d\d", format):
            raise FormatError(f"the chat template asks for a date like {format!r:.60}")
        return datetime.datetime.now().strftime(format)
