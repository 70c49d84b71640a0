"""How fast this machine could be at best with a model: what the page compares its tokens with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import Engine

AT_LEAST = 0.03
"""Seconds that a measurement takes: long against the clock, which browsers keep coarse."""
REPEATS = 3
FIRST_ROUNDS = 100_000


class Service:
    """What the worker asks as "limits.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, session: int) -> dict[str, Any]:
        """The least that a token of a session's model costs, and what one thread can do.

        A token reads every matrix of the model once and multiplies with it. `read` is bytes a
        second, of these very matrices, so from the cache that they fit into; `products` and
        `floats` are multiply-adds a second in registers, as quantized and as other matrices need
        them. Attention, norms and sampling come on top: no model reaches the limit.
        """
        model = self._engine.opened(session).model
        call, address = model.kernel.call, model.weights.address
        nbytes = call("machine_bytes", address)
        whole = call("machine_products", address, 0)
        real = call("machine_products", address, 1)
        read = rate(1, lambda times: call("machine_read", address, times))
        return {
            "name": model.name,
            "parameters": model.n_params,
            "contextWindow": model.config.n_ctx,
            "bytes": nbytes,
            "products": whole,
            "floats": real,
            "read": nbytes * read,
            "productRate": multiplies(call, 0) if whole else None,
            "floatRate": multiplies(call, 1) if real else None,
            "threads": call("threads_alive"),
        }


def multiplies(call: Callable[..., int], floats: int) -> float:
    """Multiply-adds a second."""
    rounds = rate(FIRST_ROUNDS, lambda times: call("machine_multiply", times, floats))
    return rounds * call("machine_round", floats)


def rate(times: int, work: Callable[[int], object]) -> float:
    """How many times a second `work` does what it does, at best of a few attempts."""
    best = 0.0
    for _ in range(REPEATS):
        while True:
            began = time.perf_counter()
            work(times)
            took = time.perf_counter() - began
            if took >= AT_LEAST:
                break
            times = min(4 * times, int(times * 1.2 * AT_LEAST / max(took, 1e-4)) + 1)
        best = max(best, times / took)
    return best
