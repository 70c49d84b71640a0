"""The network that is being trained, in kernel memory: its weights, their gradients and averages.

It knows which numbers go where in `kernels/train.h`. It does not know what a token means, where
batches come from, or which learning rate a step has.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import MemoryLimitError, NumericError, OptionError, ThimbleError
from ..kernel import Bytes, Kernel, Scratch
from ..quantize import type_named
from ..tensor_types import F32
from .recipe import Recipe

WEIGHTS, FIRST, SECOND, _GRADIENTS, _IDS, _TARGETS, _STARTS, _IO, _COUNT, _USED = range(10)
"""What `tk_train_part` finds."""
NATS, NORM = 11, 12
"""Of the numbers that are exchanged (`TK_IO_NATS`, `TK_IO_NORM`)."""
PIECE = 1 << 20
"""Bytes that are read from the kernel's memory at a time."""


class Batch(NamedTuple):
    """Tokens of one micro-step. `starts` are of segments, with the end behind them; a target below
    0 is none."""

    ids: array[int]
    targets: array[int]
    starts: array[int]

    @property
    def n_targets(self) -> int:
        return sum(target >= 0 for target in self.targets)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one update needs, in the order of `TK_IO_CLIP` to `TK_IO_MUON_DECAY`."""

    clip: float
    adam_rate: float
    adam_beta1: float
    adam_beta2: float
    adam_grow1: float
    """1 / (1 - beta1^step)."""
    adam_grow2: float
    adam_decay: float
    muon_rate: float
    muon_momentum: float
    muon_decay: float

    def pack(self) -> bytes:
        return struct.pack(
            "<10d", self.clip, self.adam_rate, self.adam_beta1, self.adam_beta2, self.adam_grow1,
            self.adam_grow2, self.adam_decay, self.muon_rate, self.muon_momentum, self.muon_decay,
        )  # fmt: skip


def tensors(r: Recipe) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each tensor's name and shape in the order in which the weights lie, as in the file."""
    kv = r.n_kv_heads * r.head_dim
    yield "token_embd.weight", (r.vocab_size, r.dim)
    for layer in range(r.n_layers):
        for name, shape in (
            ("attn_norm", (r.dim,)),
            ("attn_q", (r.dim, r.dim)),
            ("attn_k", (kv, r.dim)),
            ("attn_v", (kv, r.dim)),
            ("attn_output", (r.dim, r.dim)),
            ("ffn_norm", (r.dim,)),
            ("ffn_gate", (r.hidden, r.dim)),
            ("ffn_up", (r.hidden, r.dim)),
            ("ffn_down", (r.dim, r.hidden)),
        ):
            yield f"blk.{layer}.{name}.weight", shape
    yield "output_norm.weight", (r.dim,)


class Network:
    """A network of a recipe's shape. Raises `MemoryLimitError` where it does not fit."""

    def __init__(self, recipe: Recipe, kernel: Kernel) -> None:
        r = recipe
        self.kernel = kernel
        self._address = 0
        encoding = F32 if r.quantize == "none" else type_named(r.quantize)
        ints = array("i", [
            r.n_layers, r.dim, r.n_heads, r.n_kv_heads, r.head_dim, r.hidden, r.vocab_size,
            r.context, r.micro_tokens, r.optimizer == "muon", encoding.ggml_id,
        ])  # fmt: skip
        reals = struct.pack("<3d", r.norm_eps, r.dropout, r.rope_theta)
        scratch = Scratch(kernel, len(reals) + 4 * len(ints), "the recipe")
        scratch.write(reals + ints.tobytes())
        address = kernel.call("train_new", scratch.address + len(reals), scratch.address)
        scratch.close()
        if address == -1:
            raise OptionError("the kernels cannot train a network of this shape")
        if not address:
            raise MemoryLimitError(
                f"no memory to train {r.n_parameters:,} weights on {r.micro_tokens:,} tokens at "
                "once: a smaller model or smaller micro_tokens would need less"
            )
        self._address = address
        self.n_weights = self._part(_COUNT)
        self._capacity = r.micro_tokens
        self._threads = kernel.call("threads_alive")

    def close(self) -> None:
        address, self._address = self._address, 0
        if address:
            self.kernel.call("train_free", address)

    def __del__(self) -> None:
        if getattr(self, "_address", 0):
            self.close()

    def start(self, seed: int, embedding_std: float) -> None:
        """Draw the first weights."""
        scratch = Scratch(self.kernel, 8, "a number")
        scratch.write(struct.pack("<d", embedding_std))
        self._call("init", *halves(seed), scratch.address)
        scratch.close()

    def settle(self, *, exact: bool) -> None:
        """Make the weights that products read from those that are trained: as they are, or rounded
        to the recipe's encoding. To be called whenever weights have changed."""
        self._call("settle", int(exact))

    def learn(self, batch: Batch, scale: float, noise: int) -> float:
        """Add the gradients of `scale` times the batch's loss; return the loss, a sum of nats.

        `noise` is the key of the dropout. Raises `NumericError` where the loss is not finite.
        """
        self._write_io(0, struct.pack("<d", scale))
        return self._micro(batch, learning=True, noise=noise)

    def measure(self, batch: Batch) -> float:
        """Return a batch's loss, a sum of nats."""
        return self._micro(batch, learning=False, noise=0)

    def update(self, rates: Rates) -> float:
        """Move the weights, forget the gradients; return their norm before clipping.

        Raises `NumericError`, with the weights as they were, where it is not finite.
        """
        self._write_io(1, rates.pack())
        if self._call("update"):
            raise NumericError("a gradient is not finite")
        return self._read_io(NORM)

    def forget(self) -> None:
        """Drop the gradients so far."""
        self.write(_GRADIENTS, bytes(4 * self.n_weights))

    def read(self, which: int, first: int = 0, count: int | None = None) -> bytes:
        """Return `count` float32 of WEIGHTS, FIRST or SECOND, from number `first` on."""
        n = self.n_weights - first if count is None else count
        return self.kernel.read(self._part(which) + 4 * first, 4 * n)

    def write(self, which: int, data: Bytes, first: int = 0) -> None:
        """Set float32 numbers from number `first` on."""
        if not 0 <= first <= first + len(data) // 4 <= self.n_weights:
            raise OptionError(f"{len(data)} bytes at {first} are not within {self.n_weights}")
        self.kernel.write(self._part(which) + 4 * first, data)

    def gradients(self) -> array[float]:
        """Return a copy of all gradients, for tests and measurements."""
        return array("f", self.read(_GRADIENTS))

    def used_weights(self) -> bytes:
        """Return the weights that products read: rounded, where the recipe says so."""
        return self.read(_USED)

    def sha256(self) -> str:
        """Return the hash of the weights' float32 numbers, little-endian."""
        digest = hashlib.sha256()
        for at in range(0, self.n_weights, PIECE // 4):
            digest.update(self.read(WEIGHTS, at, min(PIECE // 4, self.n_weights - at)))
        return digest.hexdigest()

    def _micro(self, batch: Batch, *, learning: bool, noise: int) -> float:
        kernel, n = self.kernel, len(batch.ids)
        if not 2 <= len(batch.starts) <= n + 1 <= self._capacity + 1 or len(batch.targets) != n:
            raise OptionError(f"a batch of {n} tokens is none; it may have {self._capacity}")
        for which, numbers in ((_IDS, batch.ids), (_TARGETS, batch.targets)):
            kernel.write(self._part(which), numbers.tobytes())
        kernel.write(self._part(_STARTS), batch.starts.tobytes())
        segments = len(batch.starts) - 1
        bad = self._call("micro", n, segments, int(learning), *halves(noise))
        if bad < 0:
            raise OptionError("the batch holds tokens or segments that the network cannot take")
        if bad:
            raise NumericError("the loss is not finite")
        return self._read_io(NATS)

    def _call(self, name: str, *arguments: int) -> int:
        """Run `tk_train_NAME`."""
        return self._compute("train_" + name, self._address, *arguments)

    def _compute(self, function: str, *arguments: int) -> int:
        """Run a kernel; ThimbleError where a thread died in it and left things half done."""
        threads = self.kernel.call("threads_alive")
        if threads > self._threads:
            raise OptionError(
                f"there are {threads} threads now, and were {self._threads} when this run began"
            )
        result = self.kernel.call(function, *arguments)
        if self.kernel.call("threads_alive") < threads:
            raise ThimbleError("a thread died while it trained: resume from the last checkpoint")
        return result

    def _part(self, which: int) -> int:
        return self.kernel.call("train_part", self._address, which)

    def _write_io(self, index: int, data: bytes) -> None:
        self.kernel.write(self._part(_IO) + 8 * index, data)

    def _read_io(self, index: int) -> float:
        (value,) = struct.unpack("<d", self.kernel.read(self._part(_IO) + 8 * index, 8))
        return float(value)


def halves(number: int) -> tuple[int, int]:
    """Return the two 32-bit halves of a 64-bit number, as the kernel takes them everywhere."""
    halves: tuple[int, int] = struct.unpack("<2i", struct.pack("<Q", number & (1 << 64) - 1))
    return halves
