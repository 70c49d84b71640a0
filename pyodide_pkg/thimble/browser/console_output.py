"""What the console shows: text as it is printed, values, pictures; cut where it becomes too long.

It hands everything to one function of the page's, `hear(kind, text, words)`, and does not know how
it is shown.
"""

from __future__ import annotations

import base64
import contextlib
import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

LONGEST = 100_000
"""Characters that one run may show; a page of megabytes helps nobody and freezes."""
PROMPT_LINES = 200
"""So many lines of a run go out as they come; from then on they are gathered."""
PACE = 0.05
"""Seconds between two messages where they are gathered."""
LARGEST_PICTURE = 2 << 20
"""Bytes of a picture that a page still shows at once."""

Hear = Callable[[str, str, str], object]
"""`hear(kind, text, words)`. Kinds: "out", "err", "value", "trace", "note"; "picture", whose text
is its address (data:) and whose words are what it shows."""


class Output:
    """Everything that one run shows."""

    def __init__(self, hear: Hear, clock: Callable[[], float] = time.perf_counter) -> None:
        self._hear = hear
        self._clock = clock
        self._kind = ""
        self._waiting: list[str] = []
        self._shown = 0
        self._left_out = 0
        self._messages = 0
        self._last = clock()

    def write(self, kind: str, text: str) -> None:
        """Show text at once, or soon when there is much of it."""
        left = LONGEST - self._shown
        if len(text) > left:
            self._left_out += len(text) - left
            text = text[:left]
        if not text:
            return
        self._shown += len(text)
        if kind != self._kind:
            self.flush()
            self._kind = kind
        self._waiting.append(text)
        prompt = self._messages < PROMPT_LINES and text.endswith("\n")
        if prompt or self._clock() - self._last >= PACE:
            self.flush()

    def picture(self, address: str, words: str) -> None:
        """Show a picture."""
        self.flush()
        self._hear("picture", address, words)

    def flush(self) -> None:
        """Let go of what waits."""
        text, self._waiting = "".join(self._waiting), []
        if text:
            self._messages += 1
            self._last = self._clock()
            self._hear(self._kind, text, "")

    def finish(self) -> None:
        """Nothing more comes: say how much was left out."""
        self.flush()
        if self._left_out:
            self._hear("note", f"{self._left_out:,} more characters are not shown", "")

    @contextlib.contextmanager
    def redirected(self) -> Iterator[None]:
        """What is printed inside this comes here; whoever asks for the keyboard is told."""
        before = sys.stdin
        sys.stdin = _NoKeyboard()
        out, err = _Stream(self, "out"), _Stream(self, "err")
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield
        finally:
            sys.stdin = before


class _Stream(io.TextIOBase):
    """A text file that shows what is written to it."""

    encoding = "utf-8"

    def __init__(self, output: Output, kind: str) -> None:
        self._output = output
        self._kind = kind

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"text is wanted, not {type(text).__name__}")
        self._output.write(self._kind, text)
        return len(text)

    def flush(self) -> None:
        self._output.flush()


class _NoKeyboard(io.TextIOBase):
    """Reading would stop the engine until the visitor had typed, and the page with it."""

    def readable(self) -> bool:
        return True

    def readline(self, _size: int | None = -1, /) -> str:  # type: ignore[override]
        raise OSError("this console cannot wait for the keyboard: give the text a name instead")

    read = readline


def picture_of(value: Any) -> tuple[str, str] | None:
    """A value that can show itself as SVG or PNG: its address and what it shows; None for others.

    Raises ValueError for a picture that is none. The page shows it as an image, so that no script
    in it runs and nothing is fetched.
    """
    if isinstance(value, type):
        return None  # the class has the method too, but nothing to show
    for method, kind, encode in (
        ("_repr_svg_", "image/svg+xml", _svg),
        ("_repr_png_", "image/png", _png),
    ):
        show = getattr(value, method, None)
        made = show() if callable(show) else None
        if made is None:
            continue
        data = encode(made)
        if len(data) > LARGEST_PICTURE:
            raise ValueError(
                f"{method} gave {len(data):,} bytes; at most {LARGEST_PICTURE:,} can be shown"
            )
        return f"data:{kind};base64,{base64.b64encode(data).decode()}", _words(value, data)
    return None


def _svg(made: object) -> bytes:
    if not isinstance(made, str) or "<svg" not in made:
        raise ValueError(f"_repr_svg_ must give the text of an <svg>, not {made!r:.60}")
    return made.encode()


def _png(made: object) -> bytes:
    # Jupyter's convention allows the bytes, or their Base64.
    data = base64.b64decode(made) if isinstance(made, str) else made
    if not isinstance(data, bytes) or not data.startswith(b"\x89PNG"):
        raise ValueError(f"_repr_png_ must give the bytes of a PNG file, not {made!r:.60}")
    return data


def _words(value: object, data: bytes) -> str:
    """What a picture shows, for those who do not see it: its own title, else what made it."""
    title = re.search(rb"<title[^>]*>([^<]+)</title>", data[:4096])
    if title:
        from html import unescape

        return unescape(title[1].decode("utf-8", "replace")).strip()
    return f"Picture of {type(value).__name__}"
