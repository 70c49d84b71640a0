"""What becomes of each token between the logits and the draw, against NumPy."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
import pytest

import thimble
from thimble.debug import FATES, Tracer
from thimble.kernel import Scratch, default_kernel
from thimble.sampling import Sampler

LOGITS = np.random.default_rng(4).normal(0, 3, 301).astype(np.float32)


def trace(**options: Any) -> Any:
    edits = options.pop("edits", {})
    tokens = options.pop("tokens", [3, 4, 5])
    kernel = default_kernel()
    sampler = Sampler(kernel, LOGITS.size, thimble.SamplingParams(top_logprobs=5, **options))
    tracer = Tracer(kernel, LOGITS.size)
    logits = array("f", LOGITS.tobytes())
    traced = tracer.run(sampler, logits, tokens, edits, best=64)
    assert traced.id == tracer.choose(sampler, logits, tokens, edits)
    tracer.close()
    sampler.close()
    return traced


@pytest.mark.parametrize("options", [
    {}, {"temperature": 0.7}, {"top_k": 7}, {"top_p": 0.6}, {"min_p": 0.1}, {"temperature": 0},
    {"temperature": 1.3, "top_k": 40, "top_p": 0.8, "min_p": 0.05},
    {"logit_bias": {7: 4.0, 11: -math.inf}, "repetition_penalty": 1.4},
    {"edits": {9: 12.0, 10: -math.inf}, "top_p": 0.9},
])  # fmt: skip
def test_the_stages_are_what_numpy_makes_of_them(options: dict[str, Any]) -> None:
    for seed_ in range(25):
        traced = trace(**options, seed=seed_, tokens=list(range(seed_)))
        after = LOGITS.astype(np.float64).copy()
        for token, value in options.get("edits", {}).items():
            after[token] = value
        for token, value in options.get("logit_bias", {}).items():
            after[token] += value
        biased = after.copy()
        penalty = options.get("repetition_penalty", 1.0)
        for token in range(seed_):
            after[token] = after[token] / penalty if after[token] > 0 else after[token] * penalty
        temperature = options.get("temperature", 1.0)
        weights = (
            np.exp((after - after.max()) / temperature)
            if temperature
            else (np.arange(LOGITS.size) == after.argmax()).astype(float)
        )
        for row in traced.rows:
            assert row.logit == LOGITS[row.id]
            assert row.biased == pytest.approx(biased[row.id], rel=1e-6)
            assert row.penalized == pytest.approx(after[row.id], rel=1e-6)
            assert row.weight == pytest.approx(weights[row.id], rel=1e-5, abs=1e-30)
            assert row.fate == fate(row.id, weights, options)
        assert traced.mass == pytest.approx(weights.sum(), rel=1e-5)
        assert traced.rows[0].id == after.argmax()
        (drawn,) = [row for row in traced.rows if row.id == traced.id]
        assert drawn.fate == "kept"
        if temperature:
            assert 0 <= traced.uniform < 1
            place = traced.uniform * traced.total
            assert drawn.start <= place <= drawn.start + drawn.weight
            kept = [row for row in traced.rows if row.fate == "kept"]
            if len(kept) == traced.kept:
                assert sum(row.weight for row in kept) == pytest.approx(traced.total)


def fate(token: int, weights: np.ndarray, options: dict[str, Any]) -> str:
    """By sorting everything, one stage after the other."""
    if options.get("temperature") == 0:
        return "kept" if weights[token] == 1 else "greedy"
    order = [int(i) for i in np.argsort(-weights, kind="stable") if weights[i] > 0]
    if token not in order:
        return "no_weight"
    k = options.get("top_k", 0)
    if k and token not in order[:k]:
        return "top_k"
    order = order[:k] if k else order
    total = sum(weights[i] for i in order)
    before = sum(weights[i] for i in order[: order.index(token)])
    if order.index(token) and before >= options.get("top_p", 1.0) * total:
        return "top_p"
    return "kept" if weights[token] >= options.get("min_p", 0.0) else "min_p"


class Even:
    """A constraint that allows every even token, for the sampler's part of it."""

    def __init__(self) -> None:
        self._memory = Scratch(default_kernel(), 4 * 10, "a mask")
        self._memory.write(b"\x55" * 40)

    def mask(self, _tokens: object) -> int:
        return self._memory.address

    def count(self, _tokens: object) -> int:
        return 151


def constrained(temperature: float, seed: int = 0) -> Any:
    kernel = default_kernel()
    params = thimble.SamplingParams(
        top_logprobs=20, temperature=temperature, seed=seed, logit_bias={3: 50.0, 4: 2.0}
    )
    sampler, tracer = Sampler(kernel, LOGITS.size, params), Tracer(kernel, LOGITS.size)
    sampler.constraint = Even()  # type: ignore[assignment]
    return tracer.run(sampler, array("f", LOGITS.tobytes()), [1, 2], {5: 40.0}, best=9)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_the_constraint_forbids_is_told_and_never_drawn(temperature: float) -> None:
    best = {int(token) for token in np.argsort(-LOGITS)[:20]}
    for seed in range(20):
        traced = constrained(temperature, seed)
        assert traced.id % 2 == 0
        forbidden = {row.id for row in traced.rows if row.fate == "constraint"}
        assert forbidden == {row.id for row in traced.rows if row.id % 2}
        assert forbidden == {token for token in best | {5} if token % 2}
        assert all(row.weight == 0 for row in traced.rows if row.id % 2)
        assert traced.allowed == 151
        if temperature:
            after = LOGITS.astype(np.float64)
            after[4] += 2.0
            after[1::2] = -math.inf
            assert traced.mass == pytest.approx(np.exp(after - after.max()).sum(), rel=1e-5)


def test_every_fate_is_told() -> None:
    seen = {row.fate for row in constrained(1.0).rows}
    for options in (
        {"top_k": 9, "top_p": 0.9, "min_p": 0.3},
        {"top_k": 30, "top_p": 0.5},
        {"top_n_sigma": 1.0, "typical_p": 0.5},
        {"xtc_probability": 1.0},
        {"mirostat": 2, "mirostat_tau": 1.0},
        {"temperature": 0},
        {"edits": {4: -math.inf}},
    ):
        seen |= {row.fate for row in trace(**options).rows}
    assert seen == set(FATES)


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(thimble.NumericError, match="nothing is left"):
        trace(edits=dict.fromkeys(range(LOGITS.size), -math.inf))
