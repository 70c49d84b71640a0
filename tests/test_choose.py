"""Which of several texts is given: the likeliest, or the one whose answer most texts have."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

import thimble
from tests.command_line import Capture, run_failing, run_json
from tests.test_ensemble import load
from tests.tiny_models import SPECS, write
from thimble.choose import Candidate, candidates, judge_text, last_match, last_number, plain

PROMPT = "Mia had a little red"
PARAMS = thimble.SamplingParams(max_tokens=16, temperature=0.6, seed=4)


@pytest.fixture(scope="module")
def writer() -> Iterator[thimble.Model]:
    model = load("f32", 1)
    yield model
    model.close()


@pytest.fixture(scope="module", params=["f32", "spm"])
def judge(request: pytest.FixtureRequest) -> Iterator[thimble.Model]:
    """Another model with the writer's tokenizer, and one with another."""
    model = load(request.param, 2)
    yield model
    model.close()


def test_candidates_are_the_texts_of_their_seeds(writer: thimble.Model) -> None:
    found = list(candidates(writer, PROMPT, PARAMS, n=4))
    assert [one.seed for one in found] == [4, 5, 6, 7]
    assert len({one.text for one in found}) > 1
    for one in found:
        session = writer.session()
        params = dataclasses.replace(PARAMS, seed=one.seed)
        chunks = list(session.generate(PROMPT, params))
        assert one.text == "".join(chunk.text for chunk in chunks)
        assert one.ids == tuple(chunk.id for chunk in chunks)
        assert one.finish_reason == chunks[-1].finish_reason
        session.close()


def test_a_judge_counts_the_text_and_not_the_prompt(judge: thimble.Model) -> None:
    text = " boat. The duck pushed it."
    found = judge_text(judge, PROMPT, Candidate(text, (), 0, "stop"))
    ids = judge.tokenizer.encode(PROMPT + text)
    session = judge.session()
    session.append(ids[:1])
    every = session.score(ids[1:])
    session.close()
    # The tokens at the end whose bytes are the text's.
    tail, size = [], 0
    for choice in reversed(every):
        if size >= len(text):
            break
        tail.append(choice)
        size += len(judge.tokenizer.token_bytes(choice.id))
    assert (found.tokens, found.bytes) == (len(tail), size)
    assert found.bytes >= len(text)
    assert found.nats == pytest.approx(-sum(choice.logprob for choice in tail), rel=1e-6)
    assert found.per_byte == -found.nats / found.bytes
    assert found.per_token == -found.nats / found.tokens


@pytest.mark.parametrize("per", ["byte", "token"])
def test_the_likeliest_comes_first(writer: thimble.Model, judge: thimble.Model, per: str) -> None:
    seen: list[tuple[int, int]] = []
    found = thimble.best_of(
        writer, PROMPT, PARAMS, n=5, judge=judge, per=per,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(done, 5) for done in range(1, 6)]
    assert {one.candidate.seed for one in found} == {4, 5, 6, 7, 8}
    values = [one.per_byte if per == "byte" else one.per_token for one in found]
    assert values == sorted(values, reverse=True) and values[0] > values[-1]
    for one in found:
        assert one == judge_text(judge, PROMPT, one.candidate)


def test_an_empty_text_is_never_the_best(writer: thimble.Model) -> None:
    params = dataclasses.replace(PARAMS, logit_bias={writer.tokenizer.eos_id or 0: 5.0})
    found = thimble.best_of(writer, PROMPT, params, n=12)
    assert found[-1].text == "" and found[-1].per_byte == -math.inf
    assert found[0].text


def test_most_texts_decide(writer: thimble.Model) -> None:
    texts = [one.text for one in candidates(writer, PROMPT, PARAMS, n=9)]

    def first_letter(text: str) -> str | None:
        return next((letter for letter in text if letter.isalpha() and letter != "o"), None)

    found = thimble.vote(writer, PROMPT, PARAMS, n=9, answer=first_letter)
    said = [answer for text in texts if (answer := first_letter(text)) is not None]
    assert sum(count for _, count in found.votes) == len(said)
    assert all(said.count(answer) == count for answer, count in found.votes)
    assert found.answer == max(said, key=said.count)  # max takes the first of as many
    assert found.candidate is not None
    assert first_letter(found.candidate.text) == found.answer
    nobody = thimble.vote(writer, PROMPT, PARAMS, n=2, answer=lambda text: None)
    assert (nobody.answer, nobody.candidate, nobody.votes) == (None, None, ())


def test_answers_in_one_form() -> None:
    assert plain("  The  Duck. ") == "the duck"
    assert plain(" . ") is None
    assert last_number("3 and 4 make 7.50, or 1,200") == "1200"
    assert last_number("it is -7.50") == last_number("-7.5!") == "-7.5"
    assert last_number("none") is None
    assert last_match(r"is (\w+)")("it is Red, then is Blue.") == "blue"
    assert last_match(r"\d+")("no") is None
    with pytest.raises(thimble.OptionError, match=r"'\(' is no regular expression"):
        last_match("(")


def test_what_makes_no_sense_is_refused(writer: thimble.Model) -> None:
    with pytest.raises(thimble.OptionError, match="n is 0"):
        thimble.best_of(writer, PROMPT, PARAMS, n=0)
    with pytest.raises(thimble.OptionError, match="3 texts would all be the same"):
        thimble.vote(writer, PROMPT, dataclasses.replace(PARAMS, temperature=0.0), n=3)
    with pytest.raises(thimble.OptionError, match="per is 'line'"):
        thimble.best_of(writer, PROMPT, PARAMS, n=2, per="line")
    short = Candidate(" boat", (), 0, None)
    with pytest.raises(thimble.ContextError, match="the judge"):
        judge_text(writer, "Mia had a boat. " * 100, short)


def test_the_command_chooses(tmp_path: Path, capsys: Capture) -> None:
    model = str(write(tmp_path / "a.gguf", SPECS["f32"]))
    judge = str(write(tmp_path / "b.gguf", SPECS["spm"]))
    argv = ("generate", model, "--prompt", PROMPT, "--max-tokens", "8", "--json")
    best = run_json(capsys, *argv, "--best-of", "3", "--judge", judge, "--per", "token")
    ranks = [one["nats_per_token"] for one in best["candidates"]]
    assert best["text"] == best["candidates"][0]["text"] and ranks == sorted(ranks, reverse=True)
    ballot = run_json(capsys, *argv, "--vote", "5", "--answer", "[a-z]")
    assert ballot["text"] == ballot["votes"][0]["answer"] and len(ballot["text"]) == 1
    assert sum(one["votes"] for one in ballot["votes"]) <= 5
    for extra, words in {
        ("--judge", judge): "--judge wants --best-of",
        ("--answer", "x"): "--answer wants --vote",
        ("--vote", "2", "--best-of", "2"): "take one",
        ("--vote", "2", "--chat"): "--chat writes one answer",
        ("--vote", "2", "--top-logprobs", "3"): "for one text",
    }.items():
        assert words in run_failing(capsys, 2, *argv, *extra)
