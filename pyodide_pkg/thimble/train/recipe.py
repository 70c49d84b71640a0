"""Every choice of one training run, in one frozen dataclass that is read from one JSON file.

A recipe and the text decide a run; paths, the number of processes and the device are no part of it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

BLOCK = 32
"""Widths are multiples of this, so that rows fit into Q8_0 and Q4_0 blocks."""
DTYPES = ("bfloat16", "float32")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The defaults are those of the shipped model; raises `OptionError` for what cannot be."""

    title: str = "Thimble Story"
    """The model's `general.name`."""
    license: str = "MIT"
    seed: int = 1
    """Of the first weights and of the order of the text."""

    vocab_size: int = 2048
    dim: int = 192
    n_layers: int = 6
    n_heads: int = 4
    n_kv_heads: int = 2
    hidden: int = 512
    context: int = 512
    """Tokens in a row, and the longest text that the model has seen."""
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    embedding_std: float = 0.03
    """Of the first token embeddings, which are the output matrix as well."""

    micro_tokens: int = 2048
    """Tokens that go through the network at once; whole rows."""
    micro_batches: int = 2
    """How many of these make one step, over all processes."""
    steps: int = 4000
    warmup_steps: int = 50
    decay_steps: int = 1400
    """The last steps, in which the learning rate falls to zero in a straight line."""
    grad_clip: float = 1.0

    muon_lr: float = 0.02
    muon_momentum: float = 0.95
    muon_weight_decay: float = 0.1
    adam_lr: float = 0.003
    """Of what Muon is not made for: the embedding and the norms' gains."""
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95

    dtype: str = "bfloat16"
    """What matrices are multiplied in; weights and optimizers are always float32."""
    compile: bool = True
    """Whether torch.compile is asked to fuse what it can: a minute at the start, faster after."""
    log_every: int = 20
    eval_every: int = 100
    eval_stories: int = 100
    """Held-out stories that are measured while it trains; all of them at the end."""
    checkpoint_seconds: int = 240

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_value(field.name, getattr(self, field.name), str(field.type))
        _check_shape(self)
        _check_run(self)

    @classmethod
    def from_dict(cls, choices: dict[str, Any]) -> Recipe:
        """Make a recipe of a JSON object; what is missing keeps its default."""
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(choices) - set(known)):
            raise OptionError(f"a recipe has no {unknown[0]!r}; it has {', '.join(known)}")
        return cls(**choices)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read a JSON file; raises `OptionError` where it is no recipe."""
        with open(path, encoding="utf-8") as file:
            try:
                choices = json.load(file)
            except ValueError as error:
                raise OptionError(f"{os.fspath(path)} is no JSON: {error}") from None
        if not isinstance(choices, dict):
            raise OptionError(f"{os.fspath(path)} holds a {type(choices).__name__}, not an object")
        return cls.from_dict(choices)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def _check_value(name: str, value: Any, wanted: str) -> None:
    """Refuse a value of another type than its field's, and numbers below zero."""
    right = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
    }[wanted]
    if not right:
        raise OptionError(f"{name} is {value!r}; it must be of type {wanted}")
    if wanted in ("int", "float") and not (math.isfinite(value) and value >= 0):
        raise OptionError(f"{name} is {value!r}; it must be a number, zero or above")


def _check_shape(r: Recipe) -> None:
    """Refuse a network that cannot be, or whose rows do not fit into blocks."""
    positive = ("dim", "n_layers", "n_heads", "n_kv_heads", "hidden", "context", "rope_theta")
    for name in positive:
        if not getattr(r, name):
            raise OptionError(f"{name} is 0; it must be above")
    if r.vocab_size < 257:
        raise OptionError(f"vocab_size is {r.vocab_size}; 256 bytes and the end token make 257")
    for name in ("dim", "hidden"):
        if getattr(r, name) % BLOCK:
            raise OptionError(f"{name} is {getattr(r, name)}; it must be a multiple of {BLOCK}")
    if r.dim % r.n_heads or r.head_dim % 4:
        raise OptionError(
            f"n_heads is {r.n_heads}; it must divide dim {r.dim} into heads of a multiple of 4"
        )
    if r.n_heads % r.n_kv_heads:
        raise OptionError(f"n_kv_heads is {r.n_kv_heads}; it must divide n_heads {r.n_heads}")


def _check_run(r: Recipe) -> None:
    """Refuse a run that cannot be."""
    if not r.micro_tokens or r.micro_tokens % r.context:
        raise OptionError(
            f"micro_tokens is {r.micro_tokens}; it must be a multiple of context {r.context}"
        )
    at_least_one = ("micro_batches", "log_every", "eval_every", "eval_stories", "grad_clip")
    for name in at_least_one:
        if not getattr(r, name):
            raise OptionError(f"{name} is 0; it must be above")
    if r.decay_steps > r.steps:
        raise OptionError(f"decay_steps is {r.decay_steps}; there are only {r.steps} steps")
    for name in ("muon_momentum", "adam_beta1", "adam_beta2"):
        if getattr(r, name) >= 1:
            raise OptionError(f"{name} is {getattr(r, name)}; it must be below 1")
    if r.dtype not in DTYPES:
        raise OptionError(f"dtype is {r.dtype!r}; it must be one of {', '.join(DTYPES)}")
