"""Stopping a visitor's code from outside, without leaving the engine half-way through something.

The page asks by SIGINT (Pyodide's interrupt buffer; natively Ctrl+C). It becomes a
KeyboardInterrupt where the visitor's own lines run, and waits wherever the engine's are that move
its memory about: those return soon. It knows nothing of where the request comes from.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PREFIX = "<input"
"""File names of visitors' code begin with this."""

_BUSY = ("session", "kernel", "sampling", "model", "loader", "browser.pool", "tokenizer")
GUARDED = tuple(f"{__name__.partition('.')[0]}.{name}" for name in _BUSY)
"""Modules that must not be left in the middle."""
OPEN = ("append", "generate")
"""Their functions that may: long loops over steps, each of which is whole."""


class Asked:
    """Whether an interrupt came while none of the visitor's code ran."""

    def __init__(self) -> None:
        self.early = False

    def interrupt(self, _number: int, frame: FrameType | None) -> None:
        """The visitor's lines may be deep in other people's code, but never below the engine's."""
        busy = False
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(PREFIX):
                if not busy:
                    raise KeyboardInterrupt
                _interrupt_in(frame)
                return
            module = frame.f_globals.get("__name__", "")
            busy = busy or (module.startswith(GUARDED) and code.co_name not in OPEN)
            frame = frame.f_back
        self.early = True  # or late, and then nobody looks


@contextmanager
def interruptible() -> Iterator[Asked]:
    """Let SIGINT end the visitor's code that runs inside this, and nothing else."""
    asked = Asked()
    try:
        before = signal.signal(signal.SIGINT, asked.interrupt)
    except ValueError:  # not the main thread: natively, signals are not for it
        yield asked
        return
    trace = sys.gettrace()
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
        if sys.gettrace() is not trace:
            sys.settrace(trace)


def _interrupt_in(frame: FrameType) -> None:
    """Interrupt this frame as soon as it goes on. Python looks only where something is traced."""

    def now(frame: FrameType, _event: str, _argument: Any) -> None:
        frame.f_trace = None
        frame.f_trace_opcodes = False
        sys.settrace(None)
        raise KeyboardInterrupt

    frame.f_trace = now
    frame.f_trace_opcodes = True
    sys.settrace(_nothing)


def _nothing(_frame: FrameType, _event: str, _argument: Any) -> None:
    """What frames that begin meanwhile are traced with: not at all."""
