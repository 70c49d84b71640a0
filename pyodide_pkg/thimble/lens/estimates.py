"""What changes would do, estimated by gradients: two passes for all of them, not one for each.

To first order a change of a value does to the answer what its gradient says: attribution patching
(Nanda 2023, https://www.neelnanda.io/mechanistic-interpretability/attribution-patching; Syed et al.
2023, https://arxiv.org/abs/2310.10348). Where the answer bends on the way the estimate is off;
`patch_grid` and `rank_heads` measure.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Sequence
from operator import mul, sub
from typing import TYPE_CHECKING

from ..backward import Backward, passed
from ..errors import OptionError
from .cache import Cache
from .effects import HeadEffect, PatchGrid, Progress, Ranking, Scorer, check_apart, driven, pair_of
from .forward import Pass
from .interventions import Means, Z
from .run import MOST_BYTES, Tokens, all_hooks, check_cost, run_pass
from .sites import layers_with

if TYPE_CHECKING:
    from ..model import Model

Numbers = Sequence[float]


def attribution_patching(
    model: Model, clean: Tokens, corrupted: Tokens, answer: int, *, against: int | None = None,
    site: str = "hook_resid_pre",
) -> PatchGrid:  # fmt: skip
    """What `patch_grid` measures, estimated: the clean prompt's values less the corrupted one's,
    times the gradient of the answer in the corrupted one. Raises what `patch_grid` raises;
    OptionError where hooks stand on the model, UnsupportedError for an operation that gradients do
    not pass.
    """
    config = model.config
    ids = pair_of(model, clean, corrupted, answer, against)
    layers = layers_with(config, site)
    names = [f"blocks.{layer}.{site}" for layer in layers]
    check_cost(model, 3 * len(ids[0]), names, MOST_BYTES)
    without = [name for name in names if name not in passed(config)]
    if without:
        raise OptionError(f"{without[0]!r} has no gradient; {passed(config)[-2]!r} has one")
    weights = {answer: 1.0} if against is None else {answer: 1.0, against: -1.0}
    backward = Backward(model, len(ids[0]))
    try:
        reached = backward.answer(ids[0], weights)
        began = backward.answer(ids[1], weights, keep=names)
        gradients = dict(backward.kept)
    finally:
        backward.close()
    check_apart(reached, began)
    caches = [_values(model, one, names) for one in ids]
    columns = config.n_heads if site == Z else len(ids[0])
    rows: list[tuple[float, ...]] = [(0.0,) * columns] * config.n_layers
    for layer, name in zip(layers, names, strict=True):
        moved = map(sub, *(_numbers(cache.raw(name)) for cache in caches))
        products = list(map(mul, moved, _numbers(gradients[name])))
        width = len(products) // len(ids[0])
        rows[layer] = tuple(
            found / (reached - began)
            for found in (_by_head(products, columns, width) if site == Z
                          else _by_position(products, width))
        )  # fmt: skip
    return PatchGrid(site, reached, began, tuple(rows))


def attribution_ranking_steps(
    model: Model, stories: Sequence[str], *, mean: Means | None = None
) -> Generator[tuple[int, int, Ranking | None], None, None]:
    """Estimate what every head is worth; yields (done, total, None) after each text, and the
    ranking with the last."""
    config = model.config
    layers = layers_with(config, Z)
    names = [f"blocks.{layer}.{Z}" for layer in layers]
    scorer = Scorer(model, stories)
    longest = max(map(len, scorer.texts))
    check_cost(model, 2 * longest, names, MOST_BYTES)
    nats, worth = 0.0, {layer: [0.0] * config.n_heads for layer in layers}
    backward = Backward(model, longest)
    try:
        for done, ids in enumerate(scorer.texts, start=1):
            nats += backward.loss(ids, [*ids[1:], -1], keep=names)
            cache = _values(model, ids, names)
            for layer, name in zip(layers, names, strict=True):
                found = _numbers(cache.raw(name))
                width = len(found) // len(ids)
                stead = [0.0] * width if mean is None else list(mean[name])
                moved = map(sub, stead * len(ids), found)
                products = list(map(mul, moved, _numbers(backward.kept[name])))
                for head, change in enumerate(_by_head(products, config.n_heads, width)):
                    worth[layer][head] += change
            if done < len(scorer.texts):
                yield done, len(scorer.texts), None
    finally:
        backward.close()
    whole = scorer.bits_per_byte(nats)
    changes = [
        (layer, head, scorer.bits_per_byte(change))
        for layer in layers
        for head, change in enumerate(worth[layer])
    ]
    heads = [HeadEffect(layer, head, whole + change, change) for layer, head, change in changes]
    heads.sort(key=lambda effect: -effect.change)
    total = len(scorer.texts)
    yield total, total, Ranking(whole, tuple(heads))


def attribution_ranking(
    model: Model, stories: Sequence[str], *, mean: Means | None = None,
    progress: Progress | None = None,
) -> Ranking:  # fmt: skip
    """What `rank_heads` measures, estimated: zeros (or `mean`) less what each head says, times the
    gradient of the loss. Raises what `rank_heads` raises, and OptionError where hooks stand on the
    model, UnsupportedError for an operation that gradients do not pass."""
    return driven(attribution_ranking_steps(model, stories, mean=mean), progress)


def _values(model: Model, ids: list[int], names: Sequence[str]) -> Cache:
    wanted = Pass(ids, all_hooks(model, ()), frozenset(names))
    run_pass(model, wanted)
    return Cache(model, tuple(ids), wanted.kept)


def _numbers(data: bytes) -> Numbers:
    return array("f", data)


def _by_position(products: Numbers, width: int) -> list[float]:
    return [sum(products[at : at + width]) for at in range(0, len(products), width)]


def _by_head(products: Numbers, heads: int, width: int) -> list[float]:
    each = width // heads
    starts = range(0, len(products), width)
    return [
        sum(sum(products[at + head * each : at + (head + 1) * each]) for at in starts)
        for head in range(heads)
    ]
