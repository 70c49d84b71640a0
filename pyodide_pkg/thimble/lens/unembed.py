"""From the residual stream to words: what any of its states would say next, and in which direction
of it a token lies.

The final norm and the output matrix are the model's own, in the kernel's arithmetic.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import NumericError, OptionError
from ..kernel import Scratch
from ..plan import compile_plan
from ..sampling import Choice, read_choice
from ..state import State
from .forward import Forward
from .run import check_logits

if TYPE_CHECKING:
    from ..model import Model


def norm_names(model: Model) -> tuple[str, str]:
    """The last norm's weights, and its bias, or nothing."""
    weights, bias = next(op.tensors for op in compile_plan(model.config).end if op.kind == "norm")
    return weights, bias


def output_name(model: Model) -> str:
    """The matrix that turns the residual stream into logits: [n_vocab, dim]."""
    return "token_embd.weight" if model.config.tied_output else "output.weight"


def vector(model: Model, name: str, n: int) -> array[float]:
    """The weights of a norm."""
    kernel = model.kernel
    at = kernel.call("vector_data", model.weights.tensor(name))
    return array("f", kernel.read(at, 4 * n))


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """The sum of products, in float64."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def check_token(model: Model, token: int) -> int:
    """The id, where the vocabulary has it; OptionError elsewhere."""
    n_vocab = model.config.n_vocab
    if not isinstance(token, int) or not 0 <= token < n_vocab:
        raise OptionError(f"token id {token!r} is not in the vocabulary of {n_vocab}")
    return token


def token_direction(model: Model, token: int, against: int | None = None) -> array[float]:
    """The direction [d_model] whose product with a residual stream, divided by its norm's scale, is
    the token's logit (but for `token_bias`, and before a soft cap); with `against`, the difference
    of both tokens' logits.

    The norm's weights are in it (folded, as TransformerLens says), and so is that LayerNorm takes
    the mean off; its scale is not: that depends on the stream. Nor is what an adapter adds to the
    output matrix.
    """
    return normed_direction(model, _row(model, token, against))


def normed_direction(model: Model, row: Sequence[float]) -> array[float]:
    """The direction that reads a stream as `row` reads what the last norm makes of it."""
    weights = vector(model, norm_names(model)[0], model.config.dim)
    found = array("f", (a * w for a, w in zip(row, weights, strict=True)))
    if not model.config.features.layer_norm:
        return found
    mean = sum(found) / len(found)  # the product with a centred stream is that of a centred row
    return array("f", (x - mean for x in found))


def token_bias(model: Model, token: int, against: int | None = None) -> float:
    """What biases of the last norm and of the output matrix give to a token's logit, or to the
    difference of two."""
    found, bias, own = 0.0, norm_names(model)[1], "output.bias"
    if bias:
        found = dot(_row(model, token, against), vector(model, bias, model.config.dim))
    if model.weights.has(own):
        values = vector(model, own, model.config.n_vocab)
        scale = model.config.features.logit_scale or 1.0
        found += (values[token] - (0.0 if against is None else values[against])) / scale
    return found


def _row(model: Model, token: int, against: int | None) -> array[float]:
    """A token's row of the output matrix, or the difference of two, over what logits are."""
    name, dim = output_name(model), model.config.dim
    row = model.weights.row(name, check_token(model, token), dim)
    if against is not None:
        other = model.weights.row(name, check_token(model, against), dim)
        row = array("f", (a - b for a, b in zip(row, other, strict=True)))
    scale = model.config.features.logit_scale
    return array("f", (a / scale for a in row)) if scale else row


class Reader:
    """Turns states of the residual stream into distributions; `with` gives its memory back."""

    def __init__(self, model: Model, rows: int) -> None:
        check_logits(model)
        self._model = model
        self._kernel, config = model.kernel, model.config
        self._row = (config.n_vocab + 3) & ~3
        self._rows = rows
        self._state = State(model, 1)
        self._forward = Forward(self._kernel, config, self._state.address, model.name)
        self.logits = Scratch(self._kernel, 4 * rows * self._row, f"logits of {rows} tokens")
        self._ids = Scratch(self._kernel, 8 * rows, "token ids")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        for memory in (self._state, self.logits, self._ids):
            memory.close()

    def read(self, residual: bytes) -> None:
        """Let `logits` be those of these states, [rows, d_model]."""
        self._forward.read_out(residual, self._rows, self.logits.address)

    def describe(self, ids: Sequence[int], top: int = 0) -> list[Choice]:
        """How probable each row's token is, and its `top` best."""
        return describe(self._model, self.logits.address, ids, top)

    def ranks(self, ids: Sequence[int]) -> list[int]:
        """How each row's token stands among all; 1 is the best."""
        self._ids.write(array("i", ids).tobytes())
        at = self._ids.address
        args = (len(ids), at, at + 4 * len(ids))
        self._kernel.call("capture_ranks", self.logits.address, self._model.config.n_vocab, *args)
        return list(array("i", self._kernel.read(at + 4 * len(ids), 4 * len(ids))))


def describe(model: Model, rows: int, ids: Sequence[int], top: int = 0) -> list[Choice]:
    """How probable each id is by its row of the logits at an address."""
    if not ids:
        return []
    kernel, n_vocab = model.kernel, model.config.n_vocab
    size = kernel.call("choice_bytes")
    # A row of scratch, the ids, the choices, each at a multiple of 16.
    scratch_bytes = (kernel.call("sample_scratch", n_vocab) + 15) & ~15
    choices_at = scratch_bytes + ((4 * len(ids) + 15) & ~15)
    memory = Scratch(kernel, choices_at + size * len(ids), "scoring")
    try:
        memory.write(array("i", ids).tobytes(), scratch_bytes)
        at = memory.address
        args = (len(ids), at + scratch_bytes, top, at, at + choices_at)
        if kernel.call("describe", rows, n_vocab, *args):
            raise NumericError("the logits hold a NaN")
        return [read_choice(kernel, at + choices_at + i * size) for i in range(len(ids))]
    finally:
        memory.close()
