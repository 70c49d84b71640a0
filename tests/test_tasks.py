"""A specialist from examples to answers: trained, measured, kept in a file, asked."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thimble
from tests.command_line import Capture
from tests.fingerprint import load
from tests.test_finetune import SPEC
from tests.tiny_folders import converted
from tests.tiny_models import make
from thimble import cli
from thimble.errors import FormatError, NumericError, OptionError
from thimble.kernel import default_kernel
from thimble.tasks.answer import Answer, Answerer, Shape, log_sum, softened
from thimble.tasks.card import measure_task, table
from thimble.tasks.examples import Example, Examples, make_examples
from thimble.tasks.measure import Outcome, field_f1, fit_temperature, macro_f1, scores
from thimble.tasks.sets import example_set
from thimble.tasks.tables import Table
from thimble.tasks.task import Task, schema_of
from thimble.tasks.tuner import TaskTuner, TuneOptions
from thimble.train.finetune import Base
from thimble.train.verifying import verify

SMALL = Path(__file__).resolve().parents[1] / "web" / "models" / "story-small.gguf"
INTENT = make_examples(example_set("intent"))
WORDS = "abcdefgh"
TINY = make_examples(Table(("text", "label"), tuple(
    (f"{WORDS[i % 8]}{WORDS[i // 8]} b", ("a", "ab", "c")[i % 3]) for i in range(64)
)))  # fmt: skip
FAST = TuneOptions(rank=4, passes=2.0, learning_rate=0.01)
TINY_BASE = Base(make(SPEC))


def trained(base: Base, examples: Examples, options: TuneOptions = FAST, **more: Any) -> TaskTuner:
    tuner = TaskTuner(base, examples, options=options, **more)
    while not tuner.done:
        tuner.step()
    return tuner


def measured(model: thimble.Model, task: Task, examples: Examples, shots: int = 3) -> Task:
    measuring = measure_task(model, task, examples, shots=shots)
    while True:
        try:
            done, total = next(measuring)
            assert 0 < done <= total
        except StopIteration as end:
            made: Task = end.value
            return made


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    made = thimble.load(SMALL)
    yield made
    made.close()


@pytest.fixture(scope="module")
def intent(model: thimble.Model) -> Task:
    """Made with the shipped small model, in seconds."""
    tuner = trained(Base(SMALL.read_bytes()), INTENT, TuneOptions(passes=2.0))
    task = tuner.task("intent")
    tuner.close()
    return measured(model, task, INTENT)


def test_the_adapter_is_far_better_than_examples_in_the_prompt(intent: Task) -> None:
    said = intent.card["measured"]
    value, low, high = said["adapter"]["accuracy"]
    assert value > 0.8 and low <= value <= high
    assert value > said["prompted"]["accuracy"][0] + 0.2
    assert value > said["base"]["accuracy"][0] + 0.2
    assert said["adapter"]["n"] == len(INTENT.part("held-out"))
    assert [len(row) for row in table(intent.card)] == [5, 5, 5, 5]


def test_a_file_makes_the_same_task(intent: Task, model: thimble.Model) -> None:
    again = Task.read(intent.to_json())
    assert again.to_json() == intent.to_json()
    texts = [example.given for example in INTENT.part("held-out")[:12]]
    with intent.open(model) as answerer:
        wanted = [answerer.answer(text)._replace(seconds=0.0) for text in texts]
    with again.open(model, sha256=hashlib.sha256(SMALL.read_bytes()).hexdigest()) as answerer:
        assert [answerer.answer(text)._replace(seconds=0.0) for text in texts] == wanted
    assert model.adapter is None


def test_probabilities_are_those_of_constrained_writing(intent: Task, model: thimble.Model) -> None:
    """By softmax over the tokens that a label may go on with, in NumPy."""
    text, shape, tokenizer = "Where is my ball?", intent.shape, model.tokenizer
    with intent.open(model) as answerer:
        found = answerer.answer(text).probabilities
        assert model.adapter is None
        adapter = model.adapt(intent.adapter)
        session = model.session()
        ids = {label: tokenizer.encode(f" {label}", add_special=False) for label in shape.labels}
        logs = dict.fromkeys(shape.labels, 0.0)
        for label, own in ids.items():
            for i, token in enumerate(own):
                ways = {o[i] for o in ids.values() if o[:i] == own[:i] and len(o) > i}
                session.rollback(0)
                session.append([*answerer.ids(text), *own[:i]])
                logits = np.array(session.logits(), dtype=np.float64)
                logs[label] += logits[token] - np.logaddexp.reduce([logits[w] for w in ways])
        session.close()
        adapter.close()
    wanted = np.exp(np.array(list(logs.values())) / intent.temperature)
    np.testing.assert_allclose(list(found.values()), wanted / wanted.sum(), rtol=1e-4, atol=1e-9)


def test_only_what_is_wanted_is_learned() -> None:
    """The check part's bits are those of its answers' tokens, as a session scores them."""
    tuner = TaskTuner(TINY_BASE, TINY, options=FAST)
    model = load(TINY_BASE.data)
    nats, size, shape, encode = 0.0, 0, tuner.shape, model.tokenizer.encode
    session = model.session()
    for example in TINY.part("check"):
        before = [
            model.tokenizer.bos_id or 0,
            *encode(shape.prompt(example.given), add_special=False),
        ]
        after = encode(shape.lead + example.wanted, add_special=False)
        session.rollback(0)
        session.append(before)
        nats -= sum(choice.logprob for choice in session.score(after))
        size += len(b"".join(map(model.tokenizer.token_bytes, after)))
    assert tuner.history[0][1] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    # Rows hold whole examples only.
    assert {count for _, count in tuner.trainer.corpus.pieces} <= set(
        range(1, tuner.trainer.recipe.context + 1)
    )
    tuner.close()
    model.close()


def test_a_run_is_the_same_to_the_bit_and_its_receipt_is_verified() -> None:
    """Resumed, and with other numbers of threads."""
    run = trained(TINY_BASE, TINY)
    curve, task = run.trainer.curve, run.task("t")
    train, check = run.texts()
    part = TaskTuner(TINY_BASE, TINY, options=FAST)
    for _ in range(3):
        part.step()
    saved = part.checkpoint()
    part.close()
    again = trained(TINY_BASE, TINY, saved=saved)
    assert again.trainer.curve == curve and again.history == run.history
    assert again.task("t").adapter.data == task.adapter.data
    again.close()
    try:
        other = trained(TINY_BASE, TINY, threads=2)
        assert other.task("t").adapter.data == task.adapter.data
        other.close()
    finally:
        default_kernel().call("threads", 1)
    receipt = json.loads(json.dumps(task.receipt))
    checks = list(verify(receipt, train, heldout=check, base=TINY_BASE))
    assert checks and all(check.agrees for check in checks)
    with pytest.raises(OptionError, match="of another recipe, or of other examples"):
        TaskTuner(TINY_BASE, TINY, options=TuneOptions(rank=2), saved=saved)
    with pytest.raises(FormatError, match="are no saved run"):
        TaskTuner(TINY_BASE, TINY, options=FAST, saved=b"TASK")
    run.close()


def test_it_stops_when_the_check_part_gets_no_better() -> None:
    tuner = trained(TINY_BASE, TINY, TuneOptions(rank=8, passes=40.0, learning_rate=0.05))
    assert tuner.trainer.steps_made < tuner.trainer.recipe.steps
    best = min(tuner.history, key=lambda entry: entry[1])
    assert tuner.best_step == best[0] < tuner.trainer.steps_made
    task = tuner.task("t")
    assert tuner.trainer.evaluate() == pytest.approx(best[1], rel=1e-9)
    assert task.receipt and task.receipt["steps"] == best[0]
    tuner.close()


def test_a_run_that_diverges_keeps_what_was_good() -> None:
    tuner = TaskTuner(TINY_BASE, TINY, options=TuneOptions(rank=4, learning_rate=1e30))
    with pytest.raises(NumericError, match=r"a lower learning rate may help|not finite"):
        for _ in range(100):
            tuner.step()
    tuner.close()


@pytest.mark.parametrize("name", ["phi3", "gemma3"])
def test_fields_and_texts_are_written_in_shape_on_other_architectures(name: str) -> None:
    """A model of random weights writes nothing sensible, and always what the schema allows."""
    data = converted(name, "q8_0")
    rows = tuple(
        (f"{WORDS[i % 8]} {WORDS[i // 8]}", json.dumps({"n": i, "who": WORDS[i % 3]}))
        for i in range(64)
    )
    examples = make_examples(Table(("text", "json"), rows))
    tuner = trained(Base(data), examples, TuneOptions(rank=2, passes=0.5))
    task = tuner.task("fields")
    tuner.close()
    assert task.shape.schema == schema_of([{"n": 1, "who": "a"}])
    model = load(data)
    with task.open(model) as answerer:
        answer = answerer.answer("a b")
    model.close()
    if answer.sure:
        assert list(answer.fields) == ["n", "who"] and isinstance(answer.fields["n"], int)


def outcome(wanted: str, said: str, p: float | None = None) -> Outcome:
    return Outcome(Example("x", wanted), Answer(said, p, True, {}, 3, 0.5))


def test_scores_are_those_of_their_definitions() -> None:
    """Counted by hand: of a, precision 1/2 and recall 1; of b, 1 and 1/2."""
    found = [outcome("a", "a", 0.9), outcome("b", "a", 0.6), outcome("b", "b", 0.8)]
    assert macro_f1(found) == pytest.approx((2 / 3 + 2 / 3) / 2)
    said = scores("label", found)
    value, low, high = said["accuracy"]
    assert value == pytest.approx(2 / 3) and 0 <= low <= value <= high <= 1
    assert said["coverage"][1] == [0.7, pytest.approx(2 / 3), 1.0]
    assert said["milliseconds"] == 500 and said["tokens"] == 3
    fields = [outcome('{"a": 1, "b": [2, 3]}', '{"b": [2, 4], "a": 1}'), outcome('{"a": 1}', "no")]
    assert field_f1(fields) == pytest.approx(2 * 2 / (3 + 3 + 1))
    assert scores("json", [outcome('{"a": 1}', '{ "a":1}')])["exact_match"] == [1.0, 1.0, 1.0]


def test_a_temperature_makes_probabilities_as_likely_as_they_are_right() -> None:
    """Three of four are right, of a model that always says 99 %: it is told to say about 75 %."""
    sure = {"a": math.log(0.99), "b": math.log(0.01)}
    temperature = fit_temperature([(sure, "a")] * 3 + [(sure, "b")])
    assert softened(sure, temperature)["a"] == pytest.approx(0.75, abs=0.02)
    assert fit_temperature([(sure, "a")] * 4) == 1.0  # never surer than it was
    assert log_sum([0.0, 0.0]) == pytest.approx(math.log(2))


def changed(task: Task, members: dict[str, Any]) -> str:
    return json.dumps(json.loads(task.to_json()) | members)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"task": 2}, "its task is 2, not 1"),
    ({"kind": "tag"}, "the task's kind is 'tag'"),
    ({"template": "no place"}, "has no {text} in it"),
    ({"labels": []}, "are none of a task of kind 'label'"),
    ({"labels": ["a", "a"]}, "are none of a task of kind 'label'"),
    ({"schema": {}}, "has no schema"),
    ({"temperature": 0}, "the task's temperature is 0"),
    ({"threshold": "high"}, "the task's threshold is 'high'"),
    ({"base": {"name": "x"}}, "must have a name, an architecture and a sha256"),
    ({"adapter": {"gguf": "%%%", "sha256": ""}}, "is no base64"),
    ({"adapter": {"gguf": "R0dVRg==", "sha256": "0" * 64}}, "it is damaged or was changed"),
    ({"adapter": {}}, "has no adapter"),
    ({"max_tokens": 10**9}, "the task's max_tokens is"),
    ({"one_line": 1}, "the task's one_line is 1"),
    ({"name": 5}, "the task's name is 5"),
    ({"receipt": 5}, "receipt is no object"),
]


@pytest.mark.parametrize(("members", "words"), BAD, ids=[words[:30] for _, words in BAD])
def test_a_file_that_is_no_task_is_refused_in_words(
    members: dict[str, Any], words: str, intent: Task
) -> None:
    with pytest.raises(FormatError, match=words):
        Task.read(changed(intent, members))


def test_a_task_is_refused_by_another_model(intent: Task, model: thimble.Model) -> None:
    with pytest.raises(FormatError, match="is no JSON"):
        Task.read(b"{")
    with pytest.raises(FormatError, match="not in UTF-8"):
        Task.read(b"\xff")
    with pytest.raises(FormatError, match=r"for the model .* with SHA-256"):
        intent.fits(model, "0" * 64)
    other = load(converted("gpt2", "q8_0"))
    with pytest.raises(FormatError, match=r"'llama'; .* is a 'gpt2'"), intent.open(other):
        pass
    other.close()


def test_texts_and_examples_that_are_too_long_are_told(intent: Task, model: thimble.Model) -> None:
    with intent.open(model) as answerer, pytest.raises(thimble.ContextError, match="has room for"):
        answerer.answer("word " * 5000)
    long = tuple(
        (f"{given} {'word ' * 900}", wanted) for given, wanted in example_set("intent").rows
    )
    with pytest.raises(OptionError, match="300 of 300 examples have more than the"):
        TaskTuner(Base(SMALL.read_bytes()), make_examples(Table(("text", "label"), long)))
    with pytest.raises(OptionError, match="has no labels"):
        Answerer(model, Shape("label", "{text}", " ", ()))


def test_the_commands_make_a_task_and_answer_by_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base.gguf").write_bytes(TINY_BASE.data)
    lines = [json.dumps({"text": e.given, "label": e.wanted}) for e in TINY.examples]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    base, out = str(tmp_path / "base.gguf"), tmp_path / "out"
    tune = ["tune", base, "--data", str(tmp_path / "data.jsonl"), "--out", str(out)]
    assert cli.main([*tune, "--check"]) == 0
    assert "64 examples of kind label" in capsys.readouterr().out and not out.exists()
    assert cli.main([*tune, "--rank", "4", "--passes", "1"]) == 0
    assert "the adapter" in capsys.readouterr().out
    assert cli.main(tune) == 2
    assert "--resume goes on with that run" in capsys.readouterr().err
    assert cli.main([*tune, "--rank", "4", "--passes", "1", "--resume"]) == 0
    capsys.readouterr()
    files = ["--data", str(out / "train.txt"), "--base", base]
    assert cli.main(["verify", str(out / "receipt.json"), *files]) == 0
    capsys.readouterr()
    task = str(out / "task.json")
    for more, check in (
        (["--json"], lambda said: set(json.loads(said)["probabilities"]) == {"a", "ab", "c"}),
        (["--threshold", "1"], lambda said: said == "don't know"),
        ([], lambda said: said in ("a", "ab", "c")),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO("ab c\n\nb a\n"))
        assert cli.main(["run", task, "--base", base, *more]) == 0
        said = capsys.readouterr().out.splitlines()
        assert len(said) == 2 and all(map(check, said))
    monkeypatch.setattr("sys.stdin", io.StringIO("a " * 5000 + "\nab\n"))
    assert cli.main(["run", task, "--base", base]) == 1
    captured = capsys.readouterr()
    assert "line 1: the text" in captured.err and captured.out.splitlines()[1] in ("a", "ab", "c")
    assert cli.main(["run", task, "--base", str(SMALL)]) == 1
    assert "is for the model" in capsys.readouterr().err
    assert cli.main(["tune", base, "--set", "jokes", "--out", str(out)]) == 2
    assert "there is no example set 'jokes'; there are intent" in capsys.readouterr().err
