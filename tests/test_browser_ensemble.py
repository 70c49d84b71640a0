"""Several of the page's models as one, as its worker asks for it."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

import thimble
from tests.test_browser import ask, fails
from tests.tiny_models import SPECS, TinySpec, make
from thimble.browser import Engine
from thimble.browser.ensemble import source
from thimble.combined import METHODS
from thimble.ensemble import Ensemble, EnsembleSession
from thimble.kernel import Scratch

STORY = "Once upon a time there was a cat.\n\nShe sat on the mat. The end, said the cat."
TEXT = "\n\n".join(f"Mia had {n} red boats, and {n} ducks swam to the boat." for n in range(12))


def bring(engine: Engine, name: str, spec: TinySpec) -> int:
    """A session on a model of the page's."""
    data = make(spec)
    number = ask(engine, "begin_load", name, len(data), None)
    ask(engine, "feed", number, data)
    ask(engine, "finish", number)
    opened: int = ask(engine, "open", name, "{}")
    return opened


def member(seed: int, **changes: Any) -> TinySpec:
    return dataclasses.replace(SPECS["q8_0"], seed=seed, **changes)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def sessions(engine: Engine) -> list[int]:
    return [bring(engine, f"member {seed}", member(seed)) for seed in (20, 21, 22, 23)]


@pytest.fixture(scope="module")
def group(engine: Engine, sessions: list[int]) -> int:
    made: int = ask(engine, "ensemble.make", json.dumps(sessions), "mixture")["ensemble"]
    return made


def write(engine: Engine, group: int, prompt: str = "Once", **options: Any) -> list[list[Any]]:
    ask(engine, "ensemble.begin", group, prompt, json.dumps(options))
    rows: list[list[Any]] = []
    while True:
        batch = ask(engine, "ensemble.run", group, 0)
        rows += batch["rows"]
        if batch["finish_reason"] is not None:
            return rows


def finish(engine: Engine, begun: dict[str, Any]) -> dict[str, Any]:
    """Work to the end, one step at a time; the result."""
    seen = []
    while True:
        step = ask(engine, "ensemble.work", begun["job"], 0)
        seen.append(step["done"])
        if step["result"] is not None:
            assert seen == sorted(seen)
            assert seen[-1] == begun["total"]
            result: dict[str, Any] = step["result"]
            return result


def native(engine: Engine, method: str, weights: list[float] | None = None) -> Ensemble:
    models = [model for name, model in engine.loaded.items() if name.startswith("member")]
    return Ensemble(models, method=method, weights=weights)


def test_it_writes_what_the_package_writes(engine: Engine, group: int) -> None:
    rows = write(engine, group, max_tokens=20, seed=3)
    params = thimble.SamplingParams(max_tokens=20, seed=3)
    pieces = list(native(engine, "mixture").session().generate("Once", params))
    assert [(row[0], row[1]) for row in rows] == [(piece.text, piece.id) for piece in pieces]
    assert [row[2] for row in rows] == [piece.logprob for piece in pieces]
    # What each member gave to a token adds up to what they gave together.
    for row in rows:
        said = [math.exp(logprob) for logprob in row[6]]
        assert math.exp(row[2]) == pytest.approx(sum(said) / 4, rel=1e-4)
        assert said[row[5]] == max(said)
    ask(engine, "ensemble.begin", group, "", '{"max_tokens": 5, "continue": true}')
    assert len(ask(engine, "ensemble.run", group, 10_000)["rows"]) == 5
    assert write(engine, group, max_tokens=20, seed=3) == rows


@pytest.mark.parametrize("method", METHODS)
def test_every_token_comes_from_a_member(engine: Engine, sessions: list[int], method: str) -> None:
    two = json.dumps(sessions[:2])
    made = ask(engine, "ensemble.make", two, method)
    for row in write(engine, made["ensemble"], max_tokens=12, temperature=0.8):
        assert row[5] in (0, 1)
        assert all(math.isfinite(other[2]) for other in row[4])
    ask(engine, "ensemble.close", made["ensemble"])


def test_the_source_of_a_token_is_by_its_method() -> None:
    def heard(token: int, logprob: float, best: int, most: float) -> thimble.Choice:
        return thimble.Choice(token, logprob, 1.0, ((best, most),))

    # The second finds the token likelier; the first is surer of another one.
    two = [heard(7, -2.0, 3, -0.1), heard(7, -1.0, 7, -1.0)]
    assert source("mixture", (0.5, 0.5), -1.4, two) == 1
    assert source("mixture", (0.9, 0.1), -1.8, two) == 0
    assert source("vote", (0.9, 0.1), -2.3, two) == 1
    assert source("confident", (0.5, 0.5), -2.0, two) == 0
    assert source("product", (0.5, 0.5), -1.5, two) == 1
    # In a contrast the amateur's dislike may be what raised it most.
    liked = [heard(7, -0.5, 7, -0.5), heard(7, -0.6, 7, -0.6)]
    disliked = [heard(7, -0.5, 7, -0.5), heard(7, -3.0, 3, -0.2)]
    assert source("contrastive", (1.5, -0.5), -0.7, liked) == 0
    assert source("contrastive", (1.5, -0.5), -0.2, disliked) == 1


def test_a_weight_changes_what_is_expected_and_computes_nothing_again(
    engine: Engine, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(engine, group, max_tokens=6)
    before = ask(engine, "ensemble.view", group)
    with monkeypatch.context() as patch:
        patch.setattr(EnsembleSession, "_forward", None)
        alone = ask(engine, "ensemble.combine", group, "mixture", "[0, 3, 0, 0]")
        product = ask(engine, "ensemble.combine", group, "product", "null")
    assert alone["weights"] == [0, 1, 0, 0]
    assert alone["members"] == before["members"]
    best = alone["together"][1][0]
    assert best[:2] == alone["members"][1][1][0][:2]
    assert best[2] == pytest.approx(alone["members"][1][1][0][2], abs=1e-5)
    assert product["weights"] == [0.25] * 4
    assert before["together"] != alone["together"] != product["together"]
    assert ask(engine, "ensemble.combine", group, "mixture", "null") == before


def test_a_token_is_looked_at_where_it_was_drawn(engine: Engine, group: int) -> None:
    rows = write(engine, group, max_tokens=6)
    end = ask(engine, "ensemble.view", group)
    look = ask(engine, "ensemble.look", group, 2)
    assert look["position"] == end["position"] - 4
    assert look["together"][1] == rows[2][4]
    assert look["together"][0] == pytest.approx(rows[2][3], rel=1e-6)
    # Weights count there too, and the text's end is as it was.
    moved = ask(engine, "ensemble.combine", group, "mixture", "[1, 0, 0, 0]")
    assert moved["position"] == look["position"]
    assert moved["together"] != look["together"]
    ask(engine, "ensemble.combine", group, "mixture", "null")
    assert ask(engine, "ensemble.look", group, None) == end
    assert "no token 99" in fails(engine, "ensemble.look", group, 99)[1]


def test_the_last_batch_shows_what_the_members_expected(engine: Engine, group: int) -> None:
    ask(engine, "ensemble.begin", group, "Once", '{"max_tokens": 3}')
    batch = ask(engine, "ensemble.run", group, 0)
    assert batch["view"] == ask(engine, "ensemble.look", group, 0)
    ask(engine, "ensemble.look", group, None)
    ask(engine, "ensemble.stop", group)


def test_what_does_not_fit_is_named_and_the_rest_goes_on(
    engine: Engine, sessions: list[int]
) -> None:
    twin = bring(engine, "twin", member(20))
    spm = bring(engine, "other words", SPECS["spm"])
    short = bring(engine, "short", member(30, n_ctx=128))
    listed = [sessions[0], twin, spm, sessions[1], short]
    made = ask(engine, "ensemble.make", json.dumps(listed), "mixture")
    assert made["members"] == [0, 3, 4]
    (first, same), (second, words) = made["refused"]
    assert (first, second) == (1, 2)
    assert same.startswith("it is the same file as 'member 20'")
    assert words.startswith("it cuts text into other tokens")
    assert made["contextWindow"] == 128
    assert made["note"] == "Together they hold 128 tokens, as 'short' does; others hold more."
    assert write(engine, made["ensemble"], max_tokens=3)
    prompt = "boat " * 200
    kind, message = fails(engine, "ensemble.begin", made["ensemble"], prompt, "{}")
    assert kind == "ContextError"
    assert "the ensemble's context holds 128" in message
    ask(engine, "ensemble.close", made["ensemble"])
    # Whoever has the tokens that most of them have stays, wherever in the list.
    first = ask(engine, "ensemble.make", json.dumps([spm, *sessions[:2]]), "mixture")
    assert (first["members"], [at for at, _ in first["refused"]]) == ([1, 2], [0])
    ask(engine, "ensemble.close", first["ensemble"])
    alone = ask(engine, "ensemble.make", json.dumps([sessions[0], twin]), "mixture")
    assert alone["ensemble"] is None
    many = json.dumps([sessions[0]] * 9)
    assert "2 to 8 members, not 9" in fails(engine, "ensemble.make", many, "mixture")[1]


def test_weights_that_make_no_sense_are_refused_and_nothing_changes(
    engine: Engine, group: int
) -> None:
    before = ask(engine, "ensemble.view", group)
    for weights, words in (("[0, 0, 0, 0]", "all weights are 0"), ("[1, -1, 1, 1]", "-1.0")):
        assert words in fails(engine, "ensemble.combine", group, "mixture", weights)[1]
    assert "no method 'sum'" in fails(engine, "ensemble.combine", group, "sum", "null")[1]
    assert ask(engine, "ensemble.view", group) == before
    assert "no ensemble 999" in fails(engine, "ensemble.view", 999)[1]


def test_members_that_find_no_memory_stay_out(
    engine: Engine, sessions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_of: list[int] = []

    class Full(Scratch):
        def __init__(self, kernel: Any, nbytes: int, what: str) -> None:
            if what == "the members' logits":
                made_of.append(nbytes)
                if len(made_of) < 3:
                    raise thimble.MemoryLimitError(f"no memory for {what}: {nbytes:,} bytes")
            super().__init__(kernel, nbytes, what)

    monkeypatch.setattr("thimble.ensemble.Scratch", Full)
    made = ask(engine, "ensemble.make", json.dumps(sessions), "mixture")
    assert made["members"] == [0, 1]
    assert [at for at, _ in made["refused"]] == [2, 3]
    assert "no memory for it beside the others" in made["refused"][0][1]
    assert made_of == sorted(made_of, reverse=True)
    ask(engine, "ensemble.close", made["ensemble"])


def test_the_measurement_is_the_evaluations(
    engine: Engine, group: int, sessions: list[int]
) -> None:
    rival = bring(engine, "rival", SPECS["spm"])
    result = finish(engine, ask(engine, "ensemble.measure", group, TEXT, rival))
    passages = TEXT.split("\n\n")
    models = [*native(engine, "mixture").members, engine.loaded["rival"], native(engine, "mixture")]
    kinds = [row["kind"] for row in result["rows"]]
    assert kinds == ["member"] * 4 + ["rival", "together"]
    for row, model in zip(result["rows"], models, strict=True):
        wanted = thimble.evaluate_text(model, passages).bits_per_byte
        assert row["bits"] == pytest.approx(wanted, rel=1e-12)
        assert row["parameters"] == model.n_params
    best = min(result["rows"][:4], key=lambda row: row["bits"])
    gain = result["gain"]
    assert result["best"] == best["name"]
    assert gain["share"] == pytest.approx(1 - result["rows"][5]["bits"] / best["bits"])
    assert gain["low"] < gain["share"] < gain["high"]
    assert (result["passages"], len(passages)) == (12, 12)


def test_long_passages_are_cut_so_that_all_of_the_text_is_read(engine: Engine, group: int) -> None:
    long = " ".join(STORY.split()) * 30
    result = finish(engine, ask(engine, "ensemble.measure", group, long, None))
    tokenizer = native(engine, "mixture").tokenizer
    # Without a mark for the beginning the first token of each piece is not predicted.
    slack = 0 if tokenizer.bos_id is not None else 20 * result["passages"]
    assert len(long.encode()) - slack <= result["bytes"] <= len(long.encode())
    assert result["passages"] > 1


def test_a_vote_may_leave_a_text_no_chance(engine: Engine, sessions: list[int]) -> None:
    made = ask(engine, "ensemble.make", json.dumps(sessions), "vote")
    result = finish(engine, ask(engine, "ensemble.measure", made["ensemble"], STORY, None))
    assert result["rows"][-1]["bits"] is None
    assert result["gain"] is None
    ask(engine, "ensemble.close", made["ensemble"])


def test_fitted_weights_are_the_packages(engine: Engine, group: int) -> None:
    result = finish(engine, ask(engine, "ensemble.fit", group, TEXT))
    members = native(engine, "mixture").members
    wanted = thimble.fit_weights(members, TEXT.split("\n\n"))
    assert result["weights"] == pytest.approx(wanted, rel=1e-9)


def test_a_measurement_can_be_ended_and_bad_texts_are_refused(engine: Engine, group: int) -> None:
    job = ask(engine, "ensemble.measure", group, TEXT, None)["job"]
    ask(engine, "ensemble.work", job, 0)
    ask(engine, "ensemble.end", job)
    assert "no measurement" in fails(engine, "ensemble.work", job, 0)[1]
    assert "is empty" in fails(engine, "ensemble.measure", group, " \n", None)[1]
    assert "at most 200,000" in fails(engine, "ensemble.fit", group, "x" * 200_001)[1]


def test_the_python_panel_makes_one_of_the_pages_models(
    engine: Engine, sessions: list[int]
) -> None:
    shown: list[str] = []
    code = """
names = sorted(name for name in thimble.page.models if name.startswith("member"))
both = thimble.Ensemble([thimble.page.models[name] for name in names], method="product")
"".join(piece.text for piece in both.session().generate("Once"))
"""
    hear = lambda kind, text, words: shown.append(f"{kind}: {text}")  # noqa: E731
    try:
        answer = ask(engine, "console.run", sessions[0], code, hear)
    finally:
        vars(thimble).pop("page", None)
    assert answer["status"] == "done", shown
    pieces = native(engine, "product").session().generate("Once")
    assert shown == [f"value: {''.join(piece.text for piece in pieces)!r}\n"]


def test_a_draft_gives_the_targets_own_tokens(engine: Engine, group: int) -> None:
    options = json.dumps({"max_tokens": 24, "seed": 2})
    result = finish(engine, ask(engine, "ensemble.draft", group, 0, 1, "Once", options))
    alone = native(engine, "mixture").members[0].session()
    params = thimble.SamplingParams(max_tokens=24, seed=2)
    assert result["text"] == "".join(piece.text for piece in alone.generate("Once", params))
    assert result["same"] is True
    assert result["acceptance"] is None or 0 <= result["acceptance"] <= 1
    assert len(result["seconds"]) == 2
    refused = fails(engine, "ensemble.draft", group, 2, 2, "Once", options)[1]
    assert "'member 22' cannot draft for itself" in refused


def test_the_best_of_several_is_the_packages(engine: Engine, group: int) -> None:
    options = json.dumps({"max_tokens": 12, "seed": 2})
    result = finish(engine, ask(engine, "ensemble.choose", group, 1, "Once", options, 4))
    model, params = native(engine, "mixture"), thimble.SamplingParams(max_tokens=12, seed=2)
    wanted = thimble.best_of(model, "Once", params, n=4, judge=model.members[1])
    assert [row[0] for row in result["texts"]] == [one.text for one in wanted]
    assert [row[2] for row in result["texts"]] == [-one.per_byte for one in wanted]
    short = json.dumps({"max_tokens": 1, "seed": 2, "temperature": 0.05})
    votes = finish(engine, ask(engine, "ensemble.choose", group, None, "Once", short, 6))["votes"]
    assert votes == [[answer, count] for answer, count in votes if count > 1]
    assert votes[0][1] == max(count for _, count in votes)
    for n, words in ((1, "2 to 64"), (65, "2 to 64")):
        assert words in fails(engine, "ensemble.choose", group, None, "Once", options, n)[1]
    cold = json.dumps({"temperature": 0})
    assert "all be the same" in fails(engine, "ensemble.choose", group, 0, "Once", cold, 2)[1]
