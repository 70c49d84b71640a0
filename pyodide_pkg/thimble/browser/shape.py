"""Shapes of texts, as the page has them: whether one can be understood, and where its text began.

A text that was cut off goes on in the shape that it began: `begins` keeps the place with the
session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..constrain import Constraint, Grammar
from ..errors import OptionError

if TYPE_CHECKING:
    from .engine import Engine, SessionEntry

_KEPT = "shape"
"""What a session has noted: (grammar, place) of the text that may be gone on with."""


class Service:
    """What the worker asks as "shape.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self, kind: str, source: str) -> dict[str, Any]:
        """Whether a shape can be understood: `wrong` says why not, `at` where, in characters, if
        that is known; both are null where it can."""
        try:
            Grammar(kind, source)
        except OptionError as error:
            return {"wrong": str(error), "at": error.at}
        return {"wrong": None, "at": None}


def begins(opened: SessionEntry, grammar: Grammar, fresh: int, *, resumed: bool) -> int:
    """At which token of the session the grammar's text begins: at `fresh`, or, where a text of the
    same grammar is `resumed`, where that did. A text that is whole, or that was changed since so
    that the grammar does not have it any more, is not gone on with."""
    place = fresh
    kept = opened.extras.get(_KEPT)
    if resumed and kept is not None and kept[0] == grammar and _goes_on(opened, grammar, kept[1]):
        place = kept[1]
    stands(opened, grammar, place)
    return place


def stands(opened: SessionEntry, grammar: Grammar, place: int) -> None:
    """A text of this grammar, which began at `place`, may be gone on with."""
    opened.extras[_KEPT] = (grammar, place)


def _goes_on(opened: SessionEntry, grammar: Grammar, place: int) -> bool:
    tokens, tokenizer = opened.session.tokens, opened.model.tokenizer
    if place > len(tokens):
        return False
    at_start = all(tokenizer.is_special(token) for token in tokens[:place])
    constraint = Constraint(opened.model.kernel, tokenizer, grammar, place, at_start)
    try:
        return not constraint.complete(tokens)
    except OptionError:
        return False
