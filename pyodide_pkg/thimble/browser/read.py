"""Reading a given text: how expected each of its tokens was. Nothing is generated.

It reads in a session of its own, so the page's live session stays as it is, and a little at a time,
so that the worker can hear "cancel" in between. Like `thimble.evaluate_text` it begins with the
model's BOS token where there is one; without one the first token is not predicted, and its bytes do
not count. A text longer than the context is read in windows: when the context is full, it begins
again with BOS and the last half of what was read, so that from then on every token has at least
half a context before it, each is predicted once, and a long text costs twice the tokens.
"""

from __future__ import annotations

import itertools
import math
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..kernel import BATCH, MAX_TOP
from ..tokenizer import StreamDecoder

if TYPE_CHECKING:
    from ..model import Model
    from ..sampling import Choice
    from ..session import Session
    from .engine import Engine

MOST_CHARACTERS = 1_000_000
"""Of a text: at most so many tokens, whose alternatives take 80 MB."""
EXCERPT = 60
"""Characters of a line that stand for it in a list."""


@dataclass(slots=True)
class Part:
    """A line of the text with the empty ones after it: tokens `start` to `end`."""

    start: int
    end: int
    nats: float = 0.0
    bytes: int = 0
    """Of the tokens that were predicted."""
    blank: bool = True
    over: bool = False
    """Its line end has come: only what is blank still belongs to it."""


@dataclass(slots=True)
class Reading:
    """A text on its way through the model. Lists and arrays grow by one entry a token read."""

    model: Model
    ids: list[int]
    top: int
    session: Session
    work: Iterator[None] = field(default_factory=lambda: iter(()))
    texts: list[str] = field(default_factory=list)
    logprobs: array[float] = field(default_factory=lambda: array("f"))
    """NaN where nothing came before that could predict the token."""
    entropies: array[float] = field(default_factory=lambda: array("f"))
    top_ids: array[int] = field(default_factory=lambda: array("i"))
    top_logprobs: array[float] = field(default_factory=lambda: array("f"))
    parts: list[Part] = field(default_factory=list)
    nats: float = 0.0
    bytes: int = 0


class Service:
    """What the worker asks as "read.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readings: dict[int, Reading] = {}
        self._numbers = itertools.count(1)

    def begin(self, session: int, text: str, top: int) -> dict[str, Any]:
        """Get ready to read `text` with the model of a session; `step` does the work.

        `top` alternatives are kept with each token. Raises OptionError for a text that is empty,
        too long or not well-formed.
        """
        model = self._engine.opened(session).model
        if not text:
            raise OptionError("the text is empty: there is nothing to read")
        if len(text) > MOST_CHARACTERS:
            raise OptionError(
                f"the text has {len(text):,} characters; at most {MOST_CHARACTERS:,} can be read "
                "at a time"
            )
        if not 0 <= top <= MAX_TOP:
            raise OptionError(f"top is {top}; it must be from 0 to {MAX_TOP}")
        ids = model.tokenizer.encode(text, add_special=False)
        bos = model.tokenizer.bos_id
        if len(ids) < (2 if bos is None else 1):
            raise OptionError(
                f"the text {text[:EXCERPT]!r} has nothing to predict: it needs at least two tokens"
            )
        reading = Reading(model, ids, min(top, model.config.n_vocab), model.session())
        reading.work = _read(reading)
        number = next(self._numbers)
        self._readings[number] = reading
        return {"reading": number, "tokens": len(ids), "window": reading.session.n_ctx}

    def step(self, reading: int, milliseconds: float, start: int, end: int) -> dict[str, Any]:
        """Read on for about so long, for one batch at least.

        The answer has the rows of the tokens that were read and are from `start` to `end`, which
        are the ones that the page shows.
        """
        found = self._reading(reading)
        before = len(found.logprobs)
        until = time.perf_counter() + milliseconds / 1000
        for _ in found.work:
            if time.perf_counter() >= until:
                break
        done = len(found.logprobs)
        return {
            "done": done,
            "total": len(found.ids),
            "nats": found.nats,
            "bytes": found.bytes,
            "rows": self.rows(reading, max(before, start), min(done, end)),
        }

    def rows(self, reading: int, start: int, end: int) -> list[list[Any]]:
        """[text, id, logprob, entropy, [[id, text, logprob], ...]] of tokens that were read; null
        for logprob and entropy where nothing came before the token."""
        found = self._reading(reading)
        return [_row(found, at) for at in range(start, min(end, len(found.logprobs)))]

    def parts(self, reading: int) -> list[list[Any]]:
        """[first token, end, bytes, nats, how it begins] of every line that is not empty."""
        found = self._reading(reading)
        answer: list[list[Any]] = []
        for part in found.parts:
            words = "".join(found.texts[part.start : part.end]).strip()
            shown = words if len(words) <= EXCERPT else f"{words[: EXCERPT - 1]}…"
            answer.append([part.start, part.end, part.bytes, part.nats, shown])
        return answer

    def close(self, reading: int) -> None:
        """Stop reading and forget what was read."""
        found = self._readings.pop(reading, None)
        if found is not None:
            found.work = iter(())
            found.session.close()

    def _reading(self, number: int) -> Reading:
        if number not in self._readings:
            raise OptionError(f"there is no reading {number}; it was closed or never begun")
        return self._readings[number]


def _read(reading: Reading) -> Iterator[None]:
    """Read to the end, a batch at a time."""
    ids, session = reading.ids, reading.session
    decoder = StreamDecoder(reading.model.tokenizer, skip_special=False, at_start=True)
    at = 0
    yield from _begin_window(reading, at)
    while at < len(ids):
        if len(session) == session.n_ctx:
            yield from _begin_window(reading, at)
        batch = ids[at : at + min(BATCH, session.n_ctx - len(session))]
        choices: list[Choice | None] = list(session.score(batch, top=reading.top))
        if len(choices) < len(batch):
            choices.insert(0, None)  # the session was empty
        for token, choice in zip(batch, choices, strict=True):
            _note(reading, token, choice, decoder.push(token))
        at += len(batch)
        yield
    reading.texts[-1] += decoder.flush()
    session.close()


def _begin_window(reading: Reading, at: int) -> Iterator[None]:
    """An empty context with BOS and, from the second window on, the last half of what was read."""
    session, bos = reading.session, reading.model.tokenizer.bos_id
    session.rollback(0)
    first = [] if bos is None else [bos]
    kept = max(0, session.n_ctx // 2 - len(first)) if at else 0
    context = first + reading.ids[at - kept : at]
    for start in range(0, len(context), BATCH):
        session.append(context[start : start + BATCH])
        yield


def _note(reading: Reading, token: int, choice: Choice | None, text: str) -> None:
    """Keep what was found out about the next token."""
    reading.texts.append(text)
    reading.logprobs.append(math.nan if choice is None else choice.logprob)
    reading.entropies.append(math.nan if choice is None else choice.entropy)
    for n in range(reading.top):
        other, logprob = (0, math.nan) if choice is None else choice.top[n]
        reading.top_ids.append(other)
        reading.top_logprobs.append(logprob)
    part = _part(reading, text)
    if choice is None:
        return
    size = len(reading.model.tokenizer.token_bytes(token))
    reading.nats -= choice.logprob
    reading.bytes += size
    part.nats -= choice.logprob
    part.bytes += size


def _part(reading: Reading, text: str) -> Part:
    """The line that the next token belongs to: a new one where the one before has ended."""
    parts, blank = reading.parts, not text.strip()
    if not parts or (parts[-1].over and not blank):
        start = parts[-1].end if parts else 0
        parts.append(Part(start, start))
    part = parts[-1]
    part.blank = part.blank and blank
    part.over = part.over or ("\n" in text and not part.blank)
    part.end += 1
    return part


def _row(reading: Reading, at: int) -> list[Any]:
    token, logprob = reading.ids[at], reading.logprobs[at]
    if math.isnan(logprob):
        return [reading.texts[at], token, None, None, []]
    tokenizer, first = reading.model.tokenizer, at * reading.top
    places = range(first, first + reading.top)
    top = [
        [
            other,
            tokenizer.token_bytes(other).decode("utf-8", "replace"),
            reading.top_logprobs[place],
        ]
        for place in places
        for other in (reading.top_ids[place],)
    ]
    return [reading.texts[at], token, logprob, reading.entropies[at], top]
