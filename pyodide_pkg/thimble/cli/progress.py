"""A progress bar on standard error, for whoever waits longer than two seconds at a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

DELAY = 2.0
"""Seconds before a bar appears."""
INTERVAL = 0.1
"""Seconds between two drawings."""
WIDTH = 30
"""Characters of the bar alone."""


class ProgressBar:
    """Call it with (done, total); it is wiped away at the end of the `with` block."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._next = time.monotonic() + DELAY
        self._drawn = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next or not sys.stderr.isatty():
            return
        self._next, self._drawn = now + INTERVAL, True
        part = min(done / total, 1.0) if total > 0 else 0.0
        bar = "#" * round(part * WIDTH)
        sys.stderr.write(f"\r{self._label} [{bar:-<{WIDTH}}] {part:4.0%}")
        sys.stderr.flush()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
