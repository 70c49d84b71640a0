"""Thoughts: what a model writes to itself before it answers, and whether it does.

Between which marks they stand, and whether the template has a switch (`enable_thinking`), is told
from the template. Where it has none, an answer without thoughts begins behind an empty block, as
Qwen3's own template writes it. A budget closes a thought after so many tokens, so that an answer
follows within what may be written.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .tokenizer import StreamDecoder

if TYPE_CHECKING:
    from .chat import ChatTemplate
    from .tokenizer import Tokenizer

SWITCH = "enable_thinking"
EFFORTS = ("none", "minimal", "low", "medium", "high")


class Marks(NamedTuple):
    """What thoughts begin and end with."""

    open: str
    close: str


KNOWN = (
    Marks("<think>", "</think>"),
    Marks("[THINK]", "[/THINK]"),
    Marks("<|START_THINKING|>", "<|END_THINKING|>"),
    Marks("<seed:think>", "</seed:think>"),
    Marks("<|inner_prefix|>", "<|inner_suffix|>"),
)


def marks_of(template: ChatTemplate) -> Marks | None:
    """The marks that a template speaks of."""
    return next((marks for marks in KNOWN if marks.close in template.source), None)


def ending(
    prompt: str, marks: Marks | None, thinking: bool | None, *, switched: bool = False
) -> str:
    """What an answer begins with where it shall have no thoughts: what is open is closed, and what
    the model might open has been, unless the template is `switched`, which says so in its way."""
    if thinking is not False or marks is None:
        return ""
    said = prompt.rstrip()
    if said.endswith(marks.open):
        return ("" if prompt.endswith("\n") else "\n") + f"\n{marks.close}\n\n"
    return "" if switched or said.endswith(marks.close) else f"{marks.open}\n\n{marks.close}\n\n"


class Budget:
    """Closes a thought that has `most` tokens: called with a session's tokens, it names the one
    that must come next, or None where the model chooses.

    The answer begins at `start`, with `inside` in the midst of a thought.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        marks: Marks,
        most: int,
        *,
        start: int,
        inside: bool,
        shown: frozenset[int] = frozenset(),
    ) -> None:
        self._tokenizer, self._marks, self._most, self._shown = tokenizer, marks, most, shown
        self._start, self._inside = start, inside
        self._close = tokenizer.encode(f"\n{marks.close}\n\n", parse_special=True)
        self._begin()

    def _begin(self) -> None:
        self._read = self._start
        self._decoder = StreamDecoder(self._tokenizer, at_start=False, shown=self._shown)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._thought: int | None = self._start if self._inside else None
        """Where the thought's own tokens begin."""
        self._closing: int | None = None
        self._over = False

    def __call__(self, tokens: Sequence[int]) -> int | None:
        if len(tokens) < self._read:
            self._begin()
        while self._read < len(tokens) and not self._over:
            self._push(tokens[self._read])
        if self._over or self._thought is None:
            return None
        # Half a character is written to its end.
        is_whole = not self._utf8.getstate()[0]
        if self._closing is None and is_whole and len(tokens) - self._thought >= self._most:
            self._closing = len(tokens)
        if self._closing is None:
            return None
        return self._close[len(tokens) - self._closing]

    def _push(self, token: int) -> None:
        self._text += self._utf8.decode(self._decoder.next_bytes(token))
        self._read += 1
        if self._closing is not None:
            self._over = self._read - self._closing >= len(self._close)
        elif self._thought is not None:
            self._over = self._marks.close in self._text
            self._text = self._text[-len(self._marks.close) :]
        else:
            said, mark = self._text.lstrip(), self._marks.open
            if said.startswith(mark):
                self._thought, self._text = self._read, said[len(mark) :]
            else:
                self._over = bool(said) and not mark.startswith(said)
