"""Neurons, tokens and matrices looked at by themselves."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from ..errors import OptionError
from ..kernel import Scratch
from ..model_config import is_vector, parts_of
from .interventions import check_units
from .run import Tokens, run_with_cache
from .tensor import Array, Floats, flat, to_array
from .unembed import check_token, dot, norm_names, output_name, vector

if TYPE_CHECKING:
    from ..model import Model

BLOCK = 32
"""Columns that share a scale (`TK_QK`)."""
MOST_ROWS = 64 << 20
"""Bytes of a matrix that is taken out whole."""


class Excitation(NamedTuple):
    """A neuron's activation at a token of a text."""

    value: float
    text: int
    position: int
    token: int


def exciting_tokens(
    model: Model, texts: Iterable[Tokens], *, layer: int, neuron: int, most: int = 20
) -> list[Excitation]:
    """Where in some texts a neuron (`mlp.hook_post`) is most active, by size, the largest first."""
    check_units(model, [(layer, neuron)], model.config.hidden_dim, "neuron")
    name, width = f"blocks.{layer}.mlp.hook_post", model.config.hidden_dim
    found: list[Excitation] = []
    for number, text in enumerate(texts):
        _, cache = run_with_cache(model, text, name, last_only=True)
        values = memoryview(cache.raw(name)).cast("f")
        for at, token in enumerate(cache.tokens):
            found.append(Excitation(values[at * width + neuron], number, at, token))
        found = sorted(found, key=lambda one: -abs(one.value))[:most]
    return found


class Promotion(NamedTuple):
    """What a direction does to the logits: (id, change), the largest first of each."""

    promoted: list[tuple[int, float]]
    suppressed: list[tuple[int, float]]


def neuron_writes(model: Model, *, layer: int, neuron: int, most: int = 10) -> Promotion:
    """Which tokens a neuron promotes and suppresses when it is active: its row of the output
    weights through the output matrix (Geva et al. 2022, https://arxiv.org/abs/2203.14680).

    The norm's weights count, its scale does not: the numbers can be compared with each other only.
    """
    config = model.config
    check_units(model, [(layer, neuron)], config.hidden_dim, "neuron")
    name = f"blk.{layer}.ffn_down.weight"
    if not model.weights.has(name):
        raise OptionError(f"layer {layer} of model {model.name!r} has no neurons of its own")
    column = [model.weights.row(name, i, config.hidden_dim)[neuron] for i in range(config.dim)]
    return direction_writes(model, column, most=most)


def direction_writes(model: Model, direction: Iterable[float], *, most: int = 10) -> Promotion:
    """Which tokens a direction of the residual stream promotes and suppresses."""
    kernel, config = model.kernel, model.config
    values = array("f", direction)
    if config.features.layer_norm:
        mean = sum(values) / len(values)
        values = array("f", (x - mean for x in values))
    weights = vector(model, norm_names(model)[0], config.dim)
    scaled = array("f", (x * w for x, w in zip(values, weights, strict=True)))
    row = (config.n_vocab + 3) & ~3
    memory = Scratch(kernel, 4 * (config.dim + row), "a product")
    try:
        memory.write(scaled.tobytes())
        at = memory.address
        address = model.weights.tensor(output_name(model))
        if kernel.call("product", address, at, 1, at + 4 * config.dim):
            raise OptionError("no memory for a product")
        logits = memory.floats(config.n_vocab, 4 * config.dim)
    finally:
        memory.close()
    order = sorted(range(len(logits)), key=logits.__getitem__)
    named = [(token, logits[token]) for token in order]
    return Promotion(named[: -most - 1 : -1], named[:most])


def similar_tokens(model: Model, token: int, *, most: int = 10) -> list[tuple[int, float]]:
    """The tokens whose embeddings lie nearest to one's, by cosine, itself left out."""
    found = [one for one in enumerate(token_cosines(model, token)) if one[0] != token]
    return sorted(found, key=lambda one: -one[1])[:most]


def token_cosines(model: Model, token: int) -> list[float]:
    """Cosines between a token's embedding and those of the whole vocabulary."""
    kernel, config = model.kernel, model.config
    check_token(model, token)
    memory = Scratch(kernel, 4 * (2 * config.dim + config.n_vocab), "cosines")
    try:
        cosines = memory.address + 8 * config.dim
        embeddings = model.weights.tensor("token_embd.weight")
        kernel.call("row_cosines", embeddings, token, memory.address, cosines)
        return memory.floats(config.n_vocab, 8 * config.dim).tolist()
    finally:
        memory.close()


def similarities(model: Model, tokens: Iterable[int]) -> list[list[float]]:
    """Cosines between the embeddings of some tokens, [token][token]."""
    rows = [_unit(_row(model, check_token(model, token))) for token in tokens]
    return [[dot(a, b) for b in rows] for a in rows]


def _row(model: Model, token: int) -> array[float]:
    return model.weights.row("token_embd.weight", token, model.config.dim)


def _unit(row: array[float]) -> array[float]:
    size = math.sqrt(dot(row, row))
    return array("f", (x / size for x in row)) if size else row


def matrix(model: Model, name: str) -> Array:
    """A tensor's numbers as the kernels multiply with them, [rows, cols], or [n] for a norm's."""
    found = {tensor.name: tensor for tensor in model.tensors}
    if name not in found:
        raise OptionError(f"there is no tensor {name!r}; there are {', '.join(sorted(found))}")
    size = found[name].shape
    if 4 * found[name].n_elements > MOST_ROWS:
        raise OptionError(f"{name} is {size}, more than is taken out at once")
    if is_vector(found[name]):
        parts = parts_of(model.config, name) or ((name, found[name].n_elements),)
        return to_array(b"".join(vector(model, *part).tobytes() for part in parts), size)
    rows = (model.weights.row(name, i, size[-1]).tobytes() for i in range(prod(size[:-1])))
    return to_array(b"".join(rows), size)


_DIGITS = {"F32": (24, -126), "F16": (11, -14), "BF16": (8, -126)}
"""Binary digits of a number, the first one included; the exponent below which it gets fewer."""


def rounding(model: Model, name: str) -> Array:
    """How far storing has moved each weight of a matrix, at most: half the distance to the next
    number that could stand in its place, [rows, cols].

    In Q8_0 and Q4_0 that is half a block's scale; Q4_0 has no number for a block's other extreme,
    which may be off by a whole one. What the weights were before is not in the file: with both
    models loaded, `matrix(other, name) - matrix(model, name)` is the error itself.
    """
    weights = matrix(model, name)
    tensor = next(tensor for tensor in model.tensors if tensor.name == name)
    rows = range(prod(tensor.shape[:-1]))
    moved = _moved(model, name, tensor.type.name, flat(weights), rows)
    return to_array(moved.tobytes(), tensor.shape)


def sampled(model: Model, name: str, most: int) -> tuple[array[float], array[float], int]:
    """A matrix, or the weights of a norm as one row, without the need for memory of all of it:
    every so many rows, so that there are at most `most` numbers and one row at least; the
    `rounding` of each; and how many rows one stands for."""
    tensor = next((tensor for tensor in model.tensors if tensor.name == name), None)
    if tensor is None or is_vector(tensor):
        weights = array("f", flat(matrix(model, name)))  # says which names there are
        rows, every = range(1), 1
    else:
        n_rows, cols = prod(tensor.shape[:-1]), tensor.shape[-1]
        every = max(1, -(-n_rows * cols // most))
        rows, weights = range(0, n_rows, every), array("f")
        for row in rows:
            weights += model.weights.row(name, row, cols)
    encoding = tensor.type.name if tensor else ""
    return weights, _moved(model, name, encoding, memoryview(weights), rows), every


def _moved(model: Model, name: str, encoding: str, weights: Floats, rows: range) -> array[float]:
    """The `rounding` of some rows of a tensor."""
    if encoding in _DIGITS:
        digits, least = _DIGITS[encoding]
        return array("f", (_half_step(x, digits, least) for x in weights))
    kernel, cols = model.kernel, len(weights) // len(rows)
    memory = Scratch(kernel, 4 * (cols // BLOCK), "scales")
    found = array("f")
    try:
        for row in rows:
            part, own = model.weights.part(name, row)
            kernel.call("row_steps", model.weights.tensor(part), own, memory.address)
            for step in memory.floats(cols // BLOCK):
                found += array("f", (abs(step) / 2,)) * BLOCK
    finally:
        memory.close()
    return found


def _half_step(x: float, digits: int, least: int) -> float:
    """Half the distance from a number of so many binary digits to the next."""
    exponent = math.frexp(x)[1] - 1 if x else least
    return math.ldexp(1.0, max(exponent, least) - digits)
