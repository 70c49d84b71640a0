"""Passes with a look inside: `run_with_cache`, `run_with_hooks`.

The names and what they mean are TransformerLens'; there is no batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from ..errors import ContextError, MemoryLimitError, OptionError, UnsupportedError
from ..plan import compile_plan
from ..state import State
from .cache import Cache
from .forward import Forward, Pass
from .hooks import FwdHooks, Hooks
from .sites import Names, select, shape
from .tensor import Array, to_array

if TYPE_CHECKING:
    from ..model import Model

MOST_BYTES = 256 << 20
"""That a capture may take unless told otherwise."""

Tokens = str | Sequence[int]


def run_with_cache(
    model: Model,
    tokens: Tokens,
    names: Names = None,
    *,
    fwd_hooks: FwdHooks = (),
    last_only: bool = False,
    max_bytes: int = MOST_BYTES,
) -> tuple[Array, Cache]:
    """Run the model over a text or its ids; return (logits [pos, d_vocab], the cache). An encoder
    has its vector [1, d_model], not yet of length 1, in the place of logits.

    `names`: which values, by name, by functions of a name, or a list of these; all without it.
    With `last_only` the logits are those of the last position, [1, d_vocab]. Hooks see the values
    first, and the cache holds what they left. Raises MemoryLimitError, before anything is computed,
    where the values would take more than `max_bytes`; OptionError for a name that there is not.
    """
    ids = token_ids(model, tokens)
    wanted = select(model.config, names)
    check_cost(model, len(ids), wanted, max_bytes)
    hooks = all_hooks(model, fwd_hooks)
    config = model.config
    last_only = last_only or not config.features.causal
    logits, result = "last" if last_only else "all", compile_plan(config).result
    values = run_pass(model, Pass(ids, hooks, frozenset((*wanted, result)), logits))
    rows = 1 if last_only else len(ids)
    width = config.n_vocab if config.features.causal else config.dim
    found = to_array(values[result], (rows, width))
    ordered = {name: values[name] for name in wanted}
    return found, Cache(model, tuple(ids), ordered)


def run_with_hooks(
    model: Model, tokens: Tokens, fwd_hooks: FwdHooks = (), *, last_only: bool = False
) -> Array:
    """Run the model over a text or its ids with hooks, (name or function of names, function) pairs;
    return the logits, [pos, d_vocab], or [1, d_vocab] with `last_only`.

    A function gets (array, hook) and changes the array in place or returns another; `hook.name` and
    `hook.layer()` say where it stands. Raises HookError where one fails, or leaves NaN, an infinity
    or another shape.
    """
    return run_with_cache(model, tokens, (), fwd_hooks=fwd_hooks, last_only=last_only)[0]


def cost(model: Model, n_tokens: int, names: Names = None) -> dict[str, int]:
    """Bytes that each value of a pass over so many tokens takes."""
    config = model.config
    return {
        name: 4 * prod(shape(config, name, n_tokens, n_tokens)) for name in select(config, names)
    }


def check_cost(model: Model, n_tokens: int, names: Sequence[str], max_bytes: int) -> None:
    """Raise MemoryLimitError where a capture would take more than it may."""
    costs = cost(model, n_tokens, names) if names else {}
    total = sum(costs.values())
    if total <= max_bytes:
        return
    kinds: dict[str, int] = {}
    for name, size in costs.items():
        kind = name.rpartition(".")[2]
        kinds[kind] = kinds.get(kind, 0) + size
    most = sorted(kinds, key=lambda kind: -kinds[kind])[:3]
    listed = ", ".join(f"{kind} {kinds[kind]:,}" for kind in most)
    raise MemoryLimitError(
        f"keeping {len(costs)} values of {n_tokens} tokens takes {total:,} bytes, more than "
        f"max_bytes={max_bytes:,} (the most of it: {listed}); name fewer values, take fewer "
        "tokens, or say a larger max_bytes"
    )


def token_ids(model: Model, tokens: Tokens) -> list[int]:
    """The ids of a text, with the model's BOS token in front, or those that are given, checked."""
    _ = model.weights  # there are none to look into where it is made of others
    if isinstance(tokens, str):
        ids = model.tokenizer.encode(tokens, add_special=True)
    else:
        ids = [int(token) for token in tokens]
    config = model.config
    if not ids:
        raise OptionError("there are no tokens; a text or at least one id is wanted")
    outside = [token for token in ids if not 0 <= token < config.n_vocab]
    if outside:
        raise OptionError(f"token id {outside[0]} is not in the vocabulary of {config.n_vocab}")
    if len(ids) > config.n_ctx:
        raise ContextError(
            f"the text has {len(ids):,} tokens and the context holds {config.n_ctx:,}"
        )
    return ids


def check_logits(model: Model) -> None:
    """Raise UnsupportedError where a model has no logits."""
    if not model.config.features.causal:
        raise UnsupportedError(f"model {model.name!r} is an encoder: it leaves vectors, no logits")


def all_hooks(model: Model, fwd_hooks: FwdHooks) -> Hooks:
    """The hooks that stand on a model (`hooked.py`), and then those of this pass."""
    return Hooks(model.config, (*model.fwd_hooks, *fwd_hooks))


def run_pass(model: Model, wanted: Pass) -> dict[str, bytes]:
    """Run a pass over a cache of its own, and return what it kept."""
    if model.closed:
        raise OptionError(f"model {model.name!r} is closed")
    state = State(model, len(wanted.ids), kv_type=model.kv_type, whole=True)
    try:
        Forward(model.kernel, model.config, state.address, model.name).run(wanted)
    finally:
        state.close()
    return wanted.kept
