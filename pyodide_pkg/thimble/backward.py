"""A model forward and backward over whole texts: what each value inside has to do with the loss.

    backward = Backward(model, positions=128)
    nats = backward.loss(ids, targets)              # and the gradients of adapters that learn
    backward.kept["blocks.0.hook_resid_pre"]        # of values that `keep` names

Forward keeps what goes into each layer. Backward takes the layers from last to first: it computes
one again with all its values in memory, then goes through its operations in reverse
(`kernels/backward.c`). So the memory is that of one layer and one stream a layer, and no weight is
a float for longer than a tile is used. Products with quantized matrices round what they multiply to
8 bits; gradients pass that as if it were not there (Bengio et al. 2013).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from .errors import MemoryLimitError, NumericError, OptionError, ThimbleError, UnsupportedError
from .kernel import Kernel, Scratch
from .plan import NUMBER_OF, ON_DEMAND, VALUES, Layer, Plan, compile_plan, widths
from .program import STAGES, value_width
from .state import State, failure, state_bytes

if TYPE_CHECKING:
    from .model import Model
    from .model_config import ModelConfig

ROWS = 32
"""Positions whose logits are there at once."""
PASSED = frozenset((
    "embed", "positions", "rotations", "norm", "products", "halves", "head_norm", "temper", "rope",
    "attend", "heads_out", "activate", "add", "last", "soft_cap", "scale", "check", "short_conv",
    "route", "experts_in", "experts_out", "multiply", "scan", "delta", "pool",
))  # fmt: skip
"""Kinds of operations that gradients pass (`kernels/backward.c`)."""
WITHOUT = ON_DEMAND | {
    "ids", "rope", "rope_local", "mlp.hook_expert_indices", "mlp.gathered", "mlp.multiplied",
}  # fmt: skip
"""Values that have no gradient."""
IN, OUT = "hook_resid_pre", "hook_resid_post"


def check(config: ModelConfig, name: str) -> None:
    """Raise UnsupportedError where gradients do not pass an operation of a model called `name`."""
    for _, section in compile_plan(config).sections():
        for op in section:
            if op.kind not in PASSED:
                raise UnsupportedError(
                    f"model {name!r} has the operation {op.kind!r}, which gradients do not pass"
                )


def passed(config: ModelConfig) -> list[str]:
    """Return the names of all values that have gradients, in the order in which they arise."""
    plan = compile_plan(config)
    names = [] if plan.stream == IN else [plan.stream]
    for layer, section in enumerate(plan.layers):
        inside = dict.fromkeys(v for op in section for v in (*op.inputs, *op.outputs))
        names += [f"blocks.{layer}.{value}" for value in inside if value not in WITHOUT]
    return names


class Backward:
    """Memory for passes over texts of at most so many positions. Close it to give it back."""

    def __init__(self, model: Model, positions: int) -> None:
        """Raises UnsupportedError, MemoryLimitError; OptionError where hooks stand on the model."""
        check(model.config, model.name)
        if model.fwd_hooks:
            raise OptionError(
                "hooks stand on the model, which gradients would not see: remove them"
            )
        self.kept: dict[str, bytes] = {}
        """Of the last pass, the gradients of values that were asked for: float32, a row each
        position."""
        self._model, self._kernel, self._config = model, model.kernel, model.config
        self._plan = compile_plan(model.config)
        self._positions = positions
        self._stream = 4 * positions * value_width(self._config, IN)
        self._state = State(model, positions, whole=True)
        self._numbers = Scratch(self._kernel, 16 + 4 * positions, "a loss")
        self._streams = Scratch(
            self._kernel, self._stream * (self._config.n_layers + 3), "a text's streams"
        )
        self._values, self._value_at = self._place(ON_DEMAND)
        self._grads, self._grad_at = self._place(WITHOUT)
        self._threads = self._kernel.call("threads_alive")

    def _place(self, without: frozenset[str]) -> tuple[Scratch, dict[str, int]]:
        """Memory for each value of a section but some, behind a table of their addresses."""
        places, total = _layout(self._config, self._plan, self._positions, without)
        scratch = Scratch(self._kernel, total, f"gradients over {self._positions:,} tokens")
        return scratch, {value: scratch.address + place for value, place in places.items()}

    def loss(
        self, ids: Sequence[int], targets: Sequence[int], *, scale: float = 1.0,
        keep: Collection[str] = (), learn: bool = True,
    ) -> float:  # fmt: skip
        """Return the negative log-likelihood of the targets in nats, each behind the token at its
        place; one below 0 is none. Gradients are of `scale` times that: those of adapters that
        learn are added up, those of values that `keep` names are in `kept`. Without `learn` nothing
        flows back. Raises OptionError for ids and targets that do not fit, NumericError."""
        n = len(ids)
        if not self._config.features.causal:
            raise UnsupportedError(
                f"model {self._model.name!r} is an encoder, which has no next tokens and so no loss"
            )
        if len(targets) != n:
            raise OptionError(
                f"a text of {n:,} tokens with {len(targets):,} targets; a target for each is right"
            )
        self._begin(ids, targets)
        self._numbers.write(struct.pack("<2d", 0.0, scale) + array("i", targets).tobytes())
        self._forward(n)
        self._head(n, targets, learn=learn)
        if learn:
            self._back(n, frozenset(keep))
        (nats,) = struct.unpack("<d", self._kernel.read(self._numbers.address, 8))
        return float(nats)

    def answer(
        self, ids: Sequence[int], weights: Mapping[int, float], *, keep: Collection[str] = ()
    ) -> float:
        """Return the sum of the last position's logits of these tokens, each times its weight, and
        keep gradients of it. Raises OptionError, UnsupportedError for an encoder."""
        n, vocab = len(ids), self._config.n_vocab
        if not self._config.features.causal:
            raise UnsupportedError(f"model {self._model.name!r} is an encoder: it has no logits")
        self._begin(ids, list(weights))
        self._forward(n)
        layers, end = self._config.n_layers, self._plan.end
        start = sum(len(section) for _, section in self._plan.sections()) - len(end)
        row = self._stream // self._positions
        last = (n - 1) * row
        values = {OUT: self._stream_at(layers) + last}
        self._run(1, start, start + len(end), values)
        logits = array("f", self._kernel.read(self._value_at["logits"], 4 * vocab))
        toward = array("f", bytes(4 * value_width(self._config, "logits")))
        for token, weight in weights.items():
            toward[token] = weight
        self._kernel.write(self._grad_at["logits"], toward.tobytes())
        into = self._gradient_at(layers)
        self._kernel.write(into, bytes(n * row))
        self._run_back(1, start, start + len(end), values, {OUT: into + last})
        self._back(n, frozenset(keep))
        return float(sum(weight * logits[token] for token, weight in weights.items()))

    def vector(
        self, ids: Sequence[int], toward: Sequence[float], *, keep: Collection[str] = ()
    ) -> array[float]:
        """Return an encoder's vector of a text, of any length. Gradients are of its product with
        `toward`. Raises OptionError, UnsupportedError for a model that is no encoder."""
        n, dim = len(ids), self._config.dim
        if self._config.features.causal:
            raise UnsupportedError(f"model {self._model.name!r} is no encoder, and has no vector")
        if len(toward) != dim:
            raise OptionError(f"a direction of {len(toward):,} numbers; {dim:,} are right")
        self._begin(ids)
        self._forward(n)
        layers, end = self._config.n_layers, self._plan.end
        start = sum(len(section) for _, section in self._plan.sections()) - len(end)
        values, place = {OUT: self._stream_at(layers)}, end[-1].inputs[0]
        self._run(n, start, start + len(end), values, wanted=1)
        found = array("f", self._kernel.read(self._value_at[place], 4 * dim))
        self._kernel.write(self._grad_at[place], array("f", toward).tobytes())
        grads = {OUT: self._gradient_at(layers)}
        self._run_back(n, start, start + len(end), values, grads, wanted=1)
        self._back(n, frozenset(keep))
        return found

    def _begin(self, ids: Sequence[int], targets: Sequence[int] = ()) -> None:
        n, vocab = len(ids), self._config.n_vocab
        if not 1 <= n <= self._positions:
            raise OptionError(f"a text of {n:,} tokens; 1 to {self._positions:,} are right")
        if min(ids) < 0 or max(ids) >= vocab or max(targets, default=0) >= vocab:
            raise OptionError(f"an id is not in the vocabulary of {vocab:,}")
        self.kept = {}
        self._kernel.write(self._value_at["ids"], array("i", ids).tobytes())

    def _forward(self, n: int) -> None:
        begin = self._plan.begin
        self._run(n, 0, len(begin), {self._plan.stream: self._stream_at(0)})
        at = len(begin)
        for layer, section in enumerate(self._plan.layers):
            self._run(n, at, at + len(section), self._around(layer))
            at += len(section)

    def _head(self, n: int, targets: Sequence[int], *, learn: bool) -> None:
        """The loss, some rows at a time, and what flows from it into the last stream."""
        layers = self._config.n_layers
        start = sum(len(section) for _, section in self._plan.sections()) - len(self._plan.end)
        row = self._stream // self._positions
        into = self._gradient_at(layers)
        self._kernel.write(into, bytes(n * row))
        chosen = [place for place, target in enumerate(targets) if target >= 0]
        for first in range(chosen[0], chosen[-1] + 1, ROWS) if chosen else ():
            rows = min(ROWS, chosen[-1] + 1 - first)
            values = {OUT: self._stream_at(layers) + first * row}
            self._run(rows, start, start + len(self._plan.end), values)
            numbers = self._numbers.address
            args = (rows, self._config.n_vocab, numbers + 16 + 4 * first, numbers)
            places = self._value_at["logits"], self._grad_at["logits"]
            if self._kernel.call("loss_back", places[0], *args, places[1]):
                raise NumericError("the loss is not finite")
            if learn:
                end = start + len(self._plan.end)
                self._run_back(rows, start, end, values, {OUT: into + first * row})

    def _back(self, n: int, keep: frozenset[str]) -> None:
        at = sum(len(section) for _, section in self._plan.sections()) - len(self._plan.end)
        for layer in reversed(range(self._config.n_layers)):
            section = self._plan.layers[layer]
            end, at = at, at - len(section)
            values = self._around(layer)
            grads = {IN: self._gradient_at(layer), OUT: self._gradient_at(layer + 1)}
            self._run(n, at, at + _needed(section), values)
            self._run_back(n, at, end, values, grads)
            self._keep(f"blocks.{layer}.", _values(section), n, grads, keep)
        grads = {self._plan.stream: self._gradient_at(0)}
        self._keep("", (self._plan.stream,), n, grads, keep)

    def _keep(
        self, prefix: str, names: Iterable[str], n: int, places: dict[str, int],
        keep: frozenset[str],
    ) -> None:  # fmt: skip
        for value in names:
            if prefix + value in keep and value not in WITHOUT:
                at = places.get(value) or self._grad_at[value]
                padded = 4 * value_width(self._config, value)
                width = 4 * prod(widths(self._config)[axis] for axis in VALUES[value][1:])
                data = self._kernel.read(at, n * padded)
                if width < padded:
                    data = b"".join(data[i * padded :][:width] for i in range(n))
                self.kept[prefix + value] = data

    def _stream_at(self, layer: int) -> int:
        """What goes into a layer."""
        return self._streams.address + layer * self._stream

    def _gradient_at(self, layer: int) -> int:
        """The gradient of that: there are two, by turns."""
        return self._stream_at(self._config.n_layers + 1 + layer % 2)

    def _around(self, layer: int) -> dict[str, int]:
        return {IN: self._stream_at(layer), OUT: self._stream_at(layer + 1)}

    def _table(self, scratch: Scratch, places: dict[str, int], own: dict[str, int]) -> int:
        found = {**places, **own}
        scratch.write(array("q", [found.get(value, 0) for value in NUMBER_OF]).tobytes())
        return scratch.address

    def _run(
        self, n: int, start: int, end: int, own: dict[str, int], *, wanted: int | None = None
    ) -> None:
        table = self._table(self._values, self._value_at, own)
        args = (n, wanted or n, start * STAGES, end * STAGES)
        status = self._kernel.call("run_program", self._state.address, table, *args)
        self._check(status)

    def _run_back(
        self, n: int, start: int, end: int, values: dict[str, int], grads: dict[str, int], *,
        wanted: int | None = None,
    ) -> None:  # fmt: skip
        tables = (
            self._table(self._values, self._value_at, values),
            self._table(self._grads, self._grad_at, grads),
        )
        args = (n, wanted or n, start, end)
        status = self._kernel.call("run_backward", self._state.address, *tables, *args)
        self._check(status, back=True)

    def _check(self, status: int, *, back: bool = False) -> None:
        if self._kernel.call("threads_alive") < self._threads:
            raise ThimbleError("a thread died while gradients were computed: begin again")
        if status < 0:
            raise MemoryLimitError("no memory for gradients")
        if status and back:
            raise NumericError(
                f"a gradient is not finite in layer {(status & 0x3FFF) - 1} of model "
                f"{self._model.name!r}"
            )
        if status:
            raise failure(self._model.name, self._config.n_layers, status)

    def close(self) -> None:
        """Give the memory back."""
        self._state.close()
        for scratch in (self._numbers, self._streams, self._values, self._grads):
            scratch.close()


def backward_bytes(kernel: Kernel, config: ModelConfig, positions: int) -> int:
    """Return the bytes of kernel memory that a `Backward` takes."""
    plan = compile_plan(config)
    streams = 4 * positions * value_width(config, IN) * (config.n_layers + 3)
    values = sum(_layout(config, plan, positions, without)[1] for without in (ON_DEMAND, WITHOUT))
    return streams + values + state_bytes(kernel, config, positions)


def _layout(
    config: ModelConfig, plan: Plan, positions: int, without: frozenset[str]
) -> tuple[dict[str, int], int]:
    """Where each value of a section but some lies, behind a table of all addresses; and the end."""
    places: dict[str, int] = {}
    total = 8 * len(VALUES)
    for section in (plan.begin, *plan.layers, plan.end):
        few = section is plan.end and config.features.causal
        rows = ROWS if few else positions
        for value in _values(section):
            if value not in {*places, *without, IN, OUT, plan.stream}:
                total = (total + 63) & ~63
                places[value] = total
                total += 4 * rows * (value_width(config, value) or 1)
    return places, total


def _values(section: Layer) -> list[str]:
    """The values of a section that have memory, in the order in which they arise."""
    found = dict.fromkeys(v for op in section for v in (*op.inputs, *op.outputs))
    return [value for value in found if value and value not in ON_DEMAND]


def _needed(section: Layer) -> int:
    """How many operations leave what flows back through the section reads: what comes behind the
    last that leaves such a value is not computed again."""
    adds = {"add", "check"}
    read = {value for op in section if op.kind not in adds for value in op.inputs}
    return 1 + max(i for i, op in enumerate(section) if read & {*op.outputs})
