"""What a head does, found without being told: three patterns that trained models show.

Each score is the attention that a head gives, on average, to the one position that its job is about
(Olsson et al. 2022, "In-context learning and induction heads", https://arxiv.org/abs/2209.11895):
1 means always there and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import OptionError
from .run import run_with_cache
from .sites import layers_with
from .tensor import Floats

if TYPE_CHECKING:
    from ..model import Model

PATTERN = "attn.hook_pattern"
_MASK = 2**64 - 1


@dataclass(frozen=True)
class HeadScores:
    """[layer][head], each from 0 to 1."""

    previous_token: list[list[float]]
    """Attention to the token before (of all positions but the first)."""
    duplicate_token: list[list[float]]
    """Attention to where this token stood before (Wang et al. 2022)."""
    induction: list[list[float]]
    """Attention to what came after this token when it stood there before."""

    def best(self, kind: str) -> tuple[int, int, float]:
        """The head that scores highest: (layer, head, score)."""
        rows: list[list[float]] = getattr(self, kind)
        found = ((layer, head, s) for layer, row in enumerate(rows) for head, s in enumerate(row))
        return max(found, key=lambda one: one[2])


def detect_heads(model: Model, *, length: int = 24, samples: int = 4, seed: int = 0) -> HeadScores:
    """Score every head on random tokens that are repeated once: [BOS] A B C … A B C …

    On random text nothing else could tell a head what comes next. `length` tokens are drawn without
    repetition, `samples` times; the same seed draws the same.
    """
    config = model.config
    ids = plain_tokens(model)
    bos = [] if model.tokenizer.bos_id is None else [model.tokenizer.bos_id]
    most = min(len(ids), (config.n_ctx - len(bos)) // 2)
    if not 2 <= length <= most:
        raise OptionError(f"length is {length!r}; 2 to {most} fit this model")
    if samples < 1:
        raise OptionError(f"samples is {samples!r}; at least 1 is needed")
    names = {layer: f"blocks.{layer}.{PATTERN}" for layer in layers_with(config, PATTERN)}
    totals = [[[0.0] * config.n_heads for _ in range(config.n_layers)] for _ in range(3)]
    for sample in range(samples):
        drawn = draw(ids, length, seed + sample)
        tokens = [*bos, *drawn, *drawn]
        _, cache = run_with_cache(model, tokens, list(names.values()), last_only=True)
        for layer, name in names.items():
            values = memoryview(cache.raw(name)).cast("f")
            size = len(tokens) ** 2
            for head in range(config.n_heads):
                rows = values[head * size : (head + 1) * size]
                for total, score in zip(totals, _scores(rows, len(bos), length), strict=True):
                    total[layer][head] += score / samples
    return HeadScores(*totals)


def _scores(rows: Floats, first: int, length: int) -> tuple[float, float, float]:
    """Of one head's pattern, [pos][key]: each over the positions that it is about."""
    count = first + 2 * length

    def mean(offset: int, start: int) -> float:
        found: list[float] = [rows[at * count + at - offset] for at in range(start, count)]
        return sum(found) / len(found)

    again = first + length
    return mean(1, 1), mean(length, again), mean(length - 1, again)


def plain_tokens(model: Model) -> list[int]:
    """The tokens that stand for text: neither marks nor single bytes that are no character."""
    tokenizer = model.tokenizer
    found = [
        token
        for token in range(model.config.n_vocab)
        if not tokenizer.is_special(token) and tokenizer.token_bytes(token).strip()
    ]
    return found or list(range(model.config.n_vocab))


def draw(ids: list[int], count: int, seed: int) -> list[int]:
    """`count` of the ids, none twice, by SplitMix64 (Steele, Lea & Flood 2014) and Fisher-Yates."""
    pool, state = list(ids), seed & _MASK
    for i in range(count):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        j = i + (z ^ (z >> 31)) % (len(pool) - i)
        pool[i], pool[j] = pool[j], pool[i]
    return pool[:count]
