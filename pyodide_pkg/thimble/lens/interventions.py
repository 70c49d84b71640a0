"""Changes to a model as hooks, ready for `run_with_hooks` and `model.hooked`.

    model.hooked(ablate_heads(model, [(2, 3), (4, 0)]))
    model.hooked(steer(model, steering_vector(model, "I love", "I hate", layer=3), layer=3,
                       strength=4.0))

Each function returns a list of (name, function) pairs, so that several can be added up with `+`. A
change by nothing (a factor of 1, a strength of 0) changes no bit.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import OptionError
from .cache import Cache
from .hooks import HookFunction, HookPoint
from .run import Tokens, run_with_cache
from .sites import Names, axes, select
from .tensor import Array, Floats, flat, shape_of

if TYPE_CHECKING:
    from ..model import Model

Hook = tuple[str, HookFunction]
Unit = tuple[int, int]
"""(layer, head) or (layer, neuron)."""
Means = Mapping[str, Sequence[float]]
"""What `means` measured, by name."""

Z, POST = "attn.hook_z", "mlp.hook_post"
ATTN_OUT, MLP_OUT, RESID_PRE = "hook_attn_out", "hook_mlp_out", "hook_resid_pre"


def ablate_heads(model: Model, heads: Iterable[Unit], mean: Means | None = None) -> list[Hook]:
    """Switch attention heads off: their output z is 0, or with `mean` (from `means`) what it is on
    average, which takes away what a head says without surprising who listens (Wang et al. 2022,
    https://arxiv.org/abs/2211.00593)."""
    return _replace(model, heads, Z, model.config.n_heads, model.config.head_dim, "head", mean)


def ablate_neurons(model: Model, neurons: Iterable[Unit], mean: Means | None = None) -> list[Hook]:
    """Switch neurons of the MLPs off: 0, or their mean."""
    return _replace(model, neurons, POST, model.config.hidden_dim, 1, "neuron", mean)


def ablate_mlps(model: Model, layers: Iterable[int], mean: Means | None = None) -> list[Hook]:
    """Switch whole MLPs off: they add nothing, or what they add on average."""
    units = [(layer, 0) for layer in layers]
    return _replace(model, units, MLP_OUT, 1, model.config.dim, "MLP", mean)


def ablate_attention(model: Model, layers: Iterable[int], mean: Means | None = None) -> list[Hook]:
    """Switch the whole attention of layers off, in the same way."""
    units = [(layer, 0) for layer in layers]
    return _replace(model, units, ATTN_OUT, 1, model.config.dim, "attention", mean)


def scale_heads(model: Model, factors: Mapping[Unit, float]) -> list[Hook]:
    """Multiply the outputs of heads."""
    return _scale(model, factors, Z, model.config.n_heads, model.config.head_dim, "head")


def scale_neurons(model: Model, factors: Mapping[Unit, float]) -> list[Hook]:
    """Multiply the activations of neurons."""
    return _scale(model, factors, POST, model.config.hidden_dim, 1, "neuron")


def scale_mlps(model: Model, factors: Mapping[int, float]) -> list[Hook]:
    """Multiply what whole MLPs add."""
    units = {(layer, 0): factor for layer, factor in factors.items()}
    return _scale(model, units, MLP_OUT, 1, model.config.dim, "MLP")


def steering_vector(
    model: Model, towards: Tokens, away: Tokens, *, layer: int, every: bool = False
) -> array[float]:
    """The direction [d_model] of the residual stream before `layer` that leads from one prompt to
    another: the difference at their last tokens or, with `every`, of their means over all tokens
    but the first (Turner et al. 2023, "Activation addition", https://arxiv.org/abs/2308.10248)."""
    check_layer(model, layer)
    name = f"blocks.{layer}.{RESID_PRE}"
    sides: list[list[float]] = []
    for prompt in (towards, away):
        _, cache = run_with_cache(model, prompt, name, last_only=True)
        values = memoryview(cache.raw(name)).cast("f")
        rows = _rows(values, model.config.dim)
        chosen = (rows[1:] or rows) if every else rows[-1:]
        sides.append([sum(column) / len(chosen) for column in zip(*chosen, strict=True)])
    return array("f", map(operator.sub, *sides))


def steer(
    model: Model,
    direction: Sequence[float],
    *,
    layer: int,
    strength: float = 1.0,
    first: int = 0,
    last: int | None = None,
) -> list[Hook]:
    """Add a direction [d_model], times a strength, to the residual stream before `layer`, at the
    positions from `first` on, up to and with `last`: of the prompt, and of what is written."""
    check_layer(model, layer)
    dim = model.config.dim
    if len(direction) != dim:
        raise OptionError(f"the direction has {len(direction)} numbers; the stream has {dim}")
    added = [float(strength) * float(x) for x in direction]
    if not any(added):
        return []

    def add(values: Array, hook: HookPoint) -> None:
        out = flat(values)
        for row in range(len(out) // dim):
            at = hook.past + row
            if at >= first and (last is None or at <= last):
                part = slice(row * dim, (row + 1) * dim)
                out[part] = memoryview(array("f", map(operator.add, out[part], added)))

    return [(f"blocks.{layer}.{RESID_PRE}", add)]


def patch(
    model: Model,
    cache: Cache,
    names: Names,
    *,
    positions: Iterable[int] | None = None,
    heads: Iterable[int] | None = None,
) -> list[Hook]:
    """Put values of another pass in the place of this one's, at all positions or some, of all heads
    or some: activation patching (Vig et al. 2020, https://arxiv.org/abs/2004.12265; Meng et al.
    2022, https://arxiv.org/abs/2202.05262)."""
    hooks: list[Hook] = []
    chosen_heads = None if heads is None else sorted(set(heads))
    for name in select(model.config, names):
        kinds = axes(name)
        if chosen_heads is not None and "head" not in kinds and "kv_head" not in kinds:
            raise OptionError(f"{name} has no heads; leave heads out, or patch attn.hook_z")
        if positions is not None and "key" in kinds:
            raise OptionError(f"{name} is about pairs of positions; patch it as a whole")
        wanted = None if positions is None else _positions(positions, len(cache.tokens))
        hooks.append((name, _patcher(cache, name, wanted, chosen_heads)))
    return hooks


def means(model: Model, texts: Iterable[Tokens], names: Names) -> dict[str, list[float]]:
    """What values are on average over all positions of some texts: for the ablation by means.

    Of each name one row, without the position's axis, flat: of `attn.hook_z` [head · d_head].
    """
    wanted = select(model.config, names)
    sums: dict[str, list[float]] = {}
    count = 0
    for text in texts:
        _, cache = run_with_cache(model, text, wanted, last_only=True)
        count += len(cache.tokens)
        for name in wanted:
            if "key" in axes(name):
                raise OptionError(f"{name} has no mean: its size depends on the text")
            values = memoryview(cache.raw(name)).cast("f")
            for row in _rows(values, len(values) // len(cache.tokens)):
                sums[name] = list(map(operator.add, sums[name], row)) if name in sums else list(row)
    if not count:
        raise OptionError("there are no texts to take means over")
    return {name: [x / count for x in row] for name, row in sums.items()}


def check_layer(model: Model, layer: int) -> int:
    """The layer, where the model has it; OptionError elsewhere."""
    n_layers = model.config.n_layers
    if not isinstance(layer, int) or not 0 <= layer < n_layers:
        raise OptionError(f"there is no layer {layer!r}; there are 0 to {n_layers - 1}")
    return layer


def check_units(model: Model, units: Iterable[Unit], count: int, what: str) -> dict[int, list[int]]:
    """Units by their layers; OptionError for one that there is not."""
    found: dict[int, list[int]] = {}
    for layer, unit in units:
        check_layer(model, layer)
        if not isinstance(unit, int) or not 0 <= unit < count:
            raise OptionError(f"there is no {what} {unit!r} in a layer; there are 0 to {count - 1}")
        found.setdefault(layer, []).append(unit)
    return found


def _replace(
    model: Model, units: Iterable[Unit], site: str, count: int, size: int, what: str,
    mean: Means | None,
) -> list[Hook]:  # fmt: skip
    """Hooks that put 0 or means in the place of units, [pos][count][size]."""
    hooks: list[Hook] = []
    for layer, chosen in sorted(check_units(model, units, count, what).items()):
        name = f"blocks.{layer}.{site}"
        row = array("f", bytes(4 * count * size)) if mean is None else array("f", _mean(mean, name))
        if len(row) != count * size:
            raise OptionError(f"the means of {name} are {len(row)} numbers, not {count * size}")
        hooks.append((name, _replacer(sorted(set(chosen)), memoryview(row), size)))
    return hooks


def _mean(mean: Means, name: str) -> Sequence[float]:
    if name not in mean:
        raise OptionError(f"there are no means of {name}; measure them with lens.means")
    return mean[name]


def _replacer(units: list[int], row: Floats, size: int) -> HookFunction:
    def replace(values: Array, _hook: HookPoint) -> None:
        out = flat(values)
        for start in range(0, len(out), len(row)):
            for unit in units:
                part = slice(unit * size, (unit + 1) * size)
                out[start + part.start : start + part.stop] = row[part]

    return replace


def _scale(
    model: Model, factors: Mapping[Unit, float], site: str, count: int, size: int, what: str
) -> list[Hook]:
    by_layer: dict[int, dict[int, float]] = {}
    check_units(model, factors, count, what)
    for (layer, unit), factor in factors.items():
        by_layer.setdefault(layer, {})[unit] = float(factor)

    def scaler(chosen: dict[int, float]) -> HookFunction:
        def scale(values: Array, _hook: HookPoint) -> None:
            out = flat(values)
            for start in range(0, len(out), count * size):
                for unit, factor in chosen.items():
                    part = slice(start + unit * size, start + (unit + 1) * size)
                    out[part] = memoryview(array("f", (x * factor for x in out[part])))

        return scale

    return [(f"blocks.{layer}.{site}", scaler(by_layer[layer])) for layer in sorted(by_layer)]


def _positions(positions: Iterable[int], count: int) -> set[int]:
    found = set()
    for one in positions:
        if not -count <= one < count:
            raise OptionError(f"there is no position {one}; there are 0 to {count - 1}")
        found.add(one % count)
    return found


def _patcher(
    cache: Cache, name: str, positions: set[int] | None, heads: list[int] | None
) -> HookFunction:
    source, kinds = memoryview(cache.raw(name)).cast("f"), axes(name)
    by_position = "key" not in kinds
    size = cache.shape(name)

    def put(values: Array, hook: HookPoint) -> None:
        out, shape = flat(values), shape_of(values)
        assert shape is not None
        if not by_position and shape != size:
            raise OptionError(f"{hook.name} is {shape} here and {size} there")
        outer, middle = (shape[0], shape[1]) if len(shape) == 3 else (shape[0], 1)
        inner = len(out) // (outer * middle)
        for first in range(outer):
            there = first + hook.past if by_position else first
            if by_position and not (there < size[0] and (positions is None or there in positions)):
                continue
            if not by_position and heads is not None and first not in heads:
                continue
            chosen = heads if by_position and heads is not None else range(middle)
            for second in chosen:
                to, at = (first * middle + second) * inner, (there * middle + second) * inner
                out[to : to + inner] = source[at : at + inner]

    return put


def _rows(values: Floats, width: int) -> list[Floats]:
    return [values[at : at + width] for at in range(0, len(values), width)]
