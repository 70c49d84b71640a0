"""What the residual stream says on its way: the logit lens, and whose contribution it was.

Both read the stream as a sum: the embedding, and what each head and each MLP added to it (Elhage et
al. 2021, https://transformer-circuits.pub/2021/framework).
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..sampling import Choice
from .cache import Cache
from .hooks import HookPoint
from .run import Tokens, check_logits, run_with_cache, token_ids
from .sites import place, site_names
from .tensor import Array, flat
from .unembed import Reader, check_token, dot, token_bias, token_direction, vector

if TYPE_CHECKING:
    from ..model import Model


@dataclass(frozen=True)
class LensCell:
    """What the stream says at one place: its `top` tokens (id, log-probability), its entropy in
    nats, and how it sees the target: its log-probability, and its rank (1 is the best)."""

    top: tuple[tuple[int, float], ...]
    entropy: float
    target: int
    logprob: float
    rank: int


@dataclass(frozen=True)
class LogitLens:
    """`cells[depth][position]`: depth 0 is the embedding, depth i the stream after block i - 1; the
    last is what the model says."""

    tokens: tuple[int, ...]
    cells: tuple[tuple[LensCell, ...], ...]


def logit_lens(
    model: Model, tokens: Tokens, *, top: int = 1, targets: Sequence[int] | None = None
) -> LogitLens:
    """The model's final norm and output matrix on the residual stream after every block
    (nostalgebraist 2020, "interpreting GPT: the logit lens").

    `targets`: a token for each position, by default the one that the model finds most probable
    there.
    """
    n_layers = model.config.n_layers
    names = ["blocks.0.hook_resid_pre"]
    names += [f"blocks.{layer}.hook_resid_post" for layer in range(n_layers)]
    _, cache = run_with_cache(model, tokens, names, last_only=True)
    count = len(cache.tokens)
    with Reader(model, count) as reader:
        if targets is None:
            reader.read(cache.raw(names[-1]))
            targets = [choice.top[0][0] for choice in reader.describe([0] * count, 1)]
        if len(targets) != count:
            raise OptionError(f"there are {len(targets)} targets for {count} tokens")
        for token in targets:
            check_token(model, token)
        rows = []
        for name in names:
            reader.read(cache.raw(name))
            choices, ranks = reader.describe(targets, top), reader.ranks(targets)
            rows.append(tuple(map(_cell, choices, ranks)))
    return LogitLens(cache.tokens, tuple(rows))


def _cell(choice: Choice, rank: int) -> LensCell:
    return LensCell(tuple(choice.top), choice.entropy, choice.id, choice.logprob, rank)


@dataclass(frozen=True)
class Part:
    """What one part of the model added to a logit. `kind` is "embed", "position", "head", "conv",
    "scan" or "mlp", or "bias" for what is added whatever the text is."""

    kind: str
    layer: int | None
    head: int | None
    value: float

    @property
    def label(self) -> str:
        """L2H3 for a head, MLP2, or what else it is."""
        if self.kind == "head":
            return f"L{self.layer}H{self.head}"
        named = {
            "mlp": f"MLP{self.layer}",
            "conv": f"CONV{self.layer}",
            "scan": f"SCAN{self.layer}",
            "embed": "embedding",
            "bias": "biases",
        }
        return named.get(self.kind, self.kind)


@dataclass(frozen=True)
class Attribution:
    """A logit, or a difference of two, as a sum of parts; `rest` is what float32 and the rounding
    of a quantized output matrix leave."""

    token: int
    against: int | None
    position: int
    value: float
    parts: tuple[Part, ...]
    rest: float


HEADS = "attn.hook_result"
BLOCKS = {"hook_mlp_out": "mlp", "hook_conv_out": "conv", "hook_ssm_out": "scan"}
"""What is added as one part."""
EMBEDDED = {"hook_embed": "embed", "hook_pos_embed": "position"}
POST_SCALE = "ln1_post.hook_scale"
SCALE = "ln_final.hook_scale"

Added = tuple[str, int | None, int | None, "array[float]"]
"""Of what is added: kind, layer, head, and the row [d_model] at the position."""


class Contributions:
    """What was added to the residual stream at one position, part by part, and what it says."""

    def __init__(
        self, model: Model, position: int, logits: Sequence[float], scale: float,
        added: Sequence[Added],
    ) -> None:  # fmt: skip
        self._model = model
        self._added = added
        self._scale = scale
        self.position = position
        self.logits = logits
        """Of the position, before a soft cap: [d_vocab]."""

    def best(self, most: int) -> list[tuple[int, float]]:
        """The tokens with the largest logits, and these."""
        order = sorted(range(len(self.logits)), key=self.logits.__getitem__, reverse=True)
        return [(token, self.logits[token]) for token in order[:most]]

    def attribution(self, token: int | None = None, against: int | None = None) -> Attribution:
        """How much each part added to a token's logit, by default to the largest one; with
        `against`, to the difference to another's."""
        row = self.logits
        token = max(range(len(row)), key=row.__getitem__) if token is None else token
        direction = token_direction(self._model, token, against)
        always = token_bias(self._model, token, against)
        parts = []
        for kind, layer, head, values in self._added:
            value = dot(values, direction) / self._scale
            parts.append(Part(kind, layer, head, value + always if kind == "bias" else value))
        value = row[token] - (row[against] if against is not None else 0.0)
        rest = value - sum(part.value for part in parts)
        return Attribution(token, against, self.position, value, tuple(parts), rest)


def contributions(model: Model, tokens: Tokens, position: int = -1) -> Contributions:
    """What each part of the model added to the stream at a position.

    Of every head's result and every MLP's only the row of that position is kept, a layer at a time:
    whole they would be heads times as large as the stream.
    """
    ids = token_ids(model, tokens)
    check_logits(model)
    count, config = len(ids), model.config
    if not -count <= position < count:
        raise OptionError(f"there is no position {position}; there are 0 to {count - 1}")
    at = position % count
    rows: dict[str, array[float]] = {}

    def look(value: Array, hook: HookPoint) -> None:
        numbers = flat(value)
        width = len(numbers) // (at + 1)  # nothing that comes later has a part in it
        rows[hook.name] = array("f", numbers[at * width :])

    known = site_names(config)
    names = [name for name in known if name in EMBEDDED or name.endswith((HEADS, *BLOCKS))]
    kept = [name for name in known if name == SCALE or name.endswith(POST_SCALE)]
    logits, cache = run_with_cache(
        model, ids[: at + 1], kept, fwd_hooks=[(name, look) for name in names], last_only=True
    )
    scales = {name: memoryview(cache.raw(name)).cast("f")[-1] for name in kept}
    added = list(_added_rows(model, rows, scales))
    cap = config.features.final_logit_softcapping
    uncapped = [cap * math.atanh(float(x) / cap) if cap else float(x) for x in logits[0]]
    return Contributions(model, at, uncapped, scales[SCALE], added)


def _added_rows(
    model: Model, rows: dict[str, array[float]], scales: dict[str, float]
) -> Iterator[Added]:
    """Yield what was added to the stream, of the rows of a pass and of biases."""
    dim = model.config.dim
    biases = array("f", bytes(4 * dim))
    has_bias = model.config.features.layer_norm
    for name, row in rows.items():
        layer, value = place(name)
        if value in EMBEDDED:
            yield EMBEDDED[value], None, None, row
        elif value in BLOCKS:
            yield BLOCKS[value], layer, None, row
        else:
            # What stands behind attention divides all heads by the same number.
            scale = scales.get(f"blocks.{layer}.{POST_SCALE}")
            gain = array("f", (model.config.features.residual_scale or 1.0,)) * dim
            if scale is not None:
                weights = vector(model, f"blk.{layer}.post_attention_norm.weight", dim)
                gain = array("f", (w / scale for w in weights))
            for head in range(model.config.n_heads):
                part = row[head * dim : (head + 1) * dim]
                yield "head", layer, head, array("f", map(operator.mul, part, gain))
            bias = f"blk.{layer}.attn_output.bias"
            if model.weights.has(bias):
                own = map(operator.mul, vector(model, bias, dim), gain)
                biases, has_bias = array("f", map(operator.add, biases, own)), True
    if has_bias:
        yield "bias", None, None, biases


def logit_attribution(
    model: Model,
    tokens: Tokens,
    token: int | None = None,
    *,
    against: int | None = None,
    position: int = -1,
) -> Attribution:
    """How much each head and each MLP added to a token's logit at a position, by default to that of
    the most probable token; with `against`, to the difference to another's logit.

    Direct effects only, with the scale of the final norm as it was (Elhage et al. 2021; Wang et al.
    2022, https://arxiv.org/abs/2211.00593): what a part does to later parts counts as theirs.
    """
    return contributions(model, tokens, position).attribution(token, against)


def _added(cache: Cache, name: str, at: int, direction: Sequence[float]) -> list[float]:
    """Products of a direction with what was added at a position: one, or one of each head."""
    values, dim = memoryview(cache.raw(name)).cast("f"), len(direction)
    width = len(values) // len(cache.tokens)
    row = values[at * width : (at + 1) * width]
    return [dot(row[i : i + dim], direction) for i in range(0, width, dim)]


def project(
    model: Model, tokens: Tokens, direction: Sequence[float], *, site: str = "hook_resid_post"
) -> list[list[float]]:
    """How far values of every block, [pos, d_model], reach into a direction: [layer][position].

    The direction may be of two tokens (`token_direction`), of two prompts (`steering_vector`), or
    any other of the residual stream.
    """
    dim = model.config.dim
    if len(direction) != dim:
        raise OptionError(f"the direction has {len(direction)} numbers; the stream has {dim}")
    names = [f"blocks.{layer}.{site}" for layer in range(model.config.n_layers)]
    _, cache = run_with_cache(model, tokens, names, last_only=True)
    if cache.shape(names[0])[1:] != (dim,):
        raise OptionError(f"{site} does not lie in the residual stream")
    wanted = array("f", direction)
    return [
        [_added(cache, name, at, wanted)[0] for at in range(len(cache.tokens))] for name in names
    ]
