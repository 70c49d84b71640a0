"""The weights of a mixture, fitted to a text by expectation maximisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from .byte_level import byte_choices
from .combined import check_each, same_vocabulary
from .errors import OptionError
from .evaluate import MAX_TOKENS, story_choices
from .language_model import LanguageModel


def fit_weights(
    members: Sequence[LanguageModel],
    stories: Sequence[str],
    *,
    rounds: int = 50,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[float, ...]:
    """The weights of the mixture that gives the stories the most probability, by expectation
    maximisation (Dempster, Laird & Rubin 1977); `progress(done, total)` counts members, or
    stories where the members are read by bytes.

    The likelihood is concave in the weights, so the start does not matter.
    """
    check_each(members)
    columns = list(_probabilities(members, stories, progress))
    rows = list(zip(*columns, strict=True))
    if not rows:
        raise OptionError("the text has nothing to predict: it needs at least two tokens")
    weights = [1.0 / len(members)] * len(members)
    for _ in range(rounds):
        weights = better_weights(weights, rows)
    return tuple(weights)


def _probabilities(
    members: Sequence[LanguageModel],
    stories: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> Iterator[list[float]]:
    """What each member gives to every token of the stories; or to every byte, where their tokens
    differ."""
    if not all(same_vocabulary(members[0], member) for member in members[1:]):
        yield from byte_choices(members, stories, MAX_TOKENS, progress)
        return
    n_ctx = min(member.config.n_ctx for member in members)
    for done, member in enumerate(members, 1):
        found = (choice for story in stories for choice in story_choices(member, story, n_ctx))
        yield [math.exp(choice.logprob) for choice in found]
        if progress:
            progress(done, len(members))


def better_weights(weights: Sequence[float], rows: Sequence[Sequence[float]]) -> list[float]:
    """One round of `fit_weights`: each row has what the members gave to one token."""
    taken = [0.0] * len(weights)
    for row in rows:
        shares = [weight * p for weight, p in zip(weights, row, strict=True)]
        total = sum(shares)
        for index, share in enumerate(shares):
            taken[index] += share / total if total > 0.0 else 1.0 / len(weights)
    return [share / len(rows) for share in taken]
