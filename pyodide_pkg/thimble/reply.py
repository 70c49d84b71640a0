"""An answer taken apart as it is written: thoughts, words, and calls of tools.

It is told text and tells parts. What may become a mark is held back until it is one or is not, so
that no part is ever taken back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .thinking import Marks
    from .tools import ToolFormat

_SPACE = re.compile(r"\s*\Z")


class Part(NamedTuple):
    """A piece of an answer. `kind` is "content", "reasoning", "call" (a tool is called, by its name
    `text`) or "arguments" (more of the JSON of the `call`-th)."""

    kind: str
    text: str
    call: int = 0


class Reply:
    """One answer. With `inside` it begins in the midst of a thought, as some prompts end with the
    mark; `names` are the tools that may be called as `form` says."""

    def __init__(
        self,
        *,
        marks: Marks | None = None,
        inside: bool = False,
        form: ToolFormat | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self._marks = marks
        self._form = form if names else None
        self._begins = (
            {form.before + name + form.between: name for name in names} if form and names else {}
        )
        self._state = "reasoning" if inside else "start"
        self._held = ""
        self._json = _Value()
        self._strip = True
        """Whether white space at the beginning of the part is left out."""
        self.calls = 0
        """How many calls have begun."""

    @property
    def thinking(self) -> bool:
        """Whether it stands in the midst of a thought."""
        return self._state == "reasoning"

    def push(self, text: str) -> list[Part]:
        """The parts that more text brings."""
        self._held += text
        parts: list[Part] = []
        while True:
            state, held, told = self._state, self._held, len(parts)
            getattr(self, f"_{self._state}")(parts)
            if (state, held, told) == (self._state, self._held, len(parts)):
                return _joined(parts)

    def flush(self) -> list[Part]:
        """What was held back, when nothing more comes."""
        parts: list[Part] = []
        held, self._held = self._held, ""
        kind = {"reasoning": "reasoning", "arguments": "arguments"}.get(self._state, "content")
        begun = self.calls > 0 and self._state in ("opening", "begin")
        if begun or self._state in ("behind", "after"):
            held = ""  # a part of what closes a call, or opens the next
        elif kind != "arguments" and (self._form or kind == "reasoning" or self._strip):
            held = held.rstrip() if not self._strip else held.strip()
        if held:
            parts.append(Part(kind, held, max(0, self.calls - 1)))
        return parts

    def _start(self, parts: list[Part]) -> None:
        """Before anything is said: a thought may come."""
        if self._marks is None:
            self._state, self._strip = "content", self._form is not None
            return
        said = self._held.lstrip()
        if said.startswith(self._marks.open):
            self._held = said[len(self._marks.open) :]
            self._state = "reasoning"
        elif said and not self._marks.open.startswith(said):
            self._state, self._strip = "content", self._form is not None

    def _reasoning(self, parts: list[Part]) -> None:
        assert self._marks is not None
        thought, found, rest = self._held.partition(self._marks.close)
        if found:
            self._tell(parts, "reasoning", thought.rstrip())
            self._held, self._state, self._strip = rest, "content", True
        else:
            self._release(parts, "reasoning", [self._marks.close], trim=True)

    def _content(self, parts: list[Part]) -> None:
        if self._form is None:
            self._release(parts, "content", [])
            return
        trigger = self._form.trigger
        before, found, _ = self._held.partition(trigger)
        if found:
            self._tell(parts, "content", before.rstrip())
            self._held = self._held[len(before) :]
            self._state = "opening" if self._form.open else "begin"
        else:
            self._release(parts, "content", [trigger], trim=True)

    def _opening(self, parts: list[Part]) -> None:
        assert self._form is not None
        self._expect(self._form.open, "begin")

    def _begin(self, parts: list[Part]) -> None:
        for begin, name in self._begins.items():
            if self._held.startswith(begin):
                parts.append(Part("call", name, self.calls))
                self.calls += 1
                self._held = self._held[len(begin) :]
                self._state, self._json = "arguments", _Value()
                return
        if not any(begin.startswith(self._held) for begin in self._begins):
            self._words(parts)

    def _arguments(self, parts: list[Part]) -> None:
        taken = self._json.feed(self._held)
        if taken:
            parts.append(Part("arguments", self._held[:taken], self.calls - 1))
            self._held = self._held[taken:]
        if self._json.whole:
            self._state = "after"

    def _after(self, parts: list[Part]) -> None:
        assert self._form is not None
        self._expect(self._form.after, "behind" if self._form.open else "content")

    def _behind(self, parts: list[Part]) -> None:
        """Another call in the same block, or its end."""
        assert self._form is not None
        separator, close = self._form.separator, self._form.close
        if separator and self._held.startswith(separator):
            self._held, self._state = self._held[len(separator) :], "begin"
        elif self._held.startswith(close):
            self._held, self._state, self._strip = self._held[len(close) :], "content", True

    def _expect(self, words: str, state: str) -> None:
        if self._held.startswith(words):
            self._held, self._state = self._held[len(words) :], state
            self._strip = True
        elif not words.startswith(self._held):
            self._state = "content_only"

    def _content_only(self, parts: list[Part]) -> None:
        """What looked like a call and is none: nothing after it is looked for."""
        self._release(parts, "content", [])

    def _words(self, parts: list[Part]) -> None:
        self._state = "content_only"

    def _tell(self, parts: list[Part], kind: str, text: str) -> None:
        if self._strip:
            text = text.lstrip()
        if text:
            self._strip = False
            parts.append(Part(kind, text))

    def _release(
        self, parts: list[Part], kind: str, marks: Sequence[str], *, trim: bool = False
    ) -> None:
        """Tell what is held but for what may become a mark, and, with `trim`, white space before
        one."""
        keep = 0
        for mark in marks:
            for n in range(min(len(mark) - 1, len(self._held)), keep, -1):
                if self._held.endswith(mark[:n]):
                    keep = n
                    break
        split = len(self._held) - keep
        if trim and (space := _SPACE.search(self._held, 0, split)):
            split = space.start()
        self._tell(parts, kind, self._held[:split])
        self._held = self._held[split:]


class _Value:
    """Finds the end of a JSON object or list as its text comes."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.whole = False

    def feed(self, text: str) -> int:
        """How many of these characters belong to it."""
        for at, letter in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                self._escaped = letter == "\\"
                self._quoted = letter != '"'
            elif letter == '"':
                self._quoted = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.whole = True
                    return at + 1
        return len(text)


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Neighbours of one kind as one."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last and part.kind != "call" and last[::2] == part[::2]:
            joined[-1] = last._replace(text=last.text + part.text)
        else:
            joined.append(part)
    return joined
