"""Changes inside the page's model, what they cost, and the tour, as the page's worker asks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import thimble
from tests import induction_model
from tests.test_browser import ask, fails, load, write
from thimble import lens
from thimble.browser import Engine
from thimble.browser.lens_tour import STEPS
from thimble.reference import softmax

STORIES = "a cat sat on the mat\nthe dog ran to the cat\none day the sun came up again\n"
PAIR = {"clean": "a cat and", "corrupted": "a dog and"}


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    load(made)
    return made


@pytest.fixture
def session(engine: Engine) -> int:
    opened: int = ask(engine, "open", "tiny", "{}")
    return opened


def put(engine: Engine, session: int, *changes: dict[str, Any], text: str = "") -> int:
    found: int = ask(engine, "lens_change.put", session, json.dumps(changes), text)
    return found


def finish(engine: Engine, job: dict[str, Any]) -> Any:
    """A job to its end; its progress is what it said that it would be."""
    steps = []
    while True:
        step = ask(engine, "lens_change.work", job["job"], 0)
        steps.append(step["done"])
        if step["result"] is not None:
            assert step["done"] == step["total"] == job["total"]
            assert steps == list(range(1, job["total"] + 1))
            return step["result"]


def text_of(engine: Engine, session: int) -> str:
    batches = write(engine, session, "a cat", temperature=0, max_tokens=12)
    return "".join(batch["text"] for batch in batches)


HEAD: dict[str, Any] = {"kind": "head", "layer": 0, "unit": 1}
EVERY: list[dict[str, Any]] = [
    HEAD,
    {**HEAD, "how": "mean"},
    {**HEAD, "how": "scale", "factor": -3},
    {"kind": "neuron", "layer": 1, "unit": 5, "how": "scale", "factor": 50},
    {"kind": "mlp", "layer": 0},
    {"kind": "mlp", "layer": 1, "how": "mean"},
    {"kind": "attention", "layer": 1, "how": "scale", "factor": 2.5},
    {"kind": "steer", "layer": 1, "factor": 4, "towards": "a cat", "away": "a dog"},
    {"kind": "patch", "layer": 1, "towards": "the dog"},
    {"kind": "patch", "layer": 0, "unit": 1, "towards": "the dog"},
]


@pytest.mark.parametrize("change", EVERY, ids=lambda one: f"{one['kind']}-{one.get('how', '')}")
def test_each_change_is_felt_in_every_session_and_is_gone_without_it(
    engine: Engine, session: int, change: dict[str, Any]
) -> None:
    other = ask(engine, "open", "tiny", "{}")
    tokens = json.dumps([1, 40, 50, 60])
    before, text = ask(engine, "logits_hash", session, tokens), text_of(engine, session)
    assert put(engine, session, change, text=STORIES) == 1
    after = ask(engine, "logits_hash", session, tokens)
    assert after == ask(engine, "logits_hash", other, tokens) != before
    assert put(engine, session, {**change, "on": False}) == 0
    assert ask(engine, "logits_hash", session, tokens) == before
    assert text_of(engine, session) == text


def test_the_distributions_are_those_of_the_model_without_and_with(
    engine: Engine, session: int
) -> None:
    ids = thimble.generation.prompt_ids(engine.loaded["tiny"], "a cat", first=True)
    same = ask(engine, "lens_change.next", session, json.dumps(ids))
    assert same["bits"] == 0.0
    assert all(before == after for *_, before, after in same["rows"])
    put(engine, session, {"kind": "attention", "layer": 0})
    found = ask(engine, "lens_change.next", session, json.dumps(ids))
    model = engine.loaded["tiny"].hooked(alone=True)
    hooks = lens.ablate_attention(model, [0])
    pairs = []
    for one in (model, model.hooked(hooks)):
        asked = one.session()
        asked.append(ids)
        pairs.append({token: math.exp(asked.token_logprob(token).logprob) for token in range(40)})
    for _, token, before, after in found["rows"]:
        if token < 40:
            assert (before, after) == (pairs[0][token], pairs[1][token])
    assert found["bits"] > 0
    assert [row[2] for row in found["rows"]] == sorted(
        (row[2] for row in found["rows"]), reverse=True
    )


def test_a_text_goes_on_as_it_does_without_and_with(engine: Engine, session: int) -> None:
    put(engine, session, {"kind": "attention", "layer": 0})
    ids = thimble.generation.prompt_ids(engine.loaded["tiny"], "a cat", first=True)
    options = json.dumps({"temperature": 0, "max_tokens": 12})
    job = ask(engine, "lens_change.write", session, json.dumps(ids), options)
    found = finish_any(engine, job)
    assert found["after"] == text_of(engine, session)
    put(engine, session)
    assert found["before"] == text_of(engine, session) != found["after"]


def test_only_one_model_has_changes(engine: Engine, session: int) -> None:
    put(engine, session, HEAD)
    first = engine.loaded["tiny"]
    assert first.fwd_hooks
    engine.loaded["old"] = engine.loaded.pop("tiny")
    load(engine)
    second = ask(engine, "open", "tiny", "{}")
    put(engine, second)
    assert not first.fwd_hooks


def test_the_effect_is_the_difference_of_evaluations(engine: Engine, session: int) -> None:
    put(engine, session, HEAD)
    found = finish(engine, ask(engine, "lens_change.effect", session, STORIES, 20))
    model = engine.loaded["tiny"]
    stories = STORIES.splitlines()
    after = thimble.evaluate_text(model, stories)
    before = thimble.evaluate_text(model.hooked(alone=True), stories)
    assert found["before"] == pytest.approx(before.bits_per_byte, rel=1e-9)
    assert found["after"] == pytest.approx(after.bits_per_byte, rel=1e-9)
    assert found["texts"] == 3
    assert found["bytes"] == before.bytes


def test_the_ranking_is_the_lens_s_and_ends_when_it_is_cancelled(
    engine: Engine, session: int
) -> None:
    found = finish(engine, ask(engine, "lens_change.rank", session, STORIES, 2))
    expected = lens.rank_heads(engine.loaded["tiny"], STORIES.splitlines()[:2])
    assert found["heads"] == [[one.layer, one.head, one.change] for one in expected.heads]
    assert found["bits"] == expected.bits_per_byte
    assert found["estimate"] is False
    found = finish(engine, ask(engine, "lens_change.rank", session, STORIES, 2, True))
    estimated = lens.attribution_ranking(engine.loaded["tiny"], STORIES.splitlines()[:2])
    assert found["heads"] == [[one.layer, one.head, one.change] for one in estimated.heads]
    assert found["estimate"] is True
    job = ask(engine, "lens_change.rank", session, STORIES, 3)["job"]
    assert ask(engine, "lens_change.work", job, 0)["result"] is None
    ask(engine, "lens_change.end", job)
    assert "ended or never begun" in fails(engine, "lens_change.work", job, 0)[1]


def test_a_known_induction_head_is_found() -> None:
    engine = Engine()
    load(engine, induction_model.make())
    session = ask(engine, "open", "tiny", "{}")
    found = finish(engine, ask(engine, "lens_change.probe", session))
    expected = lens.detect_heads(
        engine.loaded["tiny"], length=found["tokens"] // 2, samples=found["samples"]
    )
    assert found["induction"][1][1] > 0.9
    assert found["previous_token"][0][0] > 0.9
    for kind in ("previous_token", "duplicate_token", "induction"):
        rows = getattr(expected, kind)
        for mine, theirs in zip(found[kind], rows, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-12)


def test_a_pair_of_prompts_is_mapped(engine: Engine, session: int) -> None:
    model = engine.loaded["tiny"]
    said: dict[str, Any] = {**PAIR, "site": "attn.hook_z", "answer": "a", "against": "b"}
    said["estimate"] = False
    found = finish(engine, ask(engine, "lens_change.patch", session, json.dumps(said)))
    assert (found["answer"].strip(), found["against"].strip()) == ("a", "b")
    (answer,), (against,) = (
        model.tokenizer.encode(found[name], add_special=False) for name in ("answer", "against")
    )
    expected = lens.patch_grid(
        model, PAIR["clean"], PAIR["corrupted"], answer, against=against, site="attn.hook_z"
    )
    assert found["values"] == [list(row) for row in expected.values]
    assert "".join(clean for clean, _ in found["tokens"]).endswith("a cat and")
    said["estimate"] = True
    found = finish(engine, ask(engine, "lens_change.patch", session, json.dumps(said)))
    estimated = lens.attribution_patching(
        model, PAIR["clean"], PAIR["corrupted"], answer, against=against, site="attn.hook_z"
    )
    assert found["values"] == [list(row) for row in estimated.values]
    assert found["estimate"] is True


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "heart", "layer": 0}, "no change 'heart'; there are head"),
    ({"kind": "head", "layer": 9, "unit": 0}, "no layer 9; there are 0 to 1"),
    ({"kind": "head", "layer": 0, "unit": 40}, "no head 40 in a layer; there are 0 to 3"),
    ({"kind": "head", "layer": 0}, "says no unit"),
    ({"kind": "neuron", "layer": 0, "unit": -1}, "the unit of a change is -1"),
    ({"kind": "mlp", "layer": 0.5}, "the layer of a change is 0.5"),
    ({**HEAD, "how": "gently"}, "nothing is done 'gently'; zero"),
    ({**HEAD, "how": "scale", "factor": 1e9}, "from -100 to 100"),
    ({**HEAD, "how": "mean"}, "no text to take a mean over"),
    ({"kind": "steer", "layer": 0, "towards": "a"}, "away from is empty"),
    ({"kind": "patch", "layer": 0}, "to take values from is empty"),
    ({"kind": "patch", "layer": 0, "towards": "a" * 2001}, "2,001 characters"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_a_change_that_cannot_be_is_refused_and_what_stood_stands(
    engine: Engine, session: int, change: dict[str, Any], words: str
) -> None:
    put(engine, session, HEAD)
    before = engine.loaded["tiny"].fwd_hooks
    kind, message = fails(
        engine, "lens_change.put", session, json.dumps([{"kind": "mlp", "layer": 0}, change]), ""
    )
    assert kind == "OptionError"
    assert words in message
    assert engine.loaded["tiny"].fwd_hooks == before


def test_questions_that_make_no_sense_are_refused(engine: Engine, session: int) -> None:
    said: dict[str, Any] = {**PAIR, "site": "attn.hook_z", "answer": "a", "against": "b"}
    said["estimate"] = False
    for change, words in (
        ({"corrupted": "a dog and more"}, "equally long"),
        ({"clean": " "}, "the clean prompt is empty"),
        ({"site": "logits"}, "nothing is patched at 'logits'"),
        ({"estimate": "yes"}, "estimate is 'yes'; true or false is right"),
        ({"against": "a"}, "both answers are 'a'"),
        ({"answer": "catalogue of cats"}, "name one token"),
    ):
        asked = json.dumps({**said, **change})
        answer = json.loads(engine.call("lens_change.patch", session, asked))
        if "value" in answer:
            answer = json.loads(engine.call("lens_change.work", answer["value"]["job"], 0))
        assert words in answer["error"][1]
    assert "at least 1" in fails(engine, "lens_change.rank", session, STORIES, 0)[1]
    assert "empty" in fails(engine, "lens_change.rank", session, " ", 5)[1]
    assert "no tokens" in fails(engine, "lens_change.next", session, "[]")[1]
    assert "context holds" in fails(engine, "lens_change.next", session, json.dumps([1] * 999))[1]
    assert "no step 'shop'" in fails(engine, "lens_change.tour", session, "shop", "{}", "")[1]


TOUR = {
    "clean": 'Once upon a time, there was a girl named Lucy. Her mom said, "Come here,',
    "corrupted": 'Once upon a time, there was a girl named Lily. Her mom said, "Come here,',
    "answer": "Lucy",
    "against": "Lily",
}


@pytest.mark.slow
def test_every_step_of_the_tour_is_measured_on_the_shipped_model() -> None:
    engine = Engine()
    load(engine, Path("web/models/story.gguf").read_bytes())
    session, model = ask(engine, "open", "tiny", "{}"), engine.loaded["tiny"]
    put(engine, session, {"kind": "mlp", "layer": 0})  # takes no part in it
    story = "Once there was a girl named Sue. Sue had a cat. The cat was big.\n"
    found = {}
    for step in STEPS:
        job = ask(engine, "lens_change.tour", session, step, json.dumps(TOUR), story)
        found[step] = finish_any(engine, job)
    put(engine, session)
    ids = [model.tokenizer.encode(f" {name}", add_special=False)[0] for name in ("Lucy", "Lily")]
    grid = lens.patch_grid(
        model, TOUR["clean"], TOUR["corrupted"], ids[0], against=ids[1], site="attn.hook_z"
    )
    best = max(value for row in grid.values for value in row)
    layer, head = found["copies"]["head"]
    assert grid.values[layer][head] == best == found["copies"]["share"]
    logits = model.run_with_hooks(TOUR["clean"])[-1]
    assert found["expects"]["value"] == pytest.approx(softmax(logits)[ids[0]], rel=1e-4)
    without = model.hooked(lens.ablate_heads(model, [(layer, head)]))
    lost = softmax(without.run_with_hooks(TOUR["clean"])[-1])[ids[0]]
    assert found["off"]["rows"][1][0] == pytest.approx(lost, rel=1e-4)
    assert found["depth"]["rows"][-1][2] == 1 or found["depth"]["block"] is None
    scores = lens.detect_heads(model)
    assert found["previous"]["score"] == scores.best("previous_token")[2]
    assert found["repeats"]["rows"][0] > found["repeats"]["rows"][1]
    ranking = lens.rank_heads(model, [story.strip()])
    assert found["worth"]["rows"][0][2] == ranking.heads[0].change


def finish_any(engine: Engine, job: dict[str, Any]) -> Any:
    """A job to its end, whose length is known when it has begun."""
    while True:
        step = ask(engine, "lens_change.work", job["job"], 1000)
        if step["result"] is not None:
            return step["result"]
