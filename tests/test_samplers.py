"""Samplers beyond top-k and its like, against plain NumPy; what is off changes nothing."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import thimble
from tests.sampler_reference import Drawing, drawing, next_mu, uniform
from tests.test_ensemble import load
from thimble.debug import Debugger, Pipeline, Recording, Tracer
from thimble.kernel import default_kernel
from thimble.sampling import Sampler
from thimble.sampling_options import DEFAULTS, OPTIONS
from thimble.sequence_breakers import SequenceBreakers

SIZE = 61
"""As many as a trace shows."""
CASES = 60
REPEATING = [7, 8, 9, 3, 7, 8, 9, 4, 1, 7, 8]


def logits_of(seed: int, spread: float = 2.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, spread, SIZE).astype(np.float32)


@pytest.fixture(scope="module")
def tracer() -> Iterator[Tracer]:
    tracer = Tracer(default_kernel(), SIZE)
    yield tracer
    tracer.close()


def traced(
    tracer: Tracer, seed: int, tokens: list[int], params: thimble.SamplingParams
) -> Pipeline:
    sampler = Sampler(default_kernel(), SIZE, params)
    try:
        return tracer.run(sampler, array("f", logits_of(seed)), tokens, {}, best=64)
    finally:
        sampler.close()


def agree(found: Pipeline, wanted: Drawing) -> None:
    """The kernel's stages, the draw included, are the reference's."""
    assert len(found.rows) == SIZE
    for row in found.rows:
        assert row.penalized == pytest.approx(wanted.penalized[row.id], rel=1e-5, abs=1e-5)
        assert row.weight == pytest.approx(wanted.weights[row.id], rel=1e-4, abs=1e-30)
        assert row.fate == wanted.fates[row.id], row
    assert found.id in wanted.survivors
    assert found.kept == len(wanted.survivors)
    assert found.total == pytest.approx(wanted.weights[wanted.survivors].sum(), rel=1e-5)
    drawn = next(row for row in found.rows if row.id == found.id)
    assert drawn.start <= found.uniform * found.total <= drawn.start + drawn.weight


@pytest.mark.parametrize("options", [
    {"typical_p": 0.9}, {"typical_p": 0.3}, {"typical_p": 0.0}, {"typical_p": 0.95, "top_k": 20},
    {"typical_p": 0.5, "top_p": 0.8, "min_p": 0.2, "temperature": 1.4},
    {"top_n_sigma": 1.0}, {"top_n_sigma": 0.3, "temperature": 3.0},
    {"top_n_sigma": 2.0, "top_k": 5},
    {"xtc_probability": 1.0}, {"xtc_probability": 0.5, "xtc_threshold": 0.05, "min_p": 0.02},
    {"xtc_probability": 1.0, "xtc_threshold": 0.0}, {"xtc_probability": 1.0, "xtc_threshold": 0.5},
    {"dynatemp_range": 0.5}, {"dynatemp_range": 3.0, "dynatemp_exponent": 0.4, "top_p": 0.9},
    {"dynatemp_range": 0.9, "dynatemp_exponent": 2.5, "typical_p": 0.7},
    {"presence_penalty": 0.7}, {"frequency_penalty": -0.4}, {"frequency_penalty": 1.5, "top_k": 9},
    {"presence_penalty": -2.0, "frequency_penalty": 2.0, "repetition_penalty": 1.3},
    {"repetition_penalty": 1.5, "repeat_last_n": 3}, {"presence_penalty": 1.0, "repeat_last_n": -1},
    {"presence_penalty": 1.0, "repeat_last_n": 0},
    {"dry_multiplier": 0.8}, {"dry_multiplier": 2.0, "dry_base": 1.2, "dry_allowed_length": 1},
    {"dry_multiplier": 1.0, "dry_allowed_length": 3}, {"dry_multiplier": 1.0, "dry_base": 1.0},
    {"dry_multiplier": 1.5, "dry_penalty_last_n": 7},
    {"dry_multiplier": 1.5, "dry_penalty_last_n": 0},
    {"dry_multiplier": 0.5, "presence_penalty": 0.3, "repeat_last_n": 2, "logit_bias": {8: 3.0}},
    {"temperature": 0.8, "top_n_sigma": 1.5, "top_k": 30, "typical_p": 0.95, "top_p": 0.9,
     "min_p": 0.02, "xtc_probability": 0.5, "dry_multiplier": 0.8, "frequency_penalty": 0.1,
     "dynatemp_range": 0.2},
])  # fmt: skip
def test_every_stage_is_numpys(tracer: Tracer, options: dict[str, Any]) -> None:
    for seed in range(CASES):
        tokens = random.Random(seed).choices(range(12), k=seed) + REPEATING
        params = thimble.SamplingParams(seed=seed, **options)
        agree(
            traced(tracer, seed, tokens, params),
            drawing(array("f", logits_of(seed)), tokens, params),
        )


@pytest.mark.parametrize("options", [
    {}, {"mirostat_tau": 1.0, "mirostat_eta": 0.5}, {"mirostat_tau": 0.0, "temperature": 0.5},
    {"mirostat_tau": 9.0}, {"top_k": 3, "top_p": 0.1, "typical_p": 0.2, "min_p": 0.5},
])  # fmt: skip
def test_mirostat_keeps_the_surprise_near_its_target(
    tracer: Tracer, options: dict[str, Any]
) -> None:
    params = thimble.SamplingParams(mirostat=2, seed=3, **options)
    sampler, tokens, mu = Sampler(default_kernel(), SIZE, params), [5], 2 * params.mirostat_tau
    for seed in range(CASES):
        logits = array("f", logits_of(seed))
        wanted = drawing(logits, tokens, params, mu=mu)
        found = tracer.run(sampler, logits, tokens, {}, best=64)
        assert sampler.mu == pytest.approx(mu, rel=1e-5, abs=1e-5)
        agree(found, wanted)
        # A look changes nothing.
        assert tracer.choose(sampler, logits, tokens, {}) == found.id
        mu = next_mu(wanted, found.id, mu, params)
        assert sampler.next_mu == pytest.approx(mu, rel=1e-5, abs=1e-5)
        tokens.append(found.id)
    sampler.close()


def test_mirostats_state_moves_with_tokens_that_are_taken_only(tracer: Tracer) -> None:
    params = thimble.SamplingParams(mirostat=2)
    sampler, logits = Sampler(default_kernel(), SIZE, params), array("f", logits_of(1))
    drawn = tracer.choose(sampler, logits, [5], {})
    after = sampler.next_mu
    assert (sampler.mu, after) != (10.0, 10.0)
    sampler.prepare([5, (drawn + 1) % SIZE])
    assert sampler.mu == 10.0  # somebody put another one there
    drawn = tracer.choose(sampler, logits, [5], {})
    sampler.prepare([5, drawn])
    assert sampler.mu == after
    sampler.close()


def test_xtc_strikes_as_often_as_it_is_asked_to(tracer: Tracer) -> None:
    params = [thimble.SamplingParams(xtc_probability=0.3, seed=seed) for seed in range(400)]
    struck = sum(
        any(row.fate == "xtc_probability" for row in traced(tracer, 2, [1], one).rows)
        for one in params
    )
    assert struck == sum(uniform(one.seed ^ 0x585443, 1) <= 0.3 for one in params)
    assert 90 <= struck <= 150


def test_dry_grows_until_a_float_is_full(tracer: Tracer) -> None:
    params = thimble.SamplingParams(dry_multiplier=1.0, dry_base=2.0)
    for length in (9, 200):
        tokens = [1, 2] * length + [1]
        row = next(row for row in traced(tracer, 0, tokens, params).rows if row.id == 2)
        most = 2.0 ** min(2 * length - 1 - 2, int(88.7228391 / math.log(2)))
        assert row.penalized == pytest.approx(row.biased - most, rel=1e-5)


def test_a_window_may_be_the_whole_text(tracer: Tracer) -> None:
    tokens = [30, *random.Random(1).choices(range(30), k=3000)]
    for size, there in ((-1, True), (3001, True), (3000, False), (64, False)):
        params = thimble.SamplingParams(presence_penalty=2.0, repeat_last_n=size)
        row = next(row for row in traced(tracer, 0, tokens, params).rows if row.id == 30)
        assert row.penalized == pytest.approx(row.biased - 2.0 * there)


@pytest.mark.parametrize(
    "name", [name for name, option in OPTIONS.items() if option.kernel and name != "temperature"]
)
def test_at_its_default_an_option_changes_no_bit(name: str, tracer: Tracer) -> None:
    tokens = [*range(9), *REPEATING]
    for seed in range(9):
        plain = traced(tracer, seed, tokens, thimble.SamplingParams(seed=seed))
        params = thimble.SamplingParams(seed=seed, **{name: DEFAULTS[name]})
        assert traced(tracer, seed, tokens, params) == plain


@pytest.mark.parametrize(("options", "words"), [
    ({"typical_p": 1.1}, "typical_p is 1.1; it must be a number from 0 to 1"),
    ({"top_n_sigma": -1}, "top_n_sigma is -1; it must be a number from 0 to 100"),
    ({"presence_penalty": 2.5}, "presence_penalty is 2.5; it must be a number from -2 to 2"),
    ({"frequency_penalty": "1"}, "frequency_penalty is '1'; it must be a number from -2 to 2"),
    ({"repeat_last_n": -2}, "repeat_last_n is -2; it must be a whole number from -1"),
    ({"xtc_threshold": 0.6}, "xtc_threshold is 0.6; it must be a number from 0 to 0.5"),
    ({"dry_base": 0.5}, "dry_base is 0.5; it must be a number from 1 to 100"),
    ({"dry_allowed_length": 0}, "dry_allowed_length is 0; it must be a whole number from 1"),
    ({"dry_sequence_breakers": "x"}, "dry_sequence_breakers is 'x'; it must be a list"),
    ({"dry_sequence_breakers": [""]}, r"dry_sequence_breakers is \[''\]; it must be a list"),
    ({"dry_sequence_breakers": ["x" * 41]}, "of 41 characters; it must be at most 40"),
    ({"dry_sequence_breakers": list("0123456789") * 7}, "has 70 strings; at most 64 are read"),
    ({"mirostat": 1}, "mirostat is 1; it must be 0 or 2"),
    ({"mirostat": 3}, "mirostat is 3; it must be a whole number from 0 to 2"),
    ({"mirostat_eta": math.nan}, "mirostat_eta is nan; it must be a number from 0 to 1"),
    ({"dynatemp_exponent": 0}, "dynatemp_exponent is 0; it must be a number from 0.01 to 100"),
])  # fmt: skip
def test_values_out_of_range_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(thimble.OptionError, match=words):
        thimble.SamplingParams(**options)


@pytest.fixture(scope="module", params=["f32", "spm"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def model(kind: str) -> Iterator[thimble.Model]:
    model = load(kind, 1)
    yield model
    model.close()


def limit_of(model: thimble.Model, breakers: tuple[str, ...], text: str) -> str:
    """The part of a text behind its last breaker."""
    ids = model.tokenizer.encode(text, add_special=False)
    found = SequenceBreakers.of(model.kernel, model.tokenizer, breakers)
    assert found is not None
    return model.tokenizer.decode(ids[len(ids) - found.limit(ids, len(ids)) :]).strip()


def test_sequences_end_at_breakers_in_one_token_and_over_several(model: thimble.Model) -> None:
    text = "the little girl ran home, and Mia had a cat"
    assert limit_of(model, ("\n",), text) == text
    assert limit_of(model, (",",), text) == "and Mia had a cat"
    assert limit_of(model, (",", "had"), text) == "a cat"
    # No token has all of this one.
    assert not any(
        b"girl ran" in model.tokenizer.token_bytes(i) for i in range(model.config.n_vocab)
    )
    assert limit_of(model, ("girl ran",), text) == "home, and Mia had a cat"
    assert limit_of(model, ("girl ran", "cat"), text) == ""


def test_a_breaker_stops_a_repetition_and_is_not_penalized(model: thimble.Model) -> None:
    ids = model.tokenizer.encode("the cat, the cat, the", add_special=False)
    options: dict[str, Any] = {"dry_multiplier": 1.0, "dry_allowed_length": 1}
    tracer = Tracer(model.kernel, model.config.n_vocab)
    for breakers in ((), (",",)):
        params = thimble.SamplingParams(**options, dry_sequence_breakers=breakers)
        sampler = Sampler(model.kernel, model.config.n_vocab, params, model.tokenizer)
        session = model.session()
        session.append(ids)
        logits = session.logits()
        found = SequenceBreakers.of(model.kernel, model.tokenizer, breakers)
        limit = found.limit(ids, len(ids)) if found else None
        alone = [i for i in range(model.config.n_vocab) if b"," in model.tokenizer.token_bytes(i)]
        wanted = drawing(
            logits, ids, params, limit=limit, breakers=alone if breakers else ()
        ).penalized
        for row in tracer.run(sampler, logits, ids, {}, best=64).rows:
            assert row.penalized == pytest.approx(wanted[row.id], rel=1e-5, abs=1e-5)
        assert (wanted != np.array(logits)).any()
        sampler.close()
    tracer.close()


WAYS: list[dict[str, Any]] = [
    {"mirostat": 2, "mirostat_tau": 3.0},
    {"dry_multiplier": 0.8, "presence_penalty": 0.5, "typical_p": 0.9, "xtc_probability": 0.4,
     "xtc_threshold": 0.02, "dynatemp_range": 0.3, "top_n_sigma": 2.5},
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=["mirostat", "the rest"])
def test_a_text_is_the_same_again_and_with_a_draft(
    model: thimble.Model, kind: str, way: dict[str, Any]
) -> None:
    params = thimble.SamplingParams(max_tokens=50, temperature=1.2, seed=4, **way)
    wanted = list(model.session().generate("the ", params))
    assert list(model.session().generate("the ", params)) == wanted
    assert wanted != list(model.session().generate("the ", thimble.SamplingParams(max_tokens=50)))
    other = thimble.Speculative(model, load(kind, 1))
    session = other.session()
    assert [chunk.id for chunk in session.generate("the ", params)] == [one.id for one in wanted]
    assert session.speculation.accepted > 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", WAYS, ids=["mirostat", "the rest"])
def test_steps_branches_and_recordings_draw_what_generating_drew(
    model: thimble.Model, way: dict[str, Any]
) -> None:
    params = thimble.SamplingParams(max_tokens=24, temperature=1.2, seed=4, **way)
    wanted = [chunk.id for chunk in model.session().generate("the ", params)]
    debugger = Debugger(model.session(), params)
    debugger.begin("the ")
    for _ in range(12):
        debugger.peek()
        debugger.step()
    middle = debugger.node
    for _ in range(6):
        debugger.step()
    debugger.goto(middle)
    debugger.force((wanted[12] + 1) % 50)  # somewhere else
    for _ in range(4):
        debugger.step()
    elsewhere = debugger.record()
    debugger.goto(middle)
    while len(debugger.node.path()) < len(wanted):
        debugger.step()
    assert [node.step.id for node in debugger.node.path() if node.step] == wanted
    for recording in (debugger.record(), elsewhere):
        read = Recording.from_json(recording.to_json())
        assert read == recording
        assert all((step.mu is not None) == bool(params.mirostat) for step in read.steps)
        again = Debugger(model.session())
        replay = again.replay(read)
        while not replay.over:
            assert again.replay_step(replay)
        assert replay.mismatch is None
        assert again.record() == recording
