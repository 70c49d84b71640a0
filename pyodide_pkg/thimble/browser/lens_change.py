"""Changes that stand inside a model of the page's, what they do, and what its parts are worth.

Changes belong to a model: all its sessions follow, whichever panel they are of, and only one model
has any at a time, the one that the live session is on. What takes long comes as a job that is done
a little at a time, so that the worker can hear "cancel" in between.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import ContextError, OptionError
from ..lens.run import token_ids
from .ensemble_measure import passages_of
from .jobs import Jobs
from .lens_hooks import MEAN_STORIES, MOST_CHANGES, Change, Workshop, parse
from .lens_jobs import Grid, effect, patching, probes, ranking, writing
from .options import asked, sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model import Model
    from ..session import Session
    from .engine import Engine

TOP = 10
"""Tokens that are shown: those that are likeliest in either distribution."""


class Service:
    """What the worker asks as "lens_change.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._workshop: Workshop | None = None
        self._jobs = Jobs()

    # Standing changes

    def put(self, session: int, changes: str, text: str) -> int:
        """Let these changes (a JSON list) stand on a session's model, in place of those that did,
        here and on all other models; how many are on. `text`: what means are taken over.

        Raises OptionError for a change that this model cannot have; what stood then still stands.
        """
        model = self._engine.opened(session).model
        said = asked(changes)
        if not isinstance(said, list):
            raise OptionError(f"the changes are {said!r:.60}; a list is right")
        if len(said) > MOST_CHANGES:
            raise OptionError(f"there are {len(said)} changes; at most {MOST_CHANGES} can stand")
        parsed = [parse(one) for one in said]
        hooks = self._hooks(model, parsed, text) if parsed else []
        for other in self._engine.loaded.values():
            if other is not model and other.fwd_hooks:
                other.fwd_hooks = ()
        if hooks or model.fwd_hooks:
            model.fwd_hooks = hooks
        return sum(one.on for one in parsed)

    def _hooks(self, model: Model, changes: Sequence[Change], text: str) -> list[Any]:
        """Of those that are on; the others are checked all the same."""
        workshop = self._workshop
        if workshop is None or getattr(workshop.model, "base", None) is not model:
            workshop = self._workshop = Workshop(model.hooked(alone=True))
        if text.strip():
            workshop.stories = passages_of(text, [model])[:MEAN_STORIES]
        made = [(one, workshop.hooks(one)) for one in changes]
        return [hook for one, hooks in made for hook in hooks if one.on]

    def next(self, session: int, tokens: str) -> dict[str, Any]:
        """Next tokens after tokens (a JSON list), without the changes and with them.

        "rows" has [text, id, before, after], probabilities, the likeliest before first; "bits" how
        far the second is from the first (the Kullback-Leibler divergence, in bits).
        """
        model = self._engine.opened(session).model
        ids = _given(model, tokens)
        asked = [model.hooked(alone=True).session(), model.session()]
        try:
            for one in asked:
                one.append(ids)
            return _compared(model, *asked)
        finally:
            for one in asked:
                one.close()

    # What takes long

    def write(self, session: int, tokens: str, options: str) -> dict[str, Any]:
        """Get ready to go on with tokens (a JSON list) without the changes and with them."""
        model = self._engine.opened(session).model
        params, _ = sampling(asked(options))
        return self._jobs.begin(writing(model, _given(model, tokens), params))

    def effect(self, session: int, text: str, most: int) -> dict[str, Any]:
        """Get ready to measure the changes in bits per byte over `most` passages of a text."""
        model = self._engine.opened(session).model
        return self._jobs.begin(effect(model, self._stories(model, text, most)))

    def rank(self, session: int, text: str, most: int, estimate: bool = False) -> dict[str, Any]:
        """Get ready to rank every head by what switching it off costs over such passages, measured
        or estimated by gradients."""
        model = self._engine.opened(session).model
        return self._jobs.begin(ranking(model, self._stories(model, text, most), estimate=estimate))

    def probe(self, session: int) -> dict[str, Any]:
        """Get ready to score every head's pattern."""
        return self._jobs.begin(probes(self._engine.opened(session).model))

    def patch(self, session: int, question: str) -> dict[str, Any]:
        """Get ready for the map of a pair of prompts: JSON with "clean", "corrupted", "site",
        "estimate" and, as texts or empty, "answer" and "against"."""
        model = self._engine.opened(session).model
        return self._jobs.begin(patching(model, Grid.read(asked(question))))

    def tour(self, session: int, step: str, question: str, text: str) -> dict[str, Any]:
        """Get ready for a step of the guided tour; JSON with "clean", "corrupted", "answer" and
        "against". The changes that stand take no part in it."""
        from .lens_tour import tour

        model = self._engine.opened(session).model
        stories = passages_of(text, [model]) if text else []
        return self._jobs.begin(tour(model, step, asked(question), stories))

    def work(self, job: int, milliseconds: float) -> dict[str, Any]:
        """Go on for about so long; "result" is None until it is done."""
        return self._jobs.work(job, milliseconds)

    def end(self, job: int) -> None:
        """End a measurement, done or not."""
        self._jobs.end(job)

    def _stories(self, model: Model, text: str, most: int) -> list[str]:
        if most < 1:
            raise OptionError(f"{most} texts cannot be measured on; at least 1 is needed")
        return passages_of(text, [model])[:most]


def _given(model: Model, tokens: str) -> list[int]:
    """Tokens after which there is room for another."""
    ids = token_ids(model, asked(tokens))
    if len(ids) >= model.config.n_ctx:
        raise ContextError(
            f"the text has {len(ids):,} tokens, and this model's context holds "
            f"{model.config.n_ctx:,}: shorten it"
        )
    return ids


def _compared(model: Model, before: Session, after: Session) -> dict[str, Any]:
    tokens = [
        token
        for one in (before, after)
        for token, _ in one.token_logprob(0, top=min(TOP, model.config.n_vocab)).top
    ]
    token_bytes = model.tokenizer.token_bytes
    rows: list[list[Any]] = [
        [
            token_bytes(token).decode("utf-8", "replace"), token,
            math.exp(before.token_logprob(token).logprob),
            math.exp(after.token_logprob(token).logprob),
        ]
        for token in dict.fromkeys(tokens)
    ]  # fmt: skip
    rows = sorted(rows, key=lambda row: -max(row[2:]))[:TOP]
    rows.sort(key=lambda row: -row[2])
    return {"rows": rows, "bits": _divergence(before, after) if model.fwd_hooks else 0.0}


def _divergence(before: Session, after: Session) -> float:
    """Bits that the second distribution wastes on what the first says."""
    first, second = (_logprobs(one.logits()) for one in (before, after))
    nats = sum(math.exp(p) * (p - q) for p, q in zip(first, second, strict=True))
    return max(0.0, nats / math.log(2))


def _logprobs(logits: Sequence[float]) -> list[float]:
    most = max(logits)
    whole = most + math.log(sum(math.exp(x - most) for x in logits))
    return [x - whole for x in logits]
