"""One forward pass, block by block, with hooks called between the kernel's stages.

A block without hooks is one kernel call. What is asked for is copied out after each block, so that
no more than one block's values are in kernel memory at a time. This file knows addresses and
stages; it does not know what hooks do, or what is done with what was kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from ..errors import MemoryLimitError, NumericError, UnsupportedError
from ..kernel import Kernel, Scratch
from ..model_config import HOOKED_ARCHITECTURES, ModelConfig, supports_hooks
from .hooks import Hooks
from .sites import (
    BLOCK,
    BY_NAME,
    EMBED,
    HEAD,
    OPTIONAL,
    PATTERN,
    RESID_POST,
    RESID_PRE,
    RESULT,
    SCORES,
    STAGES,
    shape,
)

RESULT_WAS = len(BLOCK)
"""In the kernel's table, behind the sites: what the heads' results were before a hook."""
_SCALE, _NORMED, _LOGITS = (site.name for site in HEAD)


@dataclass
class Pass:
    """What a pass is asked for, and what it leaves.

    `keep` are names of values to be copied to `kept`. `start` is (layer, residual stream) for a
    pass that begins at that block with values of an earlier pass over the same ids; only a pass
    over an empty cache may. `logits` says of which positions logits are computed: "all", "last" or
    "none".
    """

    ids: Sequence[int]
    hooks: Hooks
    keep: frozenset[str] = frozenset()
    logits: str = "all"
    start: tuple[int, bytes] | None = None
    kept: dict[str, bytes] = field(default_factory=dict)


class Forward:
    """Runs passes over one session of the kernel's, of which it knows the address."""

    def __init__(self, kernel: Kernel, config: ModelConfig, session: int, name: str) -> None:
        if not supports_hooks(config):
            raise UnsupportedError(
                f"model {name!r} is a {config.architecture}, which writes and can be read here, "
                f"but has no hooks: the lens knows {', '.join(HOOKED_ARCHITECTURES)} and the like"
            )
        self._kernel = kernel
        self._config = config
        self._session = session
        self._name = name
        self._row = (config.n_vocab + 3) & ~3

    def run(self, wanted: Pass, logits: int = 0) -> None:
        """Compute the ids at the cache's end; the cache then has them.

        `logits` is where the rows of logits go, each n_vocab padded to a multiple of 4; without it
        they are where `keep` says. Where anything fails, the cache is as before.
        """
        past = self._kernel.call("session_past", self._session)
        room = _Room(self._kernel, self._config, wanted, past)
        try:
            self._embed(wanted, room)
            first = wanted.start[0] if wanted.start else 0
            for layer in range(first, self._config.n_layers):
                self._block(layer, wanted, room)
            if wanted.logits != "none":
                self._head(wanted, room, logits)
        finally:
            room.close()
        self._kernel.call("session_rollback", self._session, past + len(wanted.ids))

    def _embed(self, wanted: Pass, room: _Room) -> None:
        """Put into the first block's way what goes into it."""
        at = room.at[RESID_POST]  # each block takes it from where the one before left it
        if wanted.start:
            self._kernel.write(at, wanted.start[1])
            return
        room.scratch.write(array("i", wanted.ids).tobytes(), room.ids)
        ids = room.scratch.address + room.ids
        self._kernel.call("capture_embed", self._session, ids, len(wanted.ids), at)
        self._look(EMBED, at, wanted, room)

    def _block(self, layer: int, wanted: Pass, room: _Room) -> None:
        prefix = f"blocks.{layer}."
        hooked = [site for site in BLOCK if prefix + site.name in wanted.hooks.by_name]
        table = room.table(prefix, wanted)
        size = 4 * prod(room.shape("hook_resid_pre", prefix))
        self._kernel.call("copy", room.at[RESID_PRE], room.at[RESID_POST], size)
        done = 0
        for stage in sorted({site.stage for site in hooked}):
            self._stages(layer, done, stage + 1, table, room)
            done = max(done, stage + 1)
            for site in hooked:
                if site.stage == stage:
                    self._hook(prefix, site.name, table, wanted, room)
        self._stages(layer, done, STAGES, table, room)
        for index, site in enumerate(BLOCK):
            name = prefix + site.name
            if name in wanted.keep:
                wanted.kept[name] = self._read(table[index], room.shape(site.name, prefix))

    def _stages(self, layer: int, start: int, stop: int, table: array[int], room: _Room) -> None:
        if start >= stop:
            return
        room.scratch.write(table.tobytes(), 0)
        args = (layer, room.tokens, start, stop, room.scratch.address)
        status = self._kernel.call("capture_block", self._session, *args)
        if status < 0:
            raise MemoryLimitError("no memory for the results of each head")
        if status:
            raise NumericError(f"a value is not finite after layer {layer} of model {self._name!r}")

    def _hook(self, prefix: str, site: str, table: array[int], wanted: Pass, room: _Room) -> None:
        """Let the hooks of a block's site see it; the kernel is told where a head's results
        changed, because it then has to add them up itself."""
        index = BY_NAME[site]
        before = self._read(table[index], room.shape(site, prefix))
        after = wanted.hooks.call(prefix + site, before, room.shape(site, prefix), room.past)
        if after == before:
            return
        self._kernel.write(table[index], after)
        if index == RESULT:
            self._kernel.write(room.result_was, before)
            table[RESULT_WAS] = room.result_was

    def _head(self, wanted: Pass, room: _Room, logits: int) -> None:
        """From the residual stream to the logits, of the last position or of all."""
        kernel, rows = self._kernel, room.rows
        x = room.at[RESID_POST] + 4 * self._config.dim * (room.tokens - rows)
        places = {_SCALE: room.scale, _NORMED: room.normed, _LOGITS: logits or room.logits}
        for site in HEAD:
            args = (rows, site.stage, site.stage + 1, x, *places.values())
            if kernel.call("capture_head", self._session, *args):
                raise NumericError(f"a value is not finite in the logits of model {self._name!r}")
            self._look(site.name, places[site.name], wanted, room)

    def _look(self, name: str, address: int, wanted: Pass, room: _Room) -> None:
        """Hooks and copies of a value outside of blocks."""
        if name not in wanted.hooks.by_name and name not in wanted.keep:
            return
        rows = room.tokens if name == EMBED else room.rows
        size = shape(self._config, name, rows, room.keys)
        padded = self._row if name == _LOGITS else size[-1]
        before = _cut(self._kernel.read(address, 4 * rows * padded), padded, size[-1])
        after = wanted.hooks.call(name, before, size, room.past + room.tokens - rows)
        if after != before:
            for row in range(rows):
                part = after[4 * row * size[-1] : 4 * (row + 1) * size[-1]]
                self._kernel.write(address + 4 * row * padded, part)
        if name in wanted.keep:
            wanted.kept[name] = after

    def _read(self, address: int, size: tuple[int, ...]) -> bytes:
        return self._kernel.read(address, 4 * prod(size))


def _cut(data: bytes, padded: int, width: int) -> bytes:
    """Rows without what pads them."""
    if padded == width:
        return data
    rows = len(data) // (4 * padded)
    return b"".join(data[4 * row * padded :][: 4 * width] for row in range(rows))


class _Room:
    """Kernel memory for the values of one block, and where in it each of them lies."""

    def __init__(self, kernel: Kernel, config: ModelConfig, wanted: Pass, past: int) -> None:
        self.past, self.tokens = past, len(wanted.ids)
        self.keys = past + self.tokens
        self.rows = {"all": self.tokens, "last": 1, "none": 0}[wanted.logits]
        self._config = config
        used = _optional(config, wanted)
        sizes = [8 * (len(BLOCK) + 1), 4 * self.tokens]  # the table, the ids
        for index, site in enumerate(BLOCK):
            there = index not in OPTIONAL or index in used
            sizes.append(4 * prod(self.shape(site.name)) if there else 0)
        hooked = any(name.endswith("hook_result") for name in wanted.hooks.by_name)
        sizes.append(sizes[2 + RESULT] if hooked else 0)
        n_vocab = (config.n_vocab + 3) & ~3
        sizes += [4 * self.rows * width for width in (1, config.dim, n_vocab)]
        places, total = [], 0
        for size in sizes:
            places.append(total)
            total += (size + 63) & ~63
        self.scratch = Scratch(kernel, total, f"a pass over {self.tokens} tokens")
        base = self.scratch.address
        self.ids = places[1]
        self.at = [base + place for place in places[2 : 2 + len(BLOCK)]]
        self.result_was, self.scale, self.normed, self.logits = (
            base + place for place in places[2 + len(BLOCK) :]
        )

    def shape(self, site: str, prefix: str = "blocks.0.") -> tuple[int, ...]:
        return shape(self._config, prefix + site, self.tokens, self.keys)

    def table(self, prefix: str, wanted: Pass) -> array[int]:
        """Addresses for one block: optional values only where somebody wants them."""
        table = array("q", (*self.at, 0))
        needed = {
            index
            for index in OPTIONAL
            if prefix + BLOCK[index].name in wanted.keep
            or prefix + BLOCK[index].name in wanted.hooks.by_name
        }
        hooked = {i for i in needed if prefix + BLOCK[i].name in wanted.hooks.by_name}
        if hooked & {SCORES, PATTERN}:
            needed |= {SCORES, PATTERN}
        for index in OPTIONAL:
            if index not in needed:
                table[index] = 0
        return table

    def close(self) -> None:
        self.scratch.close()


def _optional(config: ModelConfig, wanted: Pass) -> set[int]:
    """Which of the optional values any block keeps."""
    used = {
        index
        for index in OPTIONAL
        for name in (*wanted.keep, *wanted.hooks.by_name)
        if name.endswith(BLOCK[index].name)
    }
    hooked = {name.rpartition(".")[2] for name in wanted.hooks.by_name}
    if hooked & {"hook_pattern", "hook_attn_scores"}:
        used |= {SCORES, PATTERN}
    return used
