"""What a text's loss has to do with each value of the pass over it."""

from __future__ import annotations

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
    max_bytes: int = MOST_BYTES,
) -> tuple[float, Cache]:  # fmt: skip
    """Return the loss of a text or its ids, and its gradients with respect to values inside.

    The loss is the negative log-likelihood in nats of `targets`, one behind each token (-1: none);
    without them of the text's own next tokens. `names` as in `run_with_cache`; all values that have
    a gradient without it. Raises OptionError for a name without one, MemoryLimitError for more than
    `max_bytes`, UnsupportedError for a model with an operation that gradients do not pass.
    """
    ids = token_ids(model, tokens)
    known = passed(model.config)
    wanted = [name for name in select(model.config, names) if names is not None or name in known]
    without = sorted(set(wanted) - set(known))
    if without:
        raise OptionError(f"{without[0]!r} has no gradient here; {known[-2]!r} has one")
    check_cost(model, len(ids), wanted, max_bytes)
    backward = Backward(model, len(ids))
    try:
        chosen = [*ids[1:], -1] if targets is None else list(targets)
        nats = backward.loss(ids, chosen, keep=wanted)
    finally:
        backward.close()
    return nats, Cache(model, tuple(ids), {name: backward.kept[name] for name in wanted})
