"""Recorded runs: written, read again, replayed to the bit, and refused where they are none."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

import thimble
from tests.fuzz.fuzz_recording import check, mutated, seed
from tests.tiny_models import SPECS, make
from thimble import constrain
from thimble.debug import Debugger, Recording, Step

PARAMS = thimble.SamplingParams(temperature=0.9, top_k=30, top_p=0.9, min_p=0.02, seed=7)
PROMPT = "Mia had a little"


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    loader = thimble.ModelLoader()
    loader.feed(make(SPECS["q8_0"]))
    return loader.finish()


def steps(debugger: Debugger, n: int) -> None:
    for _ in range(n):
        debugger.step()


@pytest.fixture
def recording(model: thimble.Model) -> Recording:
    """A run with one of everything."""
    debugger = Debugger(model.session(), PARAMS)
    debugger.begin(PROMPT)
    steps(debugger, 4)
    debugger.ban(debugger.peek().id)
    debugger.step()
    debugger.edit(20, 9.5)
    debugger.step()
    debugger.params = thimble.SamplingParams(temperature=1.2, logit_bias={8: -math.inf, 9: 1.5})
    steps(debugger, 3)
    debugger.force(33)
    debugger.step()
    debugger.sampler = lambda logits, context: 44
    debugger.step()
    debugger.sampler = None
    steps(debugger, 3)
    return debugger.record(sha256="ab" * 32)


def test_a_recorded_run_replays_exactly(model: thimble.Model, recording: Recording) -> None:
    read = Recording.from_json(recording.to_json())
    assert read == recording
    other = Debugger(model.session(), thimble.SamplingParams(temperature=0))
    replay = other.replay(read, sha256="ab" * 32)
    while not replay.over:
        assert other.replay_step(replay)
    assert replay.mismatch is None
    assert replay.done == len(recording.steps) == 14
    assert other.record(sha256="ab" * 32) == recording
    assert {step.how for step in recording.steps} == {"drawn", "forced", "sampler"}


def test_a_run_with_keys_and_values_that_take_less_says_so(model: thimble.Model) -> None:
    debugger = Debugger(model.session(kv_type="f16"), PARAMS)
    debugger.begin(PROMPT)
    steps(debugger, 3)
    recording = debugger.record()
    read = Recording.from_json(recording.to_json())
    assert read == recording and read.kv_type == "f16"
    with pytest.raises(thimble.OptionError, match="kept keys and values as 'f16', this session"):
        Debugger(model.session()).replay(read)
    again = Debugger(model.session(kv_type="f16"))
    replay = again.replay(read)
    while not replay.over:
        assert again.replay_step(replay)
    assert again.record() == recording
    broken = recording.to_json().replace('"f16"', '"f8"')
    with pytest.raises(thimble.FormatError, match=r"model\.kv_type is 'f8'; f32, f16, q8_0 are"):
        Recording.from_json(broken)


def test_a_run_under_a_constraint_replays_exactly(model: thimble.Model) -> None:
    """Grammars that begin, change, begin anew where they were whole, and end."""
    debugger = Debugger(model.session(), PARAMS)
    debugger.begin(PROMPT)
    steps(debugger, 2)
    one, other = constrain.regex("[a-z ]{3}"), constrain.gbnf('root ::= "(" [a-z]+ ")"')
    for grammar in (one, other):
        debugger.params = dataclasses.replace(PARAMS, grammar=grammar)
        steps(debugger, 1)
    params = dataclasses.replace(PARAMS, grammar=one, max_tokens=9)
    for _ in range(2):  # written elsewhere, and taken up
        place = len(debugger.session)
        chunks = list(debugger.session.generate("", params))
        debugger.adopt(Step(*chunk[1:5], params=params, constraint_start=place) for chunk in chunks)
    debugger.params = PARAMS
    steps(debugger, 2)
    recording = debugger.record()
    read = Recording.from_json(recording.to_json())
    assert read == recording
    begins = [step.constraint_start for step in read.steps]
    assert begins[:4] == [None, None, len(read.prompt) + 2, len(read.prompt) + 3]
    assert len({*begins}) == 5
    again = Debugger(model.session())
    replay = again.replay(read)
    while not replay.over:
        assert again.replay_step(replay)
    assert again.record() == recording
    # As version 0.1 called the place.
    old = recording.to_json().replace("constraint_start", "shape_from")
    assert "shape_from" in old and Recording.from_json(old) == recording
    # Another grammar is another run.
    for step in (whole := json.loads(recording.to_json()))["steps"]:
        if step.get("params", {}).get("grammar"):
            step["params"]["grammar"] = {"kind": "regex", "source": "[0-9]{20}"}
    replay = again.replay(Recording.from_json(json.dumps(whole)))
    while not replay.over:
        again.replay_step(replay)
    assert replay.mismatch and replay.mismatch.step == 3


def test_a_file_is_what_its_description_says(recording: Recording) -> None:
    whole = json.loads(recording.to_json())
    assert (whole["format"], whole["version"]) == ("thimble-run", 1)
    assert whole["model"]["sha256"] == "ab" * 32
    assert whole["prompt"]["text"] == PROMPT
    assert whole["steps"][0]["params"] == {
        "temperature": 0.9, "top_k": 30, "top_p": 0.9, "min_p": 0.02, "seed": 7,
    }  # fmt: skip
    assert set(whole["steps"][1]) == {"id", "logprob"}
    assert whole["steps"][4]["bans"]
    assert whole["steps"][5]["logits"] == {"20": 9.5}
    assert whole["steps"][6]["params"]["logit_bias"] == {"8": None, "9": 1.5}
    assert whole["steps"][9]["how"] == "forced"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda step: step.update(id=step["id"] ^ 1), "came and not"),
        (lambda step: step.update(logprob=step["logprob"] + 2**-20), "has the log-probability"),
    ],
)
def test_a_mismatch_says_at_which_step(
    model: thimble.Model, recording: Recording, spoil: Callable[[Any], None], words: str
) -> None:
    whole = json.loads(recording.to_json())
    spoil(whole["steps"][2])
    other = Debugger(model.session())
    replay = other.replay(Recording.from_json(json.dumps(whole)))
    while not replay.over:
        other.replay_step(replay)
    assert replay.mismatch and replay.mismatch.step == 3
    assert words in replay.mismatch.words
    assert other.node.depth == 2  # what was right stays
    other.step()


def test_another_model_or_too_small_a_context_is_refused(
    model: thimble.Model, recording: Recording
) -> None:
    other = Debugger(model.session(n_ctx=8))
    with pytest.raises(thimble.OptionError, match=r"made with .* SHA-256 abab"):
        other.replay(recording, sha256="cd" * 32)
    with pytest.raises(thimble.ContextError, match="context holds 8"):
        other.replay(recording)
    foreign = Recording("x", None, (10**6,), ())
    with pytest.raises(thimble.OptionError, match="not in the vocabulary"):
        other.replay(foreign)


def test_too_many_grammars_are_refused(recording: Recording) -> None:
    whole = json.loads(recording.to_json())
    whole["steps"] = [
        {
            "id": 1, "logprob": -1.0, "constraint_start": 0,
            "params": {"grammar": {"kind": "regex", "source": "a" * (n % 2 + 1)}},
        }
        for n in range(65)
    ]  # fmt: skip
    with pytest.raises(
        thimble.FormatError, match="step 65: the grammar changes more than 64 times"
    ):
        Recording.from_json(json.dumps(whole))
    whole["steps"].pop()
    assert len(Recording.from_json(json.dumps(whole)).steps) == 64
    whole["steps"][0]["constraint_start"] = 99
    with pytest.raises(thimble.FormatError, match="step 1: constraint_start is 99"):
        Recording.from_json(json.dumps(whole))


@pytest.mark.parametrize(("path", "value", "words"), [
    ("format", "gguf", '"format" is \'gguf\''), ("version", 2, "reads version 1"),
    ("model", [], "model is a list"), ("model.sha256", 5, "model.sha256 is 5"),
    ("prompt.ids", {}, "prompt.ids is an object"), ("prompt.ids", [-1], "prompt.ids has -1"),
    ("steps", 7, "steps is 7"), ("steps.0", None, "step 1 is missing"),
    ("steps.1.id", True, "step 2: id has True"), ("steps.1.logprob", "x", "step 2: logprob"),
    ("steps.1.how", "guess", "step 2: how is 'guess'"), ("steps.2.bans", [1.5], "step 3: bans"),
    ("steps.2.logits", {"a": 1}, "step 3: logits has 'a'"),
    ("steps.2.logits", {"1": 1e300}, "up to a billion"),
    ("steps.3.params", {"top_p": 7}, "step 4: top_p is 7"),
    ("steps.3.params", {"moon": 7}, "step 4: there is no parameter 'moon'"),
    ("steps.3.params", {"logit_bias": {"1": "x"}}, "step 4: logit_bias has 'x'"),
    ("steps.3.params", {"grammar": {"kind": "regex", "source": "(a"}}, "step 4: "),
    ("steps.3.params", {"grammar": "a"}, "step 4: grammar is 'a'; it must be an object"),
    ("steps.3.params", {"grammar": {"kind": "regex", "source": "a"}}, "_start is missing; it goes"),
    ("steps.3.constraint_start", 3, "it goes with a grammar"),
    ("text", 3, "text is 3"),
])  # fmt: skip
def test_a_bad_file_is_refused_by_name(
    recording: Recording, path: str, value: Any, words: str
) -> None:
    whole = json.loads(recording.to_json())
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = whole
    for part in way:
        place = place[part]
    place[last] = value
    with pytest.raises(thimble.FormatError) as caught:
        Recording.from_json(json.dumps(whole))
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"\xff\xfe\x00", b"[" * 100_000, b'{"format": NaN}', b"1" * 10_000,
])  # fmt: skip
def test_what_is_no_file_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(thimble.FormatError):
        Recording.from_json(data)


def test_mutated_files_are_read_or_refused() -> None:
    outcomes = [check(mutated(number)) for number in range(1500)]
    assert 0.05 < outcomes.count("read") / len(outcomes) < 0.95
    assert set(outcomes) == {"read", "FormatError"}
    assert check(seed()) == "read"
    assert [mutated(n) for n in range(20)] == [mutated(n) for n in range(20)]
