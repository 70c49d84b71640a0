"""Where a run stops: before a token is taken, when it is known which one it would be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..sampling import Choice

if TYPE_CHECKING:
    from ..tokenizer import Tokenizer

KINDS = ("token", "text", "entropy", "probability", "position")
LONGEST = 1000
"""Characters of a text that is watched for."""


@dataclass(slots=True)
class Breakpoint:
    """One of KINDS and what it compares with.

    "token": this id is chosen; "text": the token completes this string; "entropy": the model's is
    above this, in nats; "probability": the chosen token's, by the model, is below this;
    "position": the text has so many tokens, prompt included.
    """

    number: int
    kind: str
    value: int | float | str
    on: bool = True


class Breakpoints:
    """All of a debugger's breakpoints, in the order in which they were set."""

    def __init__(self, tokenizer: Tokenizer, n_ctx: int) -> None:
        self._tokenizer = tokenizer
        self._n_ctx = n_ctx
        self._all: dict[int, Breakpoint] = {}
        self._next = 1

    def add(self, kind: str, value: object) -> Breakpoint:
        """Set one. Raises OptionError for a kind or a value that there is not."""
        made = Breakpoint(self._next, kind, self._checked(kind, value))
        self._all[made.number] = made
        self._next += 1
        return made

    def switch(self, number: int, on: bool) -> None:
        """Switch one off, or on again."""
        self._one(number).on = on

    def remove(self, number: int) -> None:
        """Forget one."""
        del self._all[self._one(number).number]

    def list(self) -> list[Breakpoint]:
        return [*self._all.values()]

    def hit(self, choice: Choice, tokens: tuple[int, ...]) -> Breakpoint | None:
        """The first breakpoint that stops before `choice` is taken after `tokens`."""
        for one in self._all.values():
            if one.on and self._meets(one, choice, tokens):
                return one
        return None

    def _meets(self, one: Breakpoint, choice: Choice, tokens: tuple[int, ...]) -> bool:
        value = one.value
        if isinstance(value, str):
            return self._completes(value.encode(), choice.id, tokens)
        if one.kind == "token":
            return choice.id == value
        if one.kind == "entropy":
            return choice.entropy > value
        if one.kind == "probability":
            return math.exp(choice.logprob) < value
        return len(tokens) == value

    def _completes(self, wanted: bytes, token: int, tokens: tuple[int, ...]) -> bool:
        """Whether the text with `token` has `wanted` where the text without it does not."""
        last = self._bytes(token)
        if not last:
            return False
        # What ends inside of the new token begins fewer bytes before it than `wanted` has.
        before, at = b"", len(tokens)
        while at > 0 and len(before) < len(wanted) - 1:
            at -= 1
            before = self._bytes(tokens[at]) + before
        return wanted in before[max(0, len(before) - len(wanted) + 1) :] + last

    def _bytes(self, token: int) -> bytes:
        return b"" if self._tokenizer.is_special(token) else self._tokenizer.token_bytes(token)

    def _one(self, number: int) -> Breakpoint:
        if number not in self._all:
            raise OptionError(f"there is no breakpoint {number!r}; there are {sorted(self._all)}")
        return self._all[number]

    def _checked(self, kind: str, value: object) -> int | float | str:
        if kind == "token":
            return _whole("a token id", value, self._tokenizer.n_vocab - 1)
        if kind == "position":
            return _whole("a position", value, self._n_ctx)
        if kind == "entropy":
            return _real("an entropy in nats", value, math.log(self._tokenizer.n_vocab))
        if kind == "probability":
            return _real("a probability", value, 1.0)
        if kind == "text":
            if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
                raise OptionError(f"a text to stop at has 1 to {LONGEST} characters, not {value!r}")
            return value
        raise OptionError(f"there is no breakpoint on {kind!r}; there are {', '.join(KINDS)}")


def _whole(name: str, value: object, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
        raise OptionError(f"{name} is a whole number from 0 to {high}, not {value!r}")
    return value


def _real(name: str, value: object, high: float) -> float:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or not 0.0 <= value <= high:  # type: ignore[operator]
        raise OptionError(f"{name} is a number from 0 to {high:.4g}, not {value!r}")
    return float(value)  # type: ignore[arg-type]
