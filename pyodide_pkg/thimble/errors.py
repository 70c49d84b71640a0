"""Every exception that Thimble raises.

A message names the offending value and says what would be right. Catch `ThimbleError` for all.
"""

from __future__ import annotations


class ThimbleError(Exception):
    """The root of all of Thimble's exceptions."""


class FormatError(ThimbleError):
    """A file is not what it claims to be: truncated, lying or hostile."""


class UnsupportedError(ThimbleError):
    """A well-formed file asks for something that this engine does not run."""


class LoadError(ThimbleError):
    """A model's file did not arrive."""


class MemoryLimitError(ThimbleError):
    """A model, a cache or a buffer does not fit into the memory there is."""


class ContextError(ThimbleError):
    """More tokens than the context holds."""


class OptionError(ThimbleError, ValueError):
    """An unknown option, or a value out of its range."""

    at: int | None = None
    """Where a text is wrong, in characters from its beginning, if that is known."""


class NumericError(ThimbleError):
    """A NaN or an infinity arose; the message says where."""


class StoppedError(ThimbleError):
    """Somebody asked from outside that the work be stopped."""


class SamplerError(ThimbleError):
    """A sampler of the caller's own failed, or what it returned is no token."""

    def __init__(self, message: str, *, line: int | None = None, trace: str = "") -> None:
        super().__init__(f"{message}\n{trace}" if trace else message)
        self.line = line
        """Of the caller's code, where it failed."""
        self.trace = trace
        """The traceback, from the sampler's own first line on."""


class HookError(ThimbleError):
    """A hook of the caller's own failed, or what it left is no value for its place."""

    def __init__(self, message: str, *, line: int | None = None, trace: str = "") -> None:
        super().__init__(f"{message}\n{trace}" if trace else message)
        self.line = line
        """Of the caller's code, where it failed."""
        self.trace = trace
        """The traceback, with the caller's own lines."""
