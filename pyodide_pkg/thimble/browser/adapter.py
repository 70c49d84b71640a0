"""An adapter on a model of the page's: put on, turned up and down, and what that does to the next
token. All sessions of the model follow, whichever panel they belong to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import ContextError, OptionError
from ..generation import prompt_ids
from ..json_text import parse_json
from .pool import JsBuffer

if TYPE_CHECKING:
    from ..model import Model
    from .engine import Engine

TOP = 8
"""Tokens that are shown of a distribution."""


class Service:
    """What the worker may ask as "adapter.…"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(
        self, session: int, name: str, file: JsBuffer | bytes, strength: float
    ) -> dict[str, Any] | None:
        """Put a file's adapter on a session's model, in place of one that is on."""
        model = self._engine.opened(session).model
        adapter = model.adapt(file if isinstance(file, bytes) else file.to_bytes(), strength)
        adapter.title = name
        return describe(model)

    def turn(self, session: int, strength: float) -> dict[str, Any] | None:
        """Let the adapter have this strength; where none is on, nothing happens."""
        model = self._engine.opened(session).model
        if model.adapter is not None:
            model.adapter.strength = strength
        return describe(model)

    def remove(self, session: int) -> None:
        """Take the adapter off."""
        adapter = self._engine.opened(session).model.adapter
        if adapter is not None:
            adapter.close()

    def describe(self, session: int) -> dict[str, Any] | None:
        """What is on the session's model; None for nothing."""
        return describe(self._engine.opened(session).model)

    def cost(self, session: int, recipe: str) -> dict[str, Any]:
        """What fine-tuning the session's model by a recipe will take: `refused` says why it cannot
        be. Raises OptionError for a recipe that is none."""
        choices = parse_json(recipe, "the recipe", OptionError)
        if not isinstance(choices, dict):
            raise OptionError(f"a recipe is a JSON object, not {recipe[:40]!r}")
        from ..train.cost import tuning_cost
        from .bring import LARGEST

        model = self._engine.opened(session).model
        cost = tuning_cost(model, choices, limit=LARGEST)
        return {
            "refused": cost.refused,
            "bytes": cost.nbytes,
            "seconds": cost.seconds,
        }

    def next(self, session: int, prompt: str) -> list[tuple[str, float]]:
        """The likeliest tokens after a prompt, as texts, with their probabilities."""
        model = self._engine.opened(session).model
        ids = prompt_ids(model, prompt, first=True)
        asked = model.session()
        try:
            if len(ids) >= asked.n_ctx:
                raise ContextError(
                    f"the text has {len(ids):,} tokens, and this model's context holds "
                    f"{asked.n_ctx:,}: shorten it"
                )
            asked.append(ids)
            top = asked.token_logprob(0, top=TOP).top
        finally:
            asked.close()
        token_bytes = model.tokenizer.token_bytes
        return [(token_bytes(i).decode("utf-8", "replace"), math.exp(p)) for i, p in top]


def describe(model: Model) -> dict[str, Any] | None:
    """What is on a model, for the page."""
    adapter = model.adapter
    if adapter is None:
        return None
    return {
        "name": adapter.title,
        "model": model.name,
        "strength": adapter.strength,
        "rank": adapter.file.rank,
        "parameters": adapter.file.n_params,
    }
