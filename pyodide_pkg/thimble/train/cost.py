"""What fine-tuning a model that is loaded will take, told before it begins.

    cost = tuning_cost(model, {"lora_rank": 8})
    cost.nbytes, cost.seconds, cost.refused

Memory is counted as the trainer will ask for it; time is that of a short prompt, times what a step
takes of such prompts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..adapter import MATRICES
from ..backward import backward_bytes, check
from ..errors import OptionError, UnsupportedError
from ..footprint import weights_bytes
from ..model import Model
from .finetune import MOST_CONTEXT, ROWS, unlike
from .plan_network import adaptable

PROBE = 64
"""Tokens of the prompt that is timed."""
PASSES = 3.2
"""Prompts that a step over the same tokens takes: forward twice, and backward at 0.81 of that rate
(docs/bench/gradients.json)."""
USUAL_SECONDS = 50
"""What a run takes, about, whose recipe does not say how many steps; unless the fewest take
longer."""
FEWEST_STEPS = 10
BESIDE = 60 << 20
"""Bytes of the training worker's own Python and engine, about."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run will take here."""

    refused: str
    """Why it cannot be, in words; empty where it can."""
    nbytes: int
    """Of memory at most, the model's file and the worker included."""
    seconds: float
    """Of the whole run, about."""


def tuning_cost(model: Model, choices: dict[str, Any], *, limit: int | None = None) -> Cost:
    """Return the cost of a recipe; what the recipe leaves out is as `Base.recipe` fills it in.

    `limit`: bytes that there are.
    """
    config, rank = model.config, _whole(choices, "lora_rank", 0)
    context = min(_whole(choices, "context", MOST_CONTEXT), config.n_ctx) or 1
    why = unlike(config, model.n_params)
    refused = _refused(model, rank, why)
    file = sum(tensor.nbytes for tensor in model.tensors)
    if not why or refused:
        # The trainer's own network: weights as floats, with all that belongs to them.
        each = 20 if not rank else 8
        return Cost(refused, file + each * model.n_params + BESIDE, USUAL_SECONDS)
    chosen = str(choices.get("lora_matrices", " ".join(adaptable(model.tensors, config)))).split()
    numbers = sum(
        rank * sum(tensor.shape)
        for tensor in model.tensors
        if len(tensor.shape) == 2 and tensor.name.split(".")[-2] in chosen
    )
    nbytes = (
        file + weights_bytes(model.kernel, model.tensors, config) + 24 * numbers + BESIDE
        + backward_bytes(model.kernel, config, context)
    )  # fmt: skip
    if limit is not None and nbytes > limit:
        refused = (
            f"it would take {_mb(nbytes)} of memory, and a page has {_mb(limit)}: a model of "
            f"fewer weights than {model.name!r}, or a smaller context than {context} would fit"
        )
        return Cost(refused, nbytes, 0.0)
    step = _whole(choices, "micro_tokens", ROWS * context) * _whole(choices, "micro_batches", 1)
    per_step = step * PASSES / _rate(model)
    steps = _whole(choices, "steps", 0)
    return Cost("", nbytes, steps * per_step or max(USUAL_SECONDS, FEWEST_STEPS * per_step))


def _refused(model: Model, rank: int, why: str) -> str:
    """Why a model cannot learn so, in words."""
    if not model.config.features.causal:
        return f"{model.name!r} is an encoder: it has no next tokens, which training teaches"
    try:
        check(model.config, model.name)
    except UnsupportedError as error:
        return str(error)
    if why and not rank:
        return f"{model.name!r} {why}: train an adapter"
    if rank and not adaptable(model.tensors, model.config):
        return f"{model.name!r} has none of the matrices that adapters change: {' '.join(MATRICES)}"
    return ""


def _rate(model: Model) -> float:
    """Tokens of a prompt a second, of one that is computed for the second time."""
    n = min(PROBE, model.config.n_ctx)
    session = model.session(n_ctx=n)
    try:
        took = 0.0
        for _ in range(2):
            session.rollback(0)
            began = time.perf_counter()
            session.append([0] * n)
            took = time.perf_counter() - began
        return n / max(took, 1e-6)
    finally:
        session.close()


def _whole(choices: dict[str, Any], name: str, default: int) -> int:
    value = choices.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1 << 20:
        raise OptionError(f"{name} is {value!r:.40}; it must be a whole number")
    return value


def _mb(n: int) -> str:
    return f"{n / 1e6:,.0f} MB"
