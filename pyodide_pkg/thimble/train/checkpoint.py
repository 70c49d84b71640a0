"""What is kept of a run: weights, the optimizers' state, the place in the text, and the recipe.

A checkpoint appears whole or not at all. It holds tensors and plain values only, so reading one
runs no code.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import OptionError
from .recipe import Recipe
from .torch_model import Llama

NETWORK = ("vocab_size", "dim", "n_layers", "n_heads", "n_kv_heads", "hidden", "context",
           "rope_theta", "norm_eps")  # fmt: skip
"""What a run cannot change when it goes on."""


@dataclass(slots=True)
class Progress:
    """Where a run is."""

    step: int = 0
    """Steps that were made."""
    epoch: int = 0
    batch: int = 0
    """Micro-batches of this epoch that were used."""
    tokens: int = 0
    """Tokens that were predicted."""
    level: float = 1.0
    """The learning rate's, without the warm-up."""


def save(
    path: Path,
    recipe: Recipe,
    model: Llama,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: Progress,
    *,
    data_sha256: str,
    tokenizer: str,
) -> None:
    """Write a checkpoint; `tokenizer` is its JSON, without which the weights mean nothing."""
    unfinished = path.with_suffix(".unfinished")
    state = {
        "recipe": recipe.to_dict(),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "progress": asdict(progress),
        "data_sha256": data_sha256,
        "tokenizer": tokenizer,
    }
    torch.save(state, unfinished)
    os.replace(unfinished, path)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint to the CPU; raises `OptionError` where it is none."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["recipe"], state["model"], state["progress"]
    except (RuntimeError, KeyError, TypeError, EOFError) as error:
        raise OptionError(f"{os.fspath(path)} is no checkpoint of a run: {error}") from None
    return state


def restore(
    state: dict[str, Any],
    recipe: Recipe,
    model: Llama,
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    data_sha256: str,
) -> Progress:
    """Put a checkpoint into a run; raises `OptionError` where it is another run's."""
    for name in NETWORK:
        found, wanted = state["recipe"].get(name), getattr(recipe, name)
        if found != wanted:
            raise OptionError(f"{name} is {wanted!r} in the recipe, {found!r} in the checkpoint")
    if state["data_sha256"] != data_sha256:
        raise OptionError(
            f"the checkpoint was trained on text with SHA-256 {state['data_sha256']}, "
            f"not {data_sha256}"
        )
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return Progress(**state["progress"])
