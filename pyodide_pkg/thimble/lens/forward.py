"""One forward pass that stops where somebody wants to look: the model's own program, section by
section, with hooks called at the stops.

A layer without hooks is one kernel call. What is asked for is copied out after each layer, so that
no more than one layer's values are in kernel memory at a time. This file knows addresses and places
in the program; it does not know what hooks do, or what is done with what was kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from ..errors import MemoryLimitError
from ..kernel import Kernel, Scratch
from ..model_config import ModelConfig
from ..plan import NUMBER_OF, ON_DEMAND, VALUES, Layer, compile_plan
from ..program import STAGES, value_width
from ..state import failure
from .hooks import Hooks
from .sites import STREAM, Site, all_sites, shape

SCORES, PATTERN = "attn.hook_attn_scores", "attn.hook_pattern"
RESULT, BEFORE = "attn.hook_result", "attn.result_before"
ENDS = {"hook_scale": "hook_normalized", "hook_normalized": "hook_scale"}
"""What an operation leaves one after the other has a place for both or for neither."""


@dataclass
class Pass:
    """What a pass is asked for, and what it leaves.

    `keep` are names of values to be copied to `kept`. `start` is (layer, residual stream) for a
    pass that begins at that layer with values of an earlier pass over the same ids; only a pass
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
        self._kernel = kernel
        self._config = config
        self._session = session
        self._name = name
        self._plan = compile_plan(config)

    def run(self, wanted: Pass, logits: int = 0) -> None:
        """Compute the ids at the cache's end; the cache then has them.

        `logits` is where the rows of logits go, each n_vocab padded to a multiple of 4; without it
        they are where `keep` says. Where anything fails, the cache is as before.
        """
        if not self._config.features.causal:
            wanted.logits = "last"  # there is one vector, whatever is asked for
        past = self._kernel.call("session_past", self._session)
        sections = [section for _, section in self._plan.sections()]
        memory = _Memory(self._kernel, self._config, sections, wanted, past, logits)
        try:
            self._sections(wanted, memory)
        finally:
            memory.close()
        self._kernel.call("session_advance", self._session, len(wanted.ids))

    def read_out(self, streams: bytes, rows: int, logits: int) -> None:
        """Compute the logits of states of the residual stream, [rows, d_model], to `logits`, as if
        they were what the last layer leaves."""
        wanted = Pass([0] * rows, Hooks(self._config))
        end = self._plan.end
        memory = _Memory(self._kernel, self._config, [end], wanted, 0, logits)
        try:
            memory.write("hook_resid_post", streams)
            first = sum(len(section) for _, section in self._plan.sections()) - len(end)
            self._section(first, first + len(end), [], wanted, memory)
        finally:
            memory.close()

    def _sections(self, wanted: Pass, memory: _Memory) -> None:
        by_layer: dict[int | None, list[Site]] = {}
        for site in all_sites(self._config):
            by_layer.setdefault(site.layer, []).append(site)
        stream, at = self._plan.stream, 0
        for layer, section in self._plan.sections():
            start, at = at, at + len(section)
            sites = [site for site in by_layer[layer] if start * STAGES <= site.stop <= at * STAGES]
            if layer is None and start == 0:
                if wanted.start:  # of what comes before the layers, only what all of them read
                    at_layer, stream = wanted.start[0], STREAM
                    sites, section = [], tuple(op for op in section if op.kind == "rotations")
                    memory.write(STREAM, wanted.start[1])
                self._section(start, start + len(section), sites, wanted, memory)
            elif layer is None:
                if wanted.logits != "none":
                    self._section(start, at, sites, wanted, memory)
            elif not wanted.start or layer >= at_layer:
                memory.move(stream, STREAM)
                self._section(start, at, sites, wanted, memory)
                stream = "hook_resid_post"

    def _section(
        self, start: int, end: int, sites: list[Site], wanted: Pass, memory: _Memory
    ) -> None:
        """Run one section, with stops where hooks are, and copy what is to be kept."""
        memory.prepare(sites, wanted)
        done, hooked = start * STAGES, [s for s in sites if s.name in wanted.hooks.by_name]
        for stop in sorted({site.stop for site in hooked}):
            self._program(done, stop, memory)
            done = max(done, stop)
            for site in hooked:
                if site.stop == stop:
                    self._hook(site, wanted, memory)
        self._program(done, end * STAGES, memory)
        for site in sites:
            if site.name in wanted.keep:
                wanted.kept[site.name] = memory.read(site)

    def _program(self, start: int, stop: int, memory: _Memory) -> None:
        if start >= stop:
            return
        args = (memory.table(), memory.tokens, memory.rows, start, stop)
        status = self._kernel.call("run_program", self._session, *args)
        if status < 0:
            raise MemoryLimitError("no memory for the results of each head")
        if status:
            raise failure(self._name, self._config.n_layers, status)

    def _hook(self, site: Site, wanted: Pass, memory: _Memory) -> None:
        """Let the hooks of a site see it. Where heads' results changed the kernel is told: it then
        has to add them up itself."""
        before = memory.read(site)
        size = memory.shape(site)
        rows = size[0] if site.layer is None else memory.tokens
        after = wanted.hooks.call(site.name, before, size, memory.past + memory.tokens - rows)
        if after == before:
            return
        memory.write(site.value, after)
        if site.value == RESULT:
            memory.write(BEFORE, before)
            memory.at[BEFORE] = memory.places[BEFORE]


class _Memory:
    """Kernel memory for the values of one section, and where in it each of them lies."""

    def __init__(
        self, kernel: Kernel, config: ModelConfig, sections: Sequence[Layer], wanted: Pass,
        past: int, logits: int,
    ) -> None:  # fmt: skip
        self.past, self.tokens = past, len(wanted.ids)
        self.keys = past + self.tokens
        self.rows = {"all": self.tokens, "last": 1, "none": 0}[wanted.logits]
        self._kernel, self._config = kernel, config
        head = sections[-1][compile_plan(config).before_head :]
        self._end = frozenset(value for op in head for value in op.outputs)
        seen = {one.rpartition(".")[2] for one in (*wanted.keep, *wanted.hooks.by_name)}
        hooked = {one.rpartition(".")[2] for one in wanted.hooks.by_name}
        places, total = {"ids": 8 * len(VALUES)}, 8 * len(VALUES) + 4 * self.tokens
        values = {v for ops in sections for op in ops for v in (*op.inputs, *op.outputs)}
        for value in sorted(values - {"", "ids"}, key=NUMBER_OF.__getitem__):
            if value in ON_DEMAND and not _may_be_wanted(value, seen, hooked):
                continue
            total = (total + 63) & ~63
            places[value], size = total, self._bytes(value)
            total += 0 if value == "logits" and logits else size
        self._scratch = Scratch(kernel, total, f"a pass over {self.tokens} tokens")
        self.places = {value: self._scratch.address + place for value, place in places.items()}
        if logits:
            self.places["logits"] = logits
        self.at: dict[str, int] = {}
        kernel.write(self.places["ids"], array("i", wanted.ids).tobytes())

    def _bytes(self, value: str) -> int:
        """What a value takes, with what pads its rows."""
        if VALUES[value][0] == "pos":
            rows = self.rows if value in self._end else self.tokens
            return 4 * rows * value_width(self._config, value)
        return 4 * prod(shape(self._config, value, self.tokens, self.keys))

    def shape(self, site: Site) -> tuple[int, ...]:
        rows = self.rows if site.layer is None and site.value in self._end else self.tokens
        return shape(self._config, site.name, rows, self.keys)

    def prepare(self, sites: list[Site], wanted: Pass) -> None:
        """Let values that arise on demand have a place where somebody wants them."""
        seen = {s.value for s in sites if s.name in wanted.keep or s.name in wanted.hooks.by_name}
        hooked = {s.value for s in sites if s.name in wanted.hooks.by_name}
        if hooked & {SCORES, PATTERN}:
            seen |= {SCORES, PATTERN}
        for value in tuple(seen):
            name, _, end = value.rpartition(".")
            if end in ENDS:
                seen.add(f"{name}.{ENDS[end]}")
        self.at = {v: at for v, at in self.places.items() if v not in ON_DEMAND or v in seen}

    def table(self) -> int:
        """Where the kernel finds the addresses of all values."""
        addresses = array("q", [self.at.get(value, 0) for value in NUMBER_OF])
        self._scratch.write(addresses.tobytes())
        return self._scratch.address

    def read(self, site: Site) -> bytes:
        """A value, without what pads its rows."""
        size = self.shape(site)
        count, width, padded = size[0], prod(size[1:]), self._padded(site.value, size)
        data = self._kernel.read(self.places[site.value], 4 * count * padded)
        if padded == width:
            return data
        return b"".join(data[4 * row * padded :][: 4 * width] for row in range(count))

    def _padded(self, value: str, size: tuple[int, ...]) -> int:
        """How far rows of a value lie apart: what arises on demand is not padded."""
        return prod(size[1:]) if value in ON_DEMAND else value_width(self._config, value)

    def write(self, value: str, data: bytes) -> None:
        """Put a value in its place."""
        size = shape(self._config, value, self.tokens, self.keys)
        width, padded = prod(size[1:]), self._padded(value, size)
        if width == padded:
            self._kernel.write(self.places[value], data)
            return
        for row in range(len(data) // (4 * width)):
            part = data[4 * row * width : 4 * (row + 1) * width]
            self._kernel.write(self.places[value] + 4 * row * padded, part)

    def move(self, source: str, target: str) -> None:
        """Let one value be another, of the same size."""
        if source != target:
            places = self.places[target], self.places[source]
            self._kernel.call("copy", *places, self._bytes(source))

    def close(self) -> None:
        self._scratch.close()


def _may_be_wanted(value: str, seen: set[str], hooked: set[str]) -> bool:
    """Whether a value that arises on demand has a place in some layer, by the ends of the names
    that are looked at and changed."""
    end = value.rpartition(".")[2]
    if value == BEFORE:
        return "hook_result" in hooked
    if value in (SCORES, PATTERN):
        return end in seen or bool(hooked & {"hook_attn_scores", "hook_pattern"})
    return end in seen or ENDS.get(end) in seen
