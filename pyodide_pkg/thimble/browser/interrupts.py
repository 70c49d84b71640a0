"""Stopping a visitor's code from outside, without leaving the engine half-way through something.

The page asks by SIGINT (Pyodide's interrupt buffer; natively Ctrl+C). It becomes a
KeyboardInterrupt where the visitor's own lines run, and waits wherever the engine's are that move
its memory about: those return soon. It knows nothing of where the request comes from.
"""

from __future__ import annotations

import _thread
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PREFIX = "<input"
"""File names of visitors' code begin with this."""

_BUSY = ("session", "kernel", "sampling", "model", "loader", "browser.pool", "tokenizer")
GUARDED = tuple(f"{__name__.partition('.')[0]}.{name}" for name in _BUSY)
"""Modules that must not be left in the middle."""
OPEN = ("append", "generate")
"""Their functions that may: long loops over steps, each of which is whole."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT end the visitor's code that runs inside this, and nothing else."""
    try:
        before = signal.signal(signal.SIGINT, _interrupt)
    except ValueError:  # not the main thread: natively, signals are not for it
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """The visitor's lines may be deep in other people's code, but never below the engine's."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(PREFIX):
            raise KeyboardInterrupt
        module = frame.f_globals.get("__name__", "")
        if module.startswith(GUARDED) and code.co_name not in OPEN:
            _thread.interrupt_main()  # again, as soon as Python looks the next time
            return
        frame = frame.f_back
    # None of their lines: the code has just ended by itself.
