"""What a session keeps of its text in kernel memory: keys and values of each layer, and the scratch
that computing its next tokens takes.

Whoever keeps a text asks here what that takes, for a copy, and to cut it: a state that cannot be
cut to a position says from where on tokens are to be computed again. What layers keep, their plan
says (`plan.py`); how it lies in memory, `kernels/state.c` knows.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from .errors import (
    HookError,
    MemoryLimitError,
    NumericError,
    OptionError,
    ThimbleError,
    UnsupportedError,
)
from .kernel import Kernel, Scratch
from .program import pack_forms, state_forms
from .tensor_types import F16, F32, Q8_0

if TYPE_CHECKING:
    from .language_model import LanguageModel
    from .model_config import ModelConfig

FIRST_POSITIONS = 256
"""That a state has a place for at first, if its text may be as long."""
LITTLE = 64 << 20
"""Bytes that keys and values of a brought model may take exactly."""
KV_TYPES = {"f32": F32, "f16": F16, "q8_0": Q8_0}
"""As what keys and values can be kept: exactly, in half precision, or in 8 bits with a scale for
each 32 values of a head."""


class State:
    """One text's state over a model. Close it to give its memory back."""

    def __init__(
        self, model: LanguageModel, hint: int, *, kv_type: str = "f32", whole: bool = False
    ) -> None:
        """An empty one, for a text of about `hint` positions; with `whole`, layers that look at the
        nearest positions only keep all others too. Raises MemoryLimitError."""
        self._model = model
        self._kernel = model.kernel
        self.kv_type = checked_kv_type(kv_type)
        options = (not whole, KV_TYPES[kv_type].ggml_id)
        self.address = self._kernel.call("session_new", model.weights.address, hint, *options)
        if not self.address:
            raise self._too_large(hint)
        self.capacity = self._kernel.call("session_capacity", self.address)
        """Positions that there is a place for."""

    def _too_large(self, positions: int) -> MemoryLimitError:
        size = state_bytes(self._kernel, self._model.config, positions, self.kv_type)
        return MemoryLimitError(f"no memory for a cache of {positions:,} tokens: {size:,} bytes")

    @property
    def past(self) -> int:
        """How many positions it has."""
        return self._kernel.call("session_past", self.address)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes; what forks share with it counts whole."""
        return self._kernel.call("session_bytes", self.address)

    def reserve(self, positions: int) -> None:
        """See to it that there is a place for so many. Raises MemoryLimitError; all is then as it
        was."""
        if positions <= self.capacity:
            return
        done = self._kernel.call("session_reserve", self.address, positions)
        self.capacity = self._kernel.call("session_capacity", self.address)
        if not done:
            raise self._too_large(positions)

    def truncate(self, n: int) -> int:
        """Keep the first n positions, or as many of them as can be kept; return how many."""
        kept = self._kernel.call("session_truncate", self.address, n)
        self.capacity = self._kernel.call("session_capacity", self.address)
        return kept

    def copy_from(self, other: State, n: int) -> int:
        """Take over the first n positions of another state of the same model, and its type, in the
        place of its own, or as many as can be copied; return how many. Raises MemoryLimitError."""
        copied = self._kernel.call("session_copy", self.address, other.address, n)
        self.capacity = self._kernel.call("session_capacity", self.address)
        self.kv_type = other.kv_type
        if copied < 0:
            raise self._too_large(n)
        return copied

    def close(self) -> None:
        """Give the memory back."""
        address, self.address = self.address, 0
        if address:
            self._kernel.call("session_free", address)

    def __del__(self) -> None:
        if getattr(self, "address", 0):
            self.close()


NOT_FINITE, _, GONE, TOO_LARGE, NO_EXPERT = range(5)
"""What went wrong in a pass, in the upper bits of its status (the enum in `kernels/plan.h`)."""


def failure(name: str, n_layers: int, status: int) -> ThimbleError:
    """Return what to raise for a status above 0 of a pass of the model called `name`."""
    reason, layer = status >> 14, (status & 0x3FFF) - 1
    if reason == GONE:
        return UnsupportedError(
            f"layer {layer} of model {name!r} has let go of what comes before its window: a hook "
            "cannot let it look there"
        )
    if reason == TOO_LARGE:
        return NumericError(
            f"a key or a value of layer {layer} of model {name!r} is no number that half precision "
            "holds; kv_type='f32' keeps larger ones"
        )
    if reason == NO_EXPERT:
        return HookError(
            f"layer {layer} of model {name!r} is told to use an expert that there is not: a hook "
            "can choose those by whole numbers from 0 on"
        )
    assert reason == NOT_FINITE, status
    where = f"after layer {layer}" if layer < n_layers else "in the logits"
    return NumericError(f"a value is not finite {where} of model {name!r}")


def checked_kv_type(kv_type: object) -> str:
    """Return the name of a type of keys and values; OptionError for one that there is not."""
    if not isinstance(kv_type, str) or kv_type not in KV_TYPES:
        raise OptionError(f"kv_type is {kv_type!r:.40}; {', '.join(map(repr, KV_TYPES))} are right")
    return kv_type


def usual_kv_type(kernel: Kernel, config: ModelConfig) -> str:
    """Return what a brought model's keys and values are kept as unless somebody says: exactly where
    those of its longest text take little, and else in half precision."""
    return "f32" if state_bytes(kernel, config, config.n_ctx) <= LITTLE else "f16"


def state_bytes(kernel: Kernel, config: ModelConfig, positions: int, kv_type: str = "f32") -> int:
    """Return the bytes of a text's state with any model of these numbers, loaded or not."""
    forms = state_forms(config)
    packed = pack_forms(forms)
    scratch = Scratch(kernel, 8 + len(packed), "a question")
    scratch.write(packed, 8)
    kind = KV_TYPES[checked_kv_type(kv_type)].ggml_id
    kernel.call("state_bytes", scratch.address + 8, len(forms), positions, kind, scratch.address)
    (size,) = struct.unpack("<Q", kernel.read(scratch.address, 8))
    scratch.close()
    return int(size)
