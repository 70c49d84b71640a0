"""Where a session's constrained text began, so that one that was cut off can be continued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..constrain import Constraint, Grammar
from ..errors import OptionError

if TYPE_CHECKING:
    from .engine import SessionEntry

_NOTED = "constraint"
"""What a session has noted: (grammar, place) of the text that may be gone on with."""


def begins(opened: SessionEntry, grammar: Grammar, fresh: int, *, resumed: bool) -> int:
    """At which token of the session the grammar's text begins: at `fresh`, or, where a text of the
    same grammar is `resumed`, where that did. A text that is whole, or that was changed since so
    that the grammar does not have it any more, is not gone on with."""
    place = fresh
    noted = opened.extras.get(_NOTED)
    if (
        resumed
        and noted is not None
        and noted[0] == grammar
        and _goes_on(opened, grammar, noted[1])
    ):
        place = noted[1]
    stands(opened, grammar, place)
    return place


def stands(opened: SessionEntry, grammar: Grammar, place: int) -> None:
    """A text of this grammar, which began at `place`, may be gone on with."""
    opened.extras[_NOTED] = (grammar, place)


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
