"""Several models as one: the combined distribution is the one that NumPy computes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.tiny_models import SPECS, make
from thimble.combined import METHODS
from thimble.ensemble import PLAUSIBLE, Ensemble, EnsembleSession

PROMPT = [1, 5, 9, 30, 12, 7]
Floats = NDArray[np.float64]


def load(name: str, seed: int) -> thimble.Model:
    loader = thimble.ModelLoader()
    loader.feed(make(dataclasses.replace(SPECS[name], seed=seed)))
    return loader.finish()


@pytest.fixture(scope="module")
def members() -> Iterator[list[thimble.Model]]:
    """Three random models with one vocabulary, of two encodings."""
    loaded = [load("f32", 1), load("f32", 2), load("q8_0", 3)]
    yield loaded
    for model in loaded:
        model.close()


def log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def expected(method: str, weights: tuple[float, ...], rows: list[Floats]) -> Floats:
    """The combination as its definition says, in double precision; log-probabilities."""
    logs = [log_softmax(row) for row in rows]
    pairs = list(zip(weights, logs, strict=True))
    if method == "mixture":
        found = np.log(np.sum([weight * np.exp(log) for weight, log in pairs], axis=0))
    elif method == "vote":
        votes = np.zeros_like(logs[0])
        for weight, log in pairs:
            votes[log.argmax()] += weight
        with np.errstate(divide="ignore"):
            found = np.log(votes)
    elif method == "confident":
        found = max(pairs, key=lambda pair: pair[0] * math.exp(pair[1].max()))[1]
    else:
        found = np.sum([weight * log for weight, log in pairs], axis=0)
        if method == "contrastive":
            found = np.where(logs[0] < logs[0].max() + math.log(PLAUSIBLE), -np.inf, found)
    return log_softmax(np.asarray(found, dtype=np.float64))


def member_rows(session: EnsembleSession) -> list[Floats]:
    return [np.array(session.member_logits(i), np.float64) for i in range(len(session.parts))]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", [None, (0.2, 0.5, 0.3)])
def test_a_combination_is_what_numpy_computes(
    members: list[thimble.Model], method: str, weights: tuple[float, ...] | None
) -> None:
    both = Ensemble(members, method=method, weights=weights)
    session = both.session()
    assert isinstance(session, EnsembleSession)
    session.append(PROMPT)
    found = log_softmax(np.array(session.logits(), np.float64))
    wanted = expected(method, both.member_weights, member_rows(session))
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(found[finite], wanted[finite], rtol=2e-6, atol=2e-6)
    session.close()


def test_members_say_what_they_say_alone(members: list[thimble.Model]) -> None:
    session = Ensemble(members).session()
    assert isinstance(session, EnsembleSession)
    session.append(PROMPT)
    for index, model in enumerate(members):
        alone = model.session()
        alone.append(PROMPT)
        assert session.member_logits(index) == alone.logits()
        alone.close()
    session.close()


def test_it_is_a_model_like_any_other(members: list[thimble.Model]) -> None:
    both = Ensemble(members, method="product")
    params = thimble.SamplingParams(max_tokens=12, seed=4, top_logprobs=3)
    session = both.session()
    chunks = list(session.generate(PROMPT, params))
    session.rollback(len(PROMPT))
    assert list(session.generate([], params)) == chunks
    copy = session.fork(len(PROMPT))
    assert isinstance(copy, EnsembleSession)
    assert list(copy.generate([], params)) == chunks
    copy.rollback(len(PROMPT) + 3)
    assert copy.member_logits(1) == session.fork(len(PROMPT) + 3).member_logits(1)  # type: ignore[attr-defined]
    # What it reads is what it writes: the log-probabilities agree.
    fresh = both.session()
    fresh.append(PROMPT)
    ids = [chunk.id for chunk in chunks if chunk.finish_reason is None]
    for choice, chunk in zip(fresh.score(ids), chunks, strict=False):
        assert choice == thimble.Choice(chunk.id, chunk.logprob, chunk.entropy, choice.top)
    for one in (session, copy, fresh):
        one.close()


def test_batches_and_single_tokens_agree_to_the_bit(members: list[thimble.Model]) -> None:
    ids = [1 + i % 40 for i in range(70)]
    whole, single = (Ensemble(members).session() for _ in range(2))
    whole.append(ids)
    for token in ids:
        single.append([token])
    assert whole.logits() == single.logits()
    whole.close()
    single.close()


def test_one_member_of_all_the_weight_speaks_alone(members: list[thimble.Model]) -> None:
    both = Ensemble(members, weights=(1.0, 0.0, 0.0))
    story = "ab ba ab"
    alone = thimble.evaluate_text(members[0], [story])
    found = thimble.evaluate_text(both, [story])
    assert found.bits_per_byte == pytest.approx(alone.bits_per_byte, rel=1e-5)


def test_weights_move_while_a_session_is_open(members: list[thimble.Model]) -> None:
    both = Ensemble(members)
    session = both.session()
    session.append(PROMPT)
    before = session.logits()
    both.member_weights = (0.0, 0.0, 5.0)
    assert both.member_weights == (0.0, 0.0, 1.0)
    moved = session.logits()
    assert moved != before
    # As if it had been so from the beginning, and in copies, rolled back or not.
    fresh = both.session()
    fresh.append(PROMPT)
    assert fresh.logits() == moved
    session.append([3])
    both.combine_by("contrastive")
    copy = session.fork(len(PROMPT))
    session.rollback(len(PROMPT))
    fresh.rollback(0)
    fresh.append(PROMPT)
    assert session.logits() == copy.logits() == fresh.logits() != moved
    both.combine_by("mixture", (1, 1, 1))
    assert copy.fork().logits() == before
    with pytest.raises(thimble.OptionError, match="no method 'sum'"):
        both.combine_by("sum")
    with pytest.raises(thimble.OptionError, match="3 members and 1 weights"):
        both.combine_by("vote", (1,))
    assert (both.method, copy.logits()) == ("mixture", before)
    for one in (session, copy, fresh):
        one.close()


def test_changed_weights_compute_no_member_again(
    members: list[thimble.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Ensemble(members)
    session = both.session()
    assert isinstance(session, EnsembleSession)
    session.append(PROMPT)
    alone = session.weigh_each(7)
    monkeypatch.setattr(EnsembleSession, "_forward", None)
    seen = set()
    for method in METHODS:
        both.combine_by(method, (0.2, 0.5, 0.3))
        seen.add(session.logits().tobytes())
        assert session.weigh_each(7) == alone
    assert len(seen) == len(METHODS)
    session.close()


def test_all_members_score_in_one_pass_what_they_score_alone(members: list[thimble.Model]) -> None:
    ids = [1 + i % 40 for i in range(70)]
    both = Ensemble(members, method="product")
    for given in (0, 3):
        session = both.session()
        assert isinstance(session, EnsembleSession)
        session.append(PROMPT[:given])
        found = session.score_each(ids)
        for model, choices in zip((both, *members), found, strict=True):
            alone = model.session()
            alone.append(PROMPT[:given])
            assert choices == alone.score(ids)
            alone.close()
        session.close()


def test_fitted_weights_find_the_better_member(members: list[thimble.Model]) -> None:
    writer = members[1].session()
    texts = [
        members[1].tokenizer.decode(
            [
                chunk.id
                for chunk in writer.fork().generate(
                    [1, 4 + seed], thimble.SamplingParams(max_tokens=60, seed=seed)
                )
            ]
        )
        for seed in range(8)
    ]
    writer.close()
    weights = thimble.fit_weights(members, texts)
    assert sum(weights) == pytest.approx(1.0)
    fitted, equal = (
        thimble.evaluate_text(Ensemble(members, weights=w), texts).nats for w in (weights, None)
    )
    each = [thimble.evaluate_text(member, texts).nats for member in members]
    assert fitted <= min(*each, equal) + 1e-6


def test_what_does_not_fit_is_refused(members: list[thimble.Model]) -> None:
    other = load("spm", 1)
    with pytest.raises(thimble.OptionError, match="another vocabulary"):
        Ensemble([members[0], other], method="product")
    with pytest.raises(thimble.OptionError, match="twice"):
        Ensemble([members[0], members[0]])
    with pytest.raises(thimble.OptionError, match="2 to 8 members, not 1"):
        Ensemble(members[:1])
    with pytest.raises(thimble.OptionError, match="no method 'sum'; there are mixture"):
        Ensemble(members, method="sum")
    with pytest.raises(thimble.OptionError, match="3 members and 2 weights"):
        Ensemble(members, weights=(1, 2))
    with pytest.raises(thimble.OptionError, match=r"a weight is -1\.0"):
        Ensemble(members, weights=(1, -1, 1))
    with pytest.raises(thimble.OptionError, match="all weights are 0"):
        Ensemble(members, weights=(0, 0, 0))
    with pytest.raises(thimble.OptionError, match="a weight is nan"):
        Ensemble(members, weights=(1, math.nan, 1))
    other.close()
    with pytest.raises(thimble.OptionError, match="is closed"):
        Ensemble([members[0], other])


def test_a_closed_ensemble_leaves_its_members(members: list[thimble.Model]) -> None:
    both = Ensemble(members)
    both.close()
    with pytest.raises(thimble.ThimbleError, match="is closed"):
        both.session()
    members[0].session().close()
