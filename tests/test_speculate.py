"""A draft and a target write what the target writes alone, to the last number."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

import thimble
from tests.command_line import Capture, run_failing, run_json
from tests.test_ensemble import load
from tests.tiny_models import SPECS, make, write
from thimble.quantize import quantize_file
from thimble.speculate import Speculative, SpeculativeSession

PROMPT = [1, 5, 9, 30, 12, 7]
SPEC = dataclasses.replace(SPECS["f32"], seed=1)
WAYS = {
    "greedy": {"temperature": 0.0},
    "sampled": {"temperature": 0.8, "seed": 3},
    "all of it": {
        "temperature": 1.1, "top_k": 40, "top_p": 0.9, "min_p": 0.02, "seed": 11,
        "repetition_penalty": 1.3, "logit_bias": {7: -2.0, 30: 1.0},
    },
    "greedy, penalized": {"temperature": 0.0, "repetition_penalty": 1.5},
}  # fmt: skip


@pytest.fixture(scope="module")
def target() -> Iterator[thimble.Model]:
    model = load("f32", 1)
    yield model
    model.close()


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, thimble.Model]]:
    """One that is right, one that is right mostly (the target in 4 bits), one that guesses."""
    folder = tmp_path_factory.mktemp("drafts")
    whole = write(folder / "whole.gguf", SPEC)
    quantize_file(whole, folder / "rough.gguf", "q4_0")
    found = {
        "the same": thimble.load(str(whole)),
        "rough": thimble.load(str(folder / "rough.gguf")),
        "other": load("f32", 2),
    }
    yield found
    for model in found.values():
        model.close()


def alone(model: thimble.Model, params: thimble.SamplingParams) -> list[thimble.TokenChunk]:
    session = model.session()
    chunks = list(session.generate(PROMPT, params))
    session.close()
    return chunks


def opened(target: thimble.Model, draft: thimble.Model, **options: float) -> SpeculativeSession:
    session = Speculative(target, draft, **options).session()  # type: ignore[arg-type]
    assert isinstance(session, SpeculativeSession)
    return session


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("draft", ["the same", "rough", "other"])
def test_it_writes_what_the_target_writes(
    target: thimble.Model, drafts: dict[str, thimble.Model], draft: str, way: dict[str, float]
) -> None:
    params = thimble.SamplingParams(max_tokens=80, top_logprobs=3, **way)  # type: ignore[arg-type]
    wanted = alone(target, params)
    for least in (0.0, 0.5):
        session = opened(target, drafts[draft], least=least)
        assert list(session.generate(PROMPT, params)) == wanted
        told = session.speculation
        assert told.accepted <= told.checked <= told.drafted
        assert told.rounds > 0 and told.drafted >= told.rounds
        if least == 0.0 and draft == "the same":
            # While it drafts, the far end of the penalty's window does not move.
            assert told.acceptance is not None
            assert told.acceptance > (0.9 if "repetition_penalty" in way else 0.999)
            assert told.tokens_per_round is not None and told.tokens_per_round > 5
        if least == 0.0 and draft == "other":
            assert told.acceptance is not None and told.acceptance < 0.5
        session.close()


def test_a_better_draft_is_accepted_more_often(
    target: thimble.Model, drafts: dict[str, thimble.Model]
) -> None:
    params = thimble.SamplingParams(max_tokens=150, seed=5)
    found = {}
    for name, draft in drafts.items():
        session = opened(target, draft, least=0.0)
        list(session.generate(PROMPT, params))
        found[name] = session.speculation.acceptance or 0.0
        session.close()
    assert found["other"] < found["rough"] < found["the same"] == 1.0


def test_a_draft_that_is_never_right_is_soon_not_asked(
    target: thimble.Model, drafts: dict[str, thimble.Model]
) -> None:
    params = thimble.SamplingParams(max_tokens=200, temperature=0.0)
    trusting, careful = (opened(target, drafts["other"], least=least) for least in (0.0, 0.5))
    for session in (trusting, careful):
        list(session.generate(PROMPT, params))
    assert careful.speculation.drafted < trusting.speculation.drafted / 4
    trusting.close()
    careful.close()


def test_it_ends_where_the_context_and_stop_strings_end(
    target: thimble.Model, drafts: dict[str, thimble.Model]
) -> None:
    free = thimble.SamplingParams(
        max_tokens=10_000, seed=2, logit_bias={target.config.n_vocab - 1: -1e9}
    )
    wanted = alone(target, free)
    assert len(wanted) + len(PROMPT) == target.config.n_ctx
    session = opened(target, drafts["the same"])
    assert list(session.generate(PROMPT, free)) == wanted
    assert len(session) == session.n_ctx
    text = "".join(chunk.text for chunk in wanted)
    stopped = dataclasses.replace(free, stop=(text[40:43],))
    session.rollback(0)
    chunks = list(session.generate(PROMPT, stopped))
    assert chunks == alone(target, stopped)
    assert chunks[-1].finish_reason == "stop"
    session.close()


def test_a_draft_of_a_shorter_context_leaves_the_rest_to_the_target(target: thimble.Model) -> None:
    short = thimble.ModelLoader()
    short.feed(make(dataclasses.replace(SPEC, n_ctx=64)))
    draft = short.finish()
    params = thimble.SamplingParams(max_tokens=120, seed=8)
    session = opened(target, draft)
    assert list(session.generate(PROMPT, params)) == alone(target, params)
    assert 0 < session.speculation.accepted < 64
    session.close()
    draft.close()


def test_rollbacks_and_copies_begin_where_they_are(
    target: thimble.Model, drafts: dict[str, thimble.Model]
) -> None:
    params = thimble.SamplingParams(max_tokens=40, seed=6, temperature=0.7)
    wanted = alone(target, params)
    ids = [chunk.id for chunk in wanted]
    session = opened(target, drafts["rough"], least=0.0)
    for kept in (len(PROMPT), len(PROMPT) + 3, len(PROMPT) + 17):
        # Left in the middle of a round, so that there is something ahead.
        writing = session.generate(PROMPT if not len(session) else [], params)
        for _ in range(20):
            next(writing)
        del writing
        copy = session.fork(kept)
        session.rollback(kept)
        rest = [chunk.id for chunk in copy.generate([], params)]
        assert rest[: len(ids) + len(PROMPT) - kept] == ids[kept - len(PROMPT) :]
        assert copy.logits() != session.logits()
        copy.rollback(kept)
        assert copy.logits() == session.logits()
        copy.close()
        session.rollback(len(PROMPT))
    session.close()


def test_what_else_a_session_does_is_right_in_the_middle_of_a_round(
    target: thimble.Model, drafts: dict[str, thimble.Model]
) -> None:
    params = thimble.SamplingParams(max_tokens=100, seed=9)
    plain, session = target.session(), opened(target, drafts["the same"], least=0.0)
    for one in (plain, session):
        writing = one.generate(PROMPT, params)
        for _ in range(12):
            next(writing)
        del writing
    assert session.tokens == plain.tokens
    assert session.logits() == plain.logits()
    assert session.token_logprob(5, top=2) == plain.token_logprob(5, top=2)
    assert session.score([3, 4, 5]) == plain.score([3, 4, 5])
    for one in (plain, session):
        one.append([8] * 40)
        one.accept(9)
    assert session.logits() == plain.logits()
    assert list(session.generate([2], params)) == list(plain.generate([2], params))
    assert session.tokens == plain.tokens
    plain.close()
    session.close()


def test_a_sampler_of_the_callers_own_sees_the_targets_logits(
    target: thimble.Model, drafts: dict[str, thimble.Model]
) -> None:
    def third(logits: list[float], _context: object) -> int:
        return sorted(range(len(logits)), key=logits.__getitem__)[-3]

    params = thimble.SamplingParams(max_tokens=10)
    session, plain = opened(target, drafts["other"]), target.session()
    wanted = list(plain.generate(PROMPT, params, sampler=third))
    assert list(session.generate(PROMPT, params, sampler=third)) == wanted
    session.close()
    plain.close()


def test_an_adapter_or_a_closed_model_is_noticed(
    target: thimble.Model, drafts: dict[str, thimble.Model]
) -> None:
    session = opened(target, drafts["the same"], least=0.0)
    writing = session.generate(PROMPT, thimble.SamplingParams(max_tokens=30, seed=1))
    for _ in range(5):
        next(writing)
    before = session.logits()
    target.changed()  # as an adapter says it
    assert session.logits() == before
    both = Speculative(target, drafts["other"])
    both.close()
    with pytest.raises(thimble.ThimbleError, match="is closed"):
        both.session()
    session.close()


def test_what_does_not_go_together_is_refused(
    target: thimble.Model, drafts: dict[str, thimble.Model]
) -> None:
    other = load("spm", 1)
    with pytest.raises(thimble.OptionError, match="another vocabulary"):
        Speculative(target, other)
    with pytest.raises(thimble.OptionError, match="cannot draft for itself"):
        Speculative(target, target)
    with pytest.raises(thimble.OptionError, match="several models"):
        Speculative(target, thimble.Ensemble([target, drafts["other"]]))
    for most in (0, 16, 2.5):
        with pytest.raises(thimble.OptionError, match="most is"):
            Speculative(target, drafts["other"], most=most)  # type: ignore[arg-type]
    with pytest.raises(thimble.OptionError, match="least is 2"):
        Speculative(target, drafts["other"], least=2)
    other.close()
    with pytest.raises(thimble.OptionError, match="is closed"):
        Speculative(target, other)


def test_the_command_says_how_much_was_accepted(tmp_path: Path, capsys: Capture) -> None:
    target, draft = (
        str(write(tmp_path / f"{seed}.gguf", dataclasses.replace(SPEC, seed=seed)))
        for seed in (1, 2)
    )
    argv = ("generate", target, "--prompt", "Mia had", "--max-tokens", "30", "--json")
    wanted, found = run_json(capsys, *argv), run_json(capsys, *argv, "--draft", draft)
    assert found["tokens"] == wanted["tokens"] and "speculation" not in wanted
    assert set(found["speculation"]) == {
        "rounds", "drafted", "checked", "accepted", "acceptance", "tokens_per_round"
    }  # fmt: skip
    line = run_failing(capsys, 2, "generate", target, draft, "--draft", draft)
    assert "--draft wants one model" in line
