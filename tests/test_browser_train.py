"""Training as the page's worker asks for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

import thimble
from tests.test_browser import answer
from tests.tiny_adapters import make_adapter
from tests.tiny_models import SPECS, TinySpec, make
from thimble.browser import Engine
from thimble.browser.train import MOST_STEPS, sample_every

TEXT = "".join(
    f"{word} was here, {word} was there\n" for word in "alder birch cedar fir".split() * 40
)
RECIPE = {"separator": "\n", "size": 0.05, "context": 32, "micro_tokens": 256, "steps": 12,
          "eval_every": 4, "log_every": 3, "hash_every": 6}  # fmt: skip
SAMPLING = {"prompts": ["al", "fir"], "tokens": 12}


@pytest.fixture
def engine() -> Engine:
    return Engine()


def call(engine: Engine, method: str, *arguments: Any) -> Any:
    found = answer(engine, f"train.{method}", *arguments)
    assert "error" not in found, found
    return found["value"]


def fail(engine: Engine, method: str, *arguments: Any) -> str:
    """The words of an error that is one of ours."""
    kind, message = json.loads(engine.call(f"train.{method}", *arguments))["error"]
    assert kind != "InternalError", message
    return str(message)


def begin(engine: Engine, **choices: Any) -> Any:
    recipe, about = json.dumps(RECIPE | choices), json.dumps({"title": "Trees"})
    return call(engine, "begin", recipe, TEXT, json.dumps(SAMPLING), about)


def run_to_the_end(engine: Engine) -> list[Any]:
    news: list[Any] = []
    while not news or not news[-1]["done"]:
        news.append(call(engine, "run", 0))
    return news


def test_a_run_in_slices_tells_all_that_happens_once(engine: Engine) -> None:
    info = begin(engine)
    assert (info["step"], info["steps"], info["about"]) == (0, 12, {"title": "Trees"})
    news = run_to_the_end(engine)
    assert [one["step"] for one in news] == list(range(1, 13))  # one step a slice, at least
    losses = [entry for one in news for entry in one["loss"]]
    assert [step for step, _ in losses] == list(range(1, 13))
    assert losses[-1][1] < losses[0][1]
    heldout = [entry for one in news for entry in one["heldout"]]
    assert [step for step, _ in heldout] == [0, 4, 8, 12]
    assert heldout[-1][1] < heldout[0][1]
    samples = [entry for one in news for entry in one["samples"]]
    assert [step for step, _ in samples] == list(range(13))
    for _, text in samples:
        first, second = text.split("\n")
        assert first.startswith("al")
        assert second.startswith("fir")
    assert news[-1]["tokens"] == 12 * 256
    described = call(engine, "describe")
    assert described["done"]
    assert described["history"]["loss"] == losses


def test_a_kept_run_goes_on_to_the_same_bits_with_its_history(engine: Engine) -> None:
    begin(engine)
    run_to_the_end(engine)
    whole = call(engine, "receipt", "{}")
    history = call(engine, "describe")["history"]

    begin(engine)
    for _ in range(5):
        call(engine, "run", 0)
    kept = call(engine, "checkpoint")
    another = Engine()
    info = call(another, "resume", kept, TEXT)
    assert info["step"] == 5
    assert info["about"] == {"title": "Trees"}
    run_to_the_end(another)
    resumed = call(another, "receipt", "{}")
    assert resumed["weights"] == whole["weights"]
    assert resumed["curve"] == whole["curve"]
    again = call(another, "describe")["history"]
    for name in ("loss", "heldout", "samples"):
        assert again[name] == history[name]


def test_the_model_comes_out_as_a_file_that_the_engine_loads(engine: Engine) -> None:
    begin(engine)
    run_to_the_end(engine)
    sizes = []
    for type in ("q8_0", "f32"):
        kept = call(engine, "export", type)
        sizes.append(len(kept))
        loader = thimble.ModelLoader()
        loader.feed(kept)
        model = loader.finish()
        assert model.n_params == call(engine, "describe")["parameters"]
        model.close()
    assert sizes[0] < sizes[1]


def test_a_receipt_is_verified_and_a_forged_one_is_not(engine: Engine) -> None:
    begin(engine)
    run_to_the_end(engine)
    receipt = call(engine, "receipt", json.dumps({"machine": "a test's"}))
    assert receipt["machine"] == "a test's"
    assert receipt["core_seconds"] == receipt["seconds"]

    def verify(claim: Any) -> Any:
        news = call(engine, "verify", json.dumps(claim), TEXT)
        assert (news["step"], news["steps"], news["agrees"]) == (0, 12, None)
        while news["agrees"] is None:
            news = call(engine, "verify_on", 1)
        call(engine, "verify_end")
        return news

    assert verify(receipt) | {"seconds": 0} == {
        "step": 12, "steps": 12, "seconds": 0, "agrees": True, "differences": [],
    }  # fmt: skip
    forged = json.loads(json.dumps(receipt))
    entry = next(entry for entry in forged["curve"] if entry["step"] == 6)
    entry["weights"] = "0" * 64
    forged["thimble"] = "9.9"
    news = verify(forged)
    assert not news["agrees"]
    assert "step 6" in news["differences"][0]
    assert "9.9" in news["differences"][1]


def test_a_step_is_timed_without_disturbing_a_run(engine: Engine) -> None:
    begin(engine)
    call(engine, "run", 0)
    assert call(engine, "measure", json.dumps(RECIPE), TEXT) > 0
    assert call(engine, "describe")["step"] == 1


def test_recipes_are_filled_in_and_the_dial_grows() -> None:
    engine = Engine()
    sizes = call(engine, "sizes")
    assert [one["size"] for one in sizes] == sorted(one["size"] for one in sizes)
    assert sizes[0]["parameters"] < 60_000
    assert sizes[-1]["parameters"] > 3_500_000
    checked = call(engine, "check", '{"size": 0.1, "steps": 7}')
    assert checked["recipe"]["steps"] == 7
    assert checked["recipe"]["dim"] == 64
    assert checked["parameters"] == sizes[1]["parameters"]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("junk", "no JSON"),
        ("[]", "JSON object"),
        ('{"stepz": 3}', "did you mean 'steps'"),
        ('{"size": 77}', "size is 77"),
        ('{"dim": 100}', "dim is 100"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_in_words(
    engine: Engine, recipe: str, words: str
) -> None:
    assert words in fail(engine, "check", recipe)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "empty"), ("a", "again and again"), ("ab", "tokens to learn from"), ("a\0b", "binary")],
)
def test_a_text_that_teaches_nothing_is_refused_in_words(
    engine: Engine, text: str, words: str
) -> None:
    begin(engine)
    arguments = (json.dumps(RECIPE), text, json.dumps(SAMPLING), "{}")
    assert words in fail(engine, "begin", *arguments)
    assert call(engine, "describe")["about"] == {"title": "Trees"}  # the earlier run is still there


def test_a_run_that_diverges_says_so_and_keeps_what_was_good(engine: Engine) -> None:
    begin(engine, adam_lr=1e30, muon_lr=1e30, warmup_steps=0, steps=40)
    news: Any = {"failed": None}
    while news["failed"] is None:
        news = call(engine, "run", 1000)
        assert not news["done"]
    assert "learning rate" in news["failed"]
    kept = call(engine, "checkpoint")
    assert call(Engine(), "resume", kept, TEXT)["step"] == news["step"]


@pytest.mark.parametrize("receipt", ["junk", "[]", "{}", '{"receipt": 1, "promise": "none"}'])
def test_a_receipt_that_is_none_is_refused_in_words(engine: Engine, receipt: str) -> None:
    assert "receipt" in fail(engine, "verify", receipt, TEXT)


def test_what_was_never_begun_cannot_go_on(engine: Engine) -> None:
    assert "begin one first" in fail(engine, "run", 0)
    assert "verify one first" in fail(engine, "verify_on", 0)
    assert "no saved training" in fail(engine, "resume", b"nothing of ours", TEXT)
    begin(engine)
    kept = call(engine, "checkpoint")
    assert fail(engine, "resume", kept[:-5], TEXT)
    assert "SHA-256" in fail(engine, "resume", kept, TEXT + "more\n")


@pytest.mark.parametrize(("steps", "every"), [(12, 1), (400, 20), (600, 50), (100_000, 5000)])
def test_samples_come_at_round_steps(steps: int, every: int) -> None:
    assert sample_every(steps) == every


# Fine-tuning


def base() -> bytes:
    return make(TinySpec("Q8_0", dim=64, hidden_dim=96, tied=True, seed=31))


TUNING = {"lora_rank": 4, "separator": "\n", "context": 32, "micro_tokens": 256, "warmup_steps": 2}


def tune(engine: Engine, **choices: Any) -> Any:
    recipe, about = json.dumps(TUNING | choices), json.dumps({"title": "Trees", "base": "tiny"})
    return call(engine, "tune", base(), recipe, TEXT, json.dumps(SAMPLING), about)


def test_a_model_goes_on_learning_and_is_compared_with_itself(engine: Engine) -> None:
    info = tune(engine, steps=12, eval_every=6)
    assert info["base"] == "tiny-q8_0-31"
    assert info["recipe"]["lora_alpha"] == 8
    news = run_to_the_end(engine)
    heldout = [bits for one in news for _, bits in one["heldout"]]
    assert heldout[-1] < heldout[0]
    texts = call(engine, "compare", "alder", 3, 20)
    model = load(base())
    params = thimble.SamplingParams(max_tokens=20, temperature=0.8, seed=3)

    def write() -> str:
        return "".join(piece.text for piece in model.session().generate("alder", params))

    assert texts["before"] == write()
    kept = call(engine, "export", "f32")
    model.adapt(kept)
    assert texts["after"] == write() != texts["before"]


def test_all_weights_can_be_learned_and_compared(engine: Engine) -> None:
    tune(engine, steps=6, lora_rank=0)
    run_to_the_end(engine)
    texts = call(engine, "compare", "fir", 0, 12)
    kept = call(engine, "export", "f32")
    params = thimble.SamplingParams(max_tokens=12, temperature=0.8, seed=0)
    pieces = load(kept).session().generate("fir", params)
    assert texts["after"] == "".join(piece.text for piece in pieces)


def test_a_recipe_without_steps_has_a_minutes_worth(engine: Engine) -> None:
    assert tune(engine)["steps"] == MOST_STEPS  # so small a model is quick


def test_a_kept_fine_tuning_goes_on_with_its_base_only(engine: Engine) -> None:
    tune(engine, steps=8)
    for _ in range(3):
        call(engine, "run", 0)
    kept = call(engine, "checkpoint")
    run_to_the_end(engine)
    whole = call(engine, "receipt", "{}")["weights"]
    assert "give the base model" in fail(engine, "resume", kept, TEXT)
    assert call(engine, "resume", kept, TEXT, base())["step"] == 3
    run_to_the_end(engine)
    receipt = call(engine, "receipt", "{}")
    assert receipt["weights"] == whole
    call(engine, "verify", json.dumps(receipt), TEXT, base())
    found = {"agrees": None}
    while found["agrees"] is None:
        found = call(engine, "verify_on", 1000)
    assert found["agrees"], found


def test_what_cannot_be_fine_tuned_is_told_and_the_run_stays(engine: Engine) -> None:
    begin(engine)
    assert "began from nothing" in fail(engine, "compare", "fir", 0, 12)
    args = (TEXT, json.dumps(SAMPLING), "{}")
    assert "not a GGUF" in fail(engine, "tune", b"what is this", "{}", *args)
    own = make(SPECS["f32"])
    assert "an output matrix of its own" in fail(engine, "tune", own, "{}", *args)
    assert "no JSON" in fail(engine, "tune", base(), "{", *args)
    assert call(engine, "describe")["base"] is None


def load(data: bytes) -> thimble.Model:
    loader = thimble.ModelLoader(len(data))
    loader.feed(data)
    return loader.finish()


# Adapters on a model of the page's


def test_an_adapter_is_put_on_turned_and_taken_off(engine: Engine) -> None:
    def ask(method: str, *arguments: Any) -> Any:
        answer = json.loads(engine.call(f"adapter.{method}", *arguments))
        assert "error" not in answer, answer
        return answer["value"]

    spec = SPECS["q8_0"]
    number = json.loads(engine.call("begin_load", "tiny", None, None))["value"]
    engine.call("feed", number, make(spec))
    engine.call("finish", number)
    session, other = (json.loads(engine.call("open", "tiny", "{}"))["value"] for _ in range(2))
    alone = ask("next", session, "Mia")
    assert ask("describe", session) is None
    assert ask("turn", session, 0.5) is None
    info = ask("put", session, "pirates.gguf", make_adapter(spec), 1.0)
    assert info == {"name": "pirates.gguf", "model": "tiny-q8_0-4", "strength": 1.0, "rank": 5,
                    "parameters": info["parameters"]}  # fmt: skip
    changed = ask("next", other, "Mia")  # another session of the same model
    assert len(changed) == 8 and changed != alone
    assert [p for _, p in changed] == sorted((p for _, p in changed), reverse=True)
    assert ask("turn", other, 0.0)["strength"] == 0
    assert ask("next", session, "Mia") == alone
    kind, words = json.loads(engine.call("adapter.turn", session, 1e9))["error"]
    assert (kind, words[:15]) == ("OptionError", "the strength is")
    ask("turn", session, 1.5)
    ask("remove", other)
    assert ask("describe", session) is None
    assert ask("next", session, "Mia") == alone
    assert "holds 256" in json.loads(engine.call("adapter.next", session, "Mia " * 300))["error"][1]
