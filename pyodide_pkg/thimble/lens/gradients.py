"""What a text's loss has to do with each value of the pass over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..backward import Backward, passed
from ..errors import OptionError
from .cache import Cache
from .run import MOST_BYTES, Tokens, check_cost, token_ids
from .sites import Names, select

if TYPE_CHECKING:
    from ..model import Model


def gradients(
    model: Model, tokens: Tokens, names: Names = None, *, targets: Sequence[int] | None = None,
    toward: Sequence[float] | None = None, max_bytes: int = MOST_BYTES,
) -> tuple[float, Cache]:  # fmt: skip
    """Return the loss of a text or its ids, and its gradients with respect to values inside.

    The loss is the negative log-likelihood in nats of `targets`, one behind each token (-1: none);
    without them of the text's own next tokens. An encoder has none: there it is the similarity of
    the text with `toward`, a vector of `thimble.embed`. `names` as in `run_with_cache`; all values
    that have a gradient without it. Raises OptionError for a name without one, MemoryLimitError for
    more than `max_bytes`, UnsupportedError for an operation that gradients do not pass.
    """
    ids = token_ids(model, tokens)
    known = passed(model.config)
    wanted = [name for name in select(model.config, names) if names is not None or name in known]
    without = sorted(set(wanted) - set(known))
    if without:
        raise OptionError(f"{without[0]!r} has no gradient here; {known[-2]!r} has one")
    check_cost(model, len(ids), wanted, max_bytes)
    if model.config.features.causal == (toward is not None):
        raise OptionError(
            "`toward` is for encoders, whose vector has a direction; they need it, and others none"
        )
    backward = Backward(model, len(ids))
    try:
        if toward is None:
            chosen = [*ids[1:], -1] if targets is None else list(targets)
            found = backward.loss(ids, chosen, keep=wanted)
        else:
            found = _similarity(backward, ids, toward, wanted)
    finally:
        backward.close()
    return found, Cache(model, tuple(ids), {name: backward.kept[name] for name in wanted})


def _similarity(
    backward: Backward, ids: Sequence[int], toward: Sequence[float], keep: Sequence[str]
) -> float:
    """Of a text's vector v, which has any length, with `toward`, u: v u / |v|, whose gradient is
    (u - v (v u) / |v|^2) / |v|."""
    vector = backward.vector(ids, toward)
    length = math.sqrt(math.fsum(x * x for x in vector))
    found = math.fsum(x * u for x, u in zip(vector, toward, strict=True)) / length
    across = [(u - x * found / length) / length for x, u in zip(vector, toward, strict=True)]
    backward.vector(ids, across, keep=keep)
    return found
