"""Chat templates: programs by strangers, in Jinja2's language, that are carried out here.

Jinja2 itself reads them; what they may do stands in this package, piece by piece, each with its
price, so that none of them runs away. It is imported when a chat is first rendered, and is the only
part of the engine that knows Jinja2.

    source.py       text to syntax tree, neither too long nor too deep
    interpreter.py  statements and expressions
    operations.py   operators, items, attributes, methods
    filters.py      filters and tests
    values.py       containers that know their size
    budget.py       what is left
"""

from __future__ import annotations

from collections.abc import Mapping

from jinja2.exceptions import SecurityError

from ..errors import FormatError, ThimbleError, UnsupportedError
from .budget import Budget, RunawayError
from .interpreter import Interpreter
from .source import MAX_SOURCE, parse

__all__ = ["MAX_SOURCE", "RunawayError", "Template"]


class Template:
    """A chat template that has been read.

    Raises FormatError for a source that is no Jinja2, or too long or deep.
    """

    def __init__(self, source: str) -> None:
        try:
            self._tree = parse(source)
        except ThimbleError:
            raise
        except (Exception, RecursionError) as error:
            raise FormatError(f"the chat template cannot be read: {_describe(error)}") from None

    def render(self, context: Mapping[str, object]) -> str:
        """The text of the template with `context`'s names.

        Raises OptionError where the template refuses, UnsupportedError where it wants what is not
        offered, RunawayError where it takes too much, and FormatError where it fails.
        """
        given = sum(map(_length, context.values()))
        messages = context.get("messages")
        budget = Budget(given, len(messages) if isinstance(messages, list) else 0)
        try:
            return Interpreter(budget).render(self._tree, context)
        except ThimbleError:
            raise
        except SecurityError as error:
            raise UnsupportedError(
                f"the chat template does what its sandbox forbids: {error}"
            ) from None
        except Exception as error:
            raise FormatError(f"the chat template fails: {_describe(error)}") from None


def _length(value: object) -> int:
    """Characters in `value`, a str or what holds such."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_length, value.values()))
    return sum(map(_length, value)) if isinstance(value, (list, tuple)) else 0


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error!s:.300}"
