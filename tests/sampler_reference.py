"""The sampling chain in float64, sorted and plain: every stage written from its definition.

What the stages are is said by their papers and by llama.cpp's `src/llama-sampling.cpp`; that
temperature comes before what drops tokens, by `kernels/sample.c`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import thimble

Floats = NDArray[np.float64]
_GOLDEN, _ALL = 0x9E3779B97F4A7C15, 2**64 - 1


@dataclass
class Drawing:
    """What a draw is made from."""

    penalized: Floats
    weights: Floats
    """Relative to the best."""
    fates: list[str]
    temperature: float

    @property
    def survivors(self) -> list[int]:
        return [i for i, fate in enumerate(self.fates) if fate == "kept"]


def uniform(seed: int, position: int) -> float:
    """SplitMix64's number (Steele, Lea & Flood 2014) from seed and position."""

    def mixed(z: int) -> int:
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _ALL
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _ALL
        return z ^ z >> 31

    seeded = mixed(seed + _GOLDEN & _ALL)
    return (mixed(seeded + (position + 1) * _GOLDEN & _ALL) >> 11) * 2.0**-53


def drawing(
    logits: Sequence[float],
    tokens: Sequence[int],
    p: thimble.SamplingParams,
    *,
    mu: float | None = None,
    limit: int | None = None,
    breakers: Sequence[int] = (),
) -> Drawing:
    """What the stages make of some logits after some tokens. `limit`: tokens at the end that no
    sequence breaker divides; `breakers`: ids that are one."""
    x = np.array(logits, np.float64)
    for token, bias in p.logit_bias.items():
        x[token] += bias
    x = penalized(x, tokens, p, len(tokens) if limit is None else limit, breakers)
    temperature = dynamic(x, p)
    w = np.exp((x - x.max()) / temperature)
    fates = ["kept" if w[i] > 0 else "no_weight" for i in range(len(x))]

    def leave(stage: str, survivors: Sequence[int]) -> None:
        for i in range(len(x)):
            if fates[i] == "kept" and i not in survivors:
                fates[i] = stage

    def left() -> list[int]:
        """Best first, the first of equals."""
        return sorted((i for i in range(len(x)) if fates[i] == "kept"), key=lambda i: (-w[i], i))

    if p.mirostat:
        assert mu is not None
        shares = w / w.sum()
        leave("mirostat", [i for i in left() if -math.log2(shares[i]) <= mu] or left()[:1])
        return Drawing(x, w, fates, temperature)
    if p.top_n_sigma:
        possible = x[x > -np.inf]
        leave(
            "top_n_sigma", [i for i in left() if x[i] >= x.max() - p.top_n_sigma * possible.std()]
        )
    if p.top_k:
        leave("top_k", left()[: p.top_k])
    if p.typical_p < 1:
        leave("typical_p", typical(w, left(), p.typical_p))
    if p.top_p < 1:
        order = left()
        before = np.cumsum(w[order]) - w[order]
        leave("top_p", [i for i, sum_ in zip(order, before, strict=True)
                        if sum_ < p.top_p * w[order].sum() or i == order[0]])  # fmt: skip
    if p.min_p:
        order = left()
        leave("min_p", [i for i in order if w[i] >= p.min_p * w[order[0]]])
    chance = uniform(p.seed ^ 0x585443, len(tokens))
    if p.xtc_probability and chance <= p.xtc_probability:
        order = left()
        likely = [i for i in order if w[i] >= p.xtc_threshold * w[order].sum()]
        if len(likely) > 1:
            leave("xtc_probability", [i for i in order if i not in likely[:-1]])
    return Drawing(x, w, fates, temperature)


def penalized(
    x: Floats, tokens: Sequence[int], p: thimble.SamplingParams, limit: int, breakers: Sequence[int]
) -> Floats:
    """Logits less what is there already costs."""
    x = x.copy()
    n = p.repeat_last_n
    for token, count in Counter(
        tokens if n < 0 else tokens[len(tokens) - min(n, len(tokens)) :]
    ).items():
        x[token] = (
            x[token] / p.repetition_penalty if x[token] > 0 else x[token] * p.repetition_penalty
        )
        x[token] -= count * p.frequency_penalty + p.presence_penalty
    if p.dry_multiplier:
        n = p.dry_penalty_last_n
        text = list(tokens if n < 0 else tokens[len(tokens) - min(n, len(tokens)) :])
        for token in set(text) - {*breakers}:
            length = min(repeated(text, token), limit)
            if length >= p.dry_allowed_length:
                x[token] -= p.dry_multiplier * p.dry_base ** (length - p.dry_allowed_length)
    return x


def repeated(text: list[int], token: int) -> int:
    """How many of the text's last tokens stood somewhere before this token."""
    longest = 0
    for at in range(1, len(text)):
        if text[at] == token:
            length = 0
            while length < at and text[at - 1 - length] == text[len(text) - 1 - length]:
                length += 1
            longest = max(longest, length)
    return longest


def dynamic(x: Floats, p: thimble.SamplingParams) -> float:
    """The temperature, by the entropy where it is dynamic."""
    if not p.dynatemp_range:
        return p.temperature
    possible = x[x > -np.inf]
    share = np.exp(possible - possible.max())
    share /= share.sum()
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum()
    low, high = max(0.0, p.temperature - p.dynatemp_range), p.temperature + p.dynatemp_range
    return float(low + (high - low) * (entropy / math.log(len(possible))) ** p.dynatemp_exponent)


def typical(w: Floats, order: list[int], wanted: float) -> list[int]:
    """Those whose surprise is nearest to the entropy, until more than `wanted` is together."""
    share = w[order] / w[order].sum()
    surprise = -np.log(share)
    entropy = (share * surprise).sum()
    found, total = [], 0.0
    for at in sorted(range(len(order)), key=lambda i: (abs(surprise[i] - entropy), order[i])):
        found.append(order[at])
        total += share[at]
        if total > wanted:
            break
    return found


def next_mu(made: Drawing, token: int, mu: float, p: thimble.SamplingParams) -> float:
    """Mirostat's state after a token."""
    share = made.weights[token] / made.weights[made.survivors].sum()
    return float(mu - p.mirostat_eta * (-math.log2(share) - p.mirostat_tau))
