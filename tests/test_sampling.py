"""The samplers against plain NumPy, on logits of our own making."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import thimble
from tests.tiny_models import SPECS, make
from thimble.generation import StopStrings
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.kernel import Scratch, default_kernel
from thimble.sampling import Choice, Sampler
from thimble.tokenizer.vocabulary import UNUSED

Draw = Callable[..., Choice]


def draw(logits: NDArray[np.float32], tokens: list[int] | None = None, **options: Any) -> Choice:
    """One choice from logits after `tokens`."""
    kernel = default_kernel()
    sampler = Sampler(kernel, logits.size, thimble.SamplingParams(**options))
    sampler.prepare(tokens or [])
    memory = Scratch(kernel, 4 * ((logits.size + 3) & ~3), "logits")
    memory.write(logits.astype(np.float32).tobytes())
    status = kernel.call("sample", memory.address, logits.size, *sampler.addresses)
    assert status in (0, -1)
    if status:
        raise thimble.NumericError("status")
    choice = sampler.choice()
    memory.close()
    sampler.close()
    return choice


def support(logits: NDArray[np.float32], *, top_k: int, top_p: float, min_p: float) -> list[int]:
    """The ids that may be drawn at temperature 1, best first: sorted, plainly."""
    order = np.argsort(-logits.astype(np.float64), kind="stable")
    weights = np.exp(logits[order].astype(np.float64) - logits.max())
    if 0 < top_k < logits.size:
        order, weights = order[:top_k], weights[:top_k]
    before = np.cumsum(weights) - weights
    keep = (before < top_p * weights.sum()) & (weights >= min_p)
    keep[0] = True
    return [int(i) for i in order[keep]]


LOGITS = np.random.default_rng(1).normal(0, 2, 503).astype(np.float32)


def test_zero_temperature_takes_the_best_and_the_first_of_equals() -> None:
    assert draw(LOGITS, temperature=0).id == int(LOGITS.argmax())
    level = np.zeros(37, np.float32)
    level[[9, 20]] = 1.0
    assert draw(level, temperature=0).id == 9


@pytest.mark.parametrize("options", [
    {}, {"top_k": 5}, {"top_p": 0.5}, {"min_p": 0.2}, {"top_k": 40, "top_p": 0.8, "min_p": 0.05},
    {"top_k": 1}, {"top_p": 0.0}, {"top_p": 0.999}, {"min_p": 1.0}, {"top_k": 503},
])  # fmt: skip
def test_draws_follow_the_distribution(options: dict[str, Any]) -> None:
    n = 4000
    ids = support(LOGITS, **({"top_k": 0, "top_p": 1.0, "min_p": 0.0} | options))
    drawn = np.bincount(
        [draw(LOGITS, list(range(s % 7)), seed=s, **options).id for s in range(n)],
        minlength=LOGITS.size,
    )
    assert set(np.flatnonzero(drawn)) <= set(ids)
    p = np.exp(LOGITS[ids].astype(np.float64))
    expected = n * p / p.sum()
    big = expected > 10
    z = (drawn[ids][big] - expected[big]) / np.sqrt(expected[big])
    assert np.abs(z).max() < 4.5
    if len(ids) <= 10:
        assert set(np.flatnonzero(drawn)) == set(ids)


def test_temperature_sharpens_and_flattens() -> None:
    logits = np.log(np.array([0.6, 0.3, 0.1], np.float32))
    for temperature in (0.5, 1.0, 2.0):
        p = np.array([0.6, 0.3, 0.1]) ** (1 / temperature)
        drawn = [draw(logits, seed=s, temperature=temperature).id for s in range(3000)]
        share = np.bincount(drawn, minlength=3) / 3000
        assert np.abs(share - p / p.sum()).max() < 0.04


def test_the_draw_depends_on_seed_and_position_only() -> None:
    first = [draw(LOGITS, [0] * n, seed=7).id for n in range(40)]
    assert first == [draw(LOGITS, [5] * n, seed=7).id for n in range(40)]
    assert first != [draw(LOGITS, [0] * n, seed=8).id for n in range(40)]
    assert len(set(first)) > 10


def test_repetition_penalty_and_bias() -> None:
    logits = np.array([2.0, 1.9, -1.0, -1.1], np.float32)
    assert draw(logits, [0], temperature=0, repetition_penalty=1.2).id == 1
    assert draw(logits, [0] + [3] * 64, temperature=0, repetition_penalty=1.2).id == 0
    only: dict[str, Any] = {"logit_bias": {0: -np.inf, 1: -np.inf, 2: -np.inf}}
    assert draw(logits, temperature=1, seed=3, **only).id == 3
    assert draw(logits, temperature=0, logit_bias={2: 10.0}).id == 2
    negative = np.array([-1.0, -1.1], np.float32)
    assert draw(negative, [0], temperature=0, repetition_penalty=1.2).id == 1


def test_logprobs_are_of_the_model_not_of_the_sampler() -> None:
    plain, bent = draw(LOGITS, temperature=0), draw(LOGITS, temperature=0, logit_bias={3: 50.0})
    p = LOGITS.astype(np.float64) - np.log(np.exp(LOGITS.astype(np.float64)).sum())
    assert plain.logprob == pytest.approx(p.max(), abs=1e-6)
    assert bent.id == 3
    assert bent.logprob == pytest.approx(p[3], abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_unusable_logits_are_an_error(bad: float) -> None:
    logits = LOGITS.copy()
    logits[100] = bad
    for temperature in (0.0, 1.0):
        with pytest.raises(thimble.NumericError):
            draw(logits, temperature=temperature)
    with pytest.raises(thimble.NumericError):
        draw(np.full(8, -np.inf, np.float32))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=700), st.integers(0, 800),
    st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**64 - 1), st.floats(0.05, 5),
)  # fmt: skip
def test_whatever_comes_the_choice_is_allowed(
    values: list[float], top_k: int, top_p: float, min_p: float, seed: int, temperature: float
) -> None:
    logits = np.array(values, np.float32)
    options: dict[str, Any] = {"top_k": top_k, "top_p": top_p, "min_p": min_p}
    choice = draw(logits, seed=seed, temperature=temperature, **options)
    scaled = ((logits - logits.max()) * np.float32(1 / temperature)).astype(np.float32)
    # A candidate on the very edge may fall to either side of float32's rounding.
    loose: dict[str, Any] = {
        "top_k": top_k,
        "top_p": min(1.0, top_p + 1e-4),
        "min_p": max(0.0, min_p - 1e-4),
    }
    allowed = support(scaled, **loose)
    edge = np.isclose(scaled[choice.id], scaled[allowed], rtol=1e-5, atol=1e-5).any()
    assert choice.id in allowed or edge


@pytest.mark.parametrize("options", [
    {"temperature": -0.1}, {"temperature": float("nan")}, {"temperature": 1e-5},
    {"temperature": "1"},
    {"top_p": 1.1}, {"top_p": -0.1}, {"min_p": 2}, {"top_k": -1}, {"top_k": 1.5},
    {"max_tokens": -1},
    {"max_tokens": True}, {"seed": -1}, {"seed": 2**64}, {"repetition_penalty": 0}, {"stop": "x"},
    {"stop": [""]}, {"stop": [1]}, {"logit_bias": {"a": 1.0}}, {"logit_bias": {1: float("nan")}},
    {"logit_bias": [1]}, {"top_logprobs": 65}, {"tempreature": 1.0},
])  # fmt: skip
def test_options_out_of_range_are_named(options: dict[str, Any]) -> None:
    [name] = options
    with pytest.raises(thimble.OptionError, match=name):
        thimble.params_from(options)


@given(
    st.lists(st.text("abc", max_size=4), max_size=12),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_stop_strings_cut_exactly_there(parts: list[str], stop: list[str]) -> None:
    stops, shown = StopStrings(stop), ""
    for part in parts:
        shown += stops.push(part)
        if stops.found:
            break
    else:
        shown += stops.flush()
    text = "".join(parts)
    # The first stop string that is complete ends the text, as one reading it character by
    # character would see it.
    seen = ""
    for part in parts:
        seen += part
        ends = [seen.find(s) for s in stop if s in seen]
        if ends:
            assert stops.found
            assert shown == seen[: min(ends)]
            return
    assert not stops.found
    assert shown == text


def test_top_alternatives_are_in_order() -> None:
    choice = draw(LOGITS, temperature=0, top_logprobs=64)
    assert [t for t, _ in choice.top] == np.argsort(-LOGITS, kind="stable")[:64].tolist()
    assert array("f", [p for _, p in choice.top]) == array(
        "f", sorted((p for _, p in choice.top), reverse=True)
    )


def test_rows_that_stand_for_no_token_are_not_written() -> None:
    data = make(SPECS["f32"])
    header = read_header(data)
    session = loaded(data).session()
    session.append([1, 2, 3])
    best, second = np.argsort(np.array(session.logits()))[::-1][:2]
    writer = GGUFWriter()
    for key, value in header.metadata.items():
        if key.endswith("token_type"):
            value = [UNUSED if i == best else kind for i, kind in enumerate(value)]
        writer.add(key, value)
    for t in header.tensors:
        writer.add_tensor(t.name, t.shape, t.type, data[t.offset : t.offset + t.nbytes])
    padded = loaded(writer.to_bytes())
    assert padded.tokenizer.padding == (best,)
    for bias, expected in (({}, second), ({int(best): 0.0}, best)):
        params = thimble.SamplingParams(temperature=0, max_tokens=1, logit_bias=bias)
        session = padded.session()
        session.append([1, 2])
        (piece,) = session.generate([3], params)
        assert piece.id == expected


def loaded(data: bytes) -> thimble.Model:
    loader = thimble.ModelLoader(len(data))
    loader.feed(data)
    return loader.finish()
