"""What the Claims panel asks that no other service answers: a head switched off, and what it costs.

The head is chosen by measuring, not by name, so that any model can be asked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from .ensemble_measure import passages_of

if TYPE_CHECKING:
    from ..model import Model
    from .engine import Engine

PASSAGES = 12
"""Of a text, from its beginning: more would only make the visitor wait."""


@dataclass(slots=True)
class Ablation:
    """A measurement under way."""

    steps: Iterator[int]
    total: int
    done: int = 0
    result: dict[str, Any] = field(default_factory=dict)


class Service:
    """What the worker asks as "claims.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ablation: Ablation | None = None

    def ablate(self, session: int, text: str) -> dict[str, int]:
        """Get ready to switch off the head that looks at the token before most, and to read the
        text's first passages with it and without; `work` does it, one passage at a time."""
        model = self._engine.opened(session).model
        stories = passages_of(text, [model])[:PASSAGES]
        self.end()
        made = Ablation(iter(()), 1 + len(stories))
        made.steps = _ablate(model, stories, made.result)
        self._ablation = made
        return {"total": made.total}

    def work(self, milliseconds: float) -> dict[str, Any]:
        """Go on for about so long; "result" is None until it is done."""
        found = self._ablation
        if found is None:
            raise OptionError("there is no head being measured; it was ended or never begun")
        until = time.perf_counter() + milliseconds / 1000
        try:
            for done in found.steps:
                found.done = done
                if time.perf_counter() >= until:
                    break
        except BaseException:
            self.end()
            raise
        over = found.done >= found.total
        if over:
            self.end()
        return {
            "done": found.done, "total": found.total, "result": found.result if over else None,
        }  # fmt: skip

    def end(self) -> None:
        """End the measurement, done or not, and give its memory back."""
        found, self._ablation = self._ablation, None
        if found is not None and isinstance(found.steps, Generator):
            found.steps.close()


def _ablate(model: Model, stories: list[str], result: dict[str, Any]) -> Iterator[int]:
    """Yields how much is done; fills `result` with the head, and [bytes, nats before, nats after,
    seconds of the changed pass] of each passage."""
    from ..lens.effects import Scorer
    from ..lens.interventions import ablate_heads
    from ..lens.probes import detect_heads

    began = time.perf_counter()
    layer, head, score = detect_heads(model).best("previous_token")
    result |= {
        "layer": layer, "head": head, "score": score,
        "search": time.perf_counter() - began, "passages": [],
    }  # fmt: skip
    yield 1
    scorer = Scorer(model, stories)
    hooks = ablate_heads(model, [(layer, head)])
    for at, ids in enumerate(scorer.texts):
        before = scorer.read(at)
        started = time.perf_counter()
        after = scorer.changed(at, hooks)
        seconds = time.perf_counter() - started
        scorer.forget(at)
        size = sum(len(model.tokenizer.token_bytes(token)) for token in ids[1:])
        result["passages"].append([size, before, after, seconds])
        if at + 1 < len(scorer.texts):
            yield 2 + at
    nats = [math.fsum(row[column] for row in result["passages"]) for column in (1, 2)]
    result["bits"] = [scorer.bits_per_byte(value) for value in nats]
    yield 1 + len(stories)
