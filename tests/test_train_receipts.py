"""The trainer over our kernels: the same bits after a stop, with any threads, and on every machine;
receipts that say so; and texts, recipes, receipts and checkpoints that are none."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import thimble
from tests.train_fingerprint import made_up_text, train_fingerprint
from thimble import cli
from thimble.errors import FormatError, NumericError, OptionError, ThimbleError
from thimble.evaluate import evaluate_text
from thimble.kernel import CKernel, default_kernel
from thimble.train import corpus, receipt
from thimble.train.recipe import Recipe
from thimble.train.rows import Rows, batch_of, cut
from thimble.train.schedule import rate
from thimble.train.trainer import Trainer
from thimble.train.verifying import verify
from thimble.train.vocabulary import train_vocabulary

FINGERPRINT = "5fe92ab118f1d14b3634b81eecf37cec49d62f29d36210d839967d6572e1ee1f"
"""Of the recipes in `train_fingerprint.py`, on every machine. It changes only where training is
changed on purpose; receipts of models made before then no longer hold."""

TEXT = made_up_text()
CHOICES: dict[str, Any] = {
    "title": "Tiny", "size": 0.05, "context": 48, "micro_tokens": 96, "micro_batches": 2,
    "steps": 24, "warmup_steps": 3, "hash_every": 6, "log_every": 4, "separator": "\n",
    "dropout": 0.1,
}  # fmt: skip
RECIPE = Recipe.from_dict(CHOICES)


def trained(recipe: Recipe = RECIPE, steps: int | None = None, **options: Any) -> Trainer:
    trainer = Trainer(recipe, TEXT, **options)
    while not trainer.done and trainer.steps_made != steps:
        trainer.step()
    return trainer


@pytest.fixture(scope="module")
def whole() -> Iterator[Trainer]:
    """A run that was never stopped."""
    trainer = trained()
    yield trainer
    trainer.close()


def test_the_same_recipes_train_to_the_same_bits_everywhere() -> None:
    assert train_fingerprint() == FINGERPRINT


@pytest.mark.slow
def test_it_learns_and_what_it_writes_is_a_model(whole: Trainer, tmp_path: Path) -> None:
    # To learn it takes more steps than to compare bits.
    trainer = trained(Recipe.from_dict(CHOICES | {"steps": 150, "micro_tokens": 480}))
    losses = [entry["loss"] for entry in trainer.curve]
    assert losses[0] > 4.5
    assert losses[-1] < 0.4 * losses[0]
    bits = trainer.evaluate()
    path = tmp_path / "tiny.gguf"
    path.write_bytes(trainer.export())
    model = thimble.load(path)
    held = corpus.split(TEXT, "\n")
    kept = [
        trainer.corpus.tokenizer.decode(trainer.corpus.ids[first + 1 : first + count + 1])
        for first, count in trainer.corpus.heldout
    ]
    assert 0 < len(kept) < len(held) and set(kept) <= set(held)
    assert evaluate_text(model, kept).bits_per_byte == pytest.approx(bits, rel=1e-5)
    assert trainer.sample("mara", 12, temperature=0.0).startswith(
        ("ra", "lo", "mi", "nen", "s", " ")
    )
    assert len(trainer.export("q8_0")) < len(trainer.export()) / 2
    model.close()
    trainer.close()


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "quantize": "q8_0"}])
def test_a_resumed_run_is_the_run_that_never_stopped(changes: dict[str, Any]) -> None:
    recipe = dataclasses.replace(RECIPE, **changes)
    run, part = trained(recipe), trained(recipe, steps=10)
    data = part.checkpoint()
    part.close()
    resumed = Trainer.resume(data, TEXT)
    assert resumed.steps_made == 10
    while not resumed.done:
        resumed.step()
    assert resumed.curve == run.curve
    assert resumed.weights_sha256() == run.weights_sha256()
    assert resumed.evaluate() == run.evaluate()
    for trainer in (run, resumed):
        trainer.close()


def test_the_number_of_threads_changes_no_bit(whole: Trainer) -> None:
    try:
        for threads in (2, 3, 7):
            trainer = trained(threads=threads)
            assert trainer.curve == whole.curve, threads
            trainer.close()
    finally:
        default_kernel().call("threads", 1)


def test_a_receipt_holds_and_says_where_it_does_not(whole: Trainer) -> None:
    made = json.loads(json.dumps(whole.receipt(machine="here")))
    assert made["machine"] == "here"
    checks = list(verify(made, TEXT))
    assert all(check.agrees for check in checks)
    assert [check.step for check in checks] == [4, 6, 8, 12, 16, 18, 20, 24]
    assert [c.step for c in verify(made, TEXT, steps=9)] == [4, 6, 8]

    wrong = copy.deepcopy(made)
    wrong["curve"][3]["weights"] = "0" * 64
    assert [c.agrees for c in verify(wrong, TEXT)] == [True, True, True, False]
    wrong = copy.deepcopy(made)
    wrong["weights"]["sha256"] = "1" * 64
    last = list(verify(wrong, TEXT))[-1]
    assert (last.step, last.agrees) == (24, False)
    assert "111111111111 in the receipt" in last.why
    wrong = copy.deepcopy(made)
    wrong["tokenizer"]["sha256"] = "2" * 64
    (only,) = verify(wrong, TEXT)
    assert (only.step, only.agrees) == (0, False)
    assert "the tokenizer is" in only.why
    wrong = copy.deepcopy(made) | {"thimble": "0.0.9"}
    wrong["kernels"]["sha256"] = "3" * 64
    said = receipt.Claim.read(wrong).differences(default_kernel())
    assert said[0] == f"thimble is {thimble.__version__} here, 0.0.9 in the receipt"
    assert "333333333333 there" in said[1]
    assert receipt.Claim.read(made).differences(default_kernel()) == []
    with pytest.raises(OptionError, match="SHA-256"):
        list(verify(made, TEXT + "."))


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """What sets one place of a receipt, or takes it away."""

    def do(made: dict[str, Any]) -> None:
        *way, last = path.split(".")
        place: Any = made
        for name in way:
            place = place[int(name) if isinstance(place, list) else name]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return do


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (change("receipt", 2), "format is 2"),
        (change("receipt", None), "format is None"),
        (change("promise", "none"), "promises no bits"),
        (change("recipe", [1]), "a recipe, an object"),
        (change("recipe.dimm", 1), "no 'dimm'"),
        (change("recipe.dim", 1 << 40), "dim is"),
        (change("steps", 10**9), "steps is 1000000000; it must be from 1 to 24"),
        (change("steps", True), "steps is True"),
        (change("data.sha256", "abc"), "data has the sha256 'abc'"),
        (change("data", None), "data has the sha256 None"),
        (change("weights.sha256", 5), "weights has the sha256 5"),
        (change("curve", {}), "a curve, a list"),
        (change("curve.0.step", -1), "a step -1"),
        (change("curve.1.step", 4), "a step 4 after step 4"),
        (change("curve.1.loss", "low"), "the loss 'low'"),
        (change("curve.1.weights", 3), "weights 3"),
        (change("model", {"sha256": "0" * 64, "type": "q2_k"}), "type 'q2_k'"),
    ],
)
def test_what_is_no_receipt_is_refused(
    whole: Trainer, do: Callable[[dict[str, Any]], None], message: str
) -> None:
    made = json.loads(json.dumps(whole.receipt()))
    do(made)
    with pytest.raises(ThimbleError, match=message):
        next(verify(made, TEXT))


def test_what_is_no_checkpoint_is_refused(whole: Trainer) -> None:
    data = whole.checkpoint()
    for bad, message in (
        (b"", "begins with b''"),
        (b"GGUF" + data, "begins with"),
        (data[:100], "damaged"),
        (data[:22], "ends after 22"),
        (data[:-1], "damaged"),
        (data[:500] + b"x" + data[501:], "damaged"),
    ):
        with pytest.raises(FormatError, match=message):
            Trainer.resume(bad, TEXT)
    with pytest.raises(OptionError, match="SHA-256"):
        Trainer.resume(data, TEXT + "!")
    with pytest.raises(OptionError, match="held-out"):
        Trainer.resume(data, TEXT, heldout="another")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        (" \n\t", "the text is empty"),
        ("a" * 5000, "'a' again and again"),
        ("ab", "2 tokens|3 tokens"),
        ("GIF89a\0\1\2" * 900, "NUL character at 6"),
        ("half \ud800 pair" * 100, "surrogate"),
    ],
)
def test_a_text_to_learn_nothing_from_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Trainer(RECIPE, text)


def test_a_divergence_is_said_and_the_last_good_weights_kept() -> None:
    recipe = dataclasses.replace(RECIPE, optimizer="adamw", adam_lr=1e30, warmup_steps=0)
    trainer = Trainer(recipe, TEXT)
    good = trainer.weights_sha256()
    with pytest.raises(NumericError, match=r"in step \d+: the weights are those of step \d+"):
        while not trainer.done:
            good = trainer.weights_sha256()
            trainer.step()
    assert trainer.weights_sha256() == good
    assert trainer.steps_made < 24
    resumed = Trainer.resume(trainer.checkpoint(), TEXT)
    assert resumed.weights_sha256() == good
    for one in (trainer, resumed):
        one.close()


def test_rows_hold_every_token_once_in_a_pass() -> None:
    ids = list(range(3000))
    pieces = [piece for n in range(3, 70) for piece in cut(n * 10, n, 32)]
    rows = Rows(pieces, 32, seed=1)
    total = sum(count for _, count in pieces)
    taken = [rows.take(1) for _ in range(3 * total // 32)]
    assert all(sum(count for _, count in row) == 32 for row in taken)
    seen: dict[int, int] = {}
    for first, count in (piece for row in taken for piece in row):
        for i in range(first, first + count):
            seen[i] = seen.get(i, 0) + 1
    wanted: dict[int, int] = {}
    for first, count in pieces:
        for i in range(first, first + count):
            wanted[i] = wanted.get(i, 0) + 3
    # But for the pieces that wait for a row when it ends.
    assert sum(abs(wanted[i] - seen.get(i, 0)) for i in wanted) < 2 * 64 * 32
    batch = batch_of(ids, taken[0])
    assert [t - i for i, t in zip(batch.ids, batch.targets, strict=True)] == [1] * 32
    again = Rows(pieces, 32, seed=1)
    assert [again.take(1) for _ in range(50)] == taken[:50]
    middle = json.loads(json.dumps(again.state()))
    late = Rows(pieces, 32, seed=1)
    late.restore(middle)
    assert [late.take(1) for _ in range(100)] == taken[50:150]


def test_the_vocabulary_is_that_of_tokenizers() -> None:
    """Which pairs are joined is what the well-known library finds; ties may fall otherwise."""
    tokenizers = pytest.importorskip("tokenizers")
    words = "the cat sat on the mat and the dog sat on the log while the rain fell on the roof "
    text = words * 7 + "a cat and a dog and a rat " * 5 + TEXT
    ours = train_vocabulary([text], 300)["tokenizer.ggml.tokens"][256:]
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    library.train_from_iterator([text], trainer)
    theirs = [token for token in library.get_vocab() if len(token) > 1]
    assert len(set(ours) & set(theirs)) >= 40
    with pytest.raises(OptionError, match="vocab_size is 5000; this text gives only"):
        train_vocabulary([text], 5000)


def test_the_rate_rises_stays_and_falls() -> None:
    linear = Recipe(steps=10, decay_steps=4, warmup_steps=2)
    rates = [rate(linear, step) for step in range(10)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0.125])
    cosine = dataclasses.replace(linear, schedule="cosine", steps=12, decay_steps=10)
    falling = [rate(cosine, step) for step in range(2, 12)]
    assert all(a > b > 0 for a, b in itertools.pairwise(falling))
    assert falling[0] > 0.99 and falling[-1] < 0.01
    assert falling[4] + falling[5] == pytest.approx(1)


# The command line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe.json").write_text(json.dumps(CHOICES | {"checkpoint_seconds": 0}))
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def command(folder: Path, *more: str) -> list[str]:
    return ["train", str(folder / "recipe.json"), "--data", str(folder / "text.txt"),
            "--out", str(folder / "run"), *more]  # fmt: skip


def test_a_run_leaves_a_model_and_a_receipt_that_holds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command(folder, "--type", "q4_0")) == 0
    made = json.loads((folder / "run" / "receipt.json").read_text())
    assert made["heldout_bits_per_byte"] > 0
    assert made["core_seconds"] == made["seconds"] > 0
    assert thimble.load(folder / "run" / "model.gguf").config.dim == 32
    assert len((folder / "run" / "log.jsonl").read_text().splitlines()) == 6
    path = folder / "run" / "receipt.json"
    verify = ["verify", str(path), "--data", str(folder / "text.txt")]
    capsys.readouterr()
    assert cli.main(verify) == 0
    assert "every bit agrees up to step 24 of 24" in capsys.readouterr().out
    assert cli.main([*verify, "--steps", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "agrees": True, "step": 6, "steps": 24, "why": "", "differences": [],
    }  # fmt: skip
    made["model"]["sha256"] = "4" * 64
    path.write_text(json.dumps(made))
    assert cli.main(verify) == 3
    assert "it differs at step 24 of 24: the q4_0 file is" in capsys.readouterr().out
    assert cli.main(command(folder)) == 2  # there is a run already


def test_choices_that_are_pytorchs_alone_are_told_of(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = CHOICES | {"steps": 1, "warmup_steps": 0, "decay_steps": 1}
    made = []
    for choices in ({}, {"compile": True}, {"dtype": "bfloat16", "compile": True}):
        (folder / "recipe.json").write_text(json.dumps(short | choices))
        assert cli.main(command(folder)) == 0
        made.append(json.loads((folder / "run" / "receipt.json").read_text())["model"])
        said = capsys.readouterr().err
        assert all(f"{name} {value!r}" in said for name, value in choices.items())
        assert said.count("change nothing: they are for the backend 'torch'") == bool(choices)
        shutil.rmtree(folder / "run")
    assert made[0] == made[1] == made[2]


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits(folder: Path) -> None:
    slow = CHOICES | {"checkpoint_seconds": 0, "micro_tokens": 4800, "micro_batches": 1}
    (folder / "recipe.json").write_text(json.dumps(slow))
    start = [sys.executable, "-m", "thimble"]
    process = subprocess.Popen(
        [*start, *command(folder)], stdout=subprocess.PIPE, text=True,
        cwd=Path(thimble.__file__).parents[1],
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("step 4 of 24")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "--resume goes on" in process.stdout.read()
    finally:
        process.kill()
    assert not (folder / "run" / "model.gguf").exists()
    assert cli.main(command(folder, "--resume")) == 0
    made = json.loads((folder / "run" / "receipt.json").read_text())
    trainer = trained(Recipe.from_dict(slow))
    assert made["curve"] == trainer.curve
    trainer.close()


@pytest.mark.parametrize(
    ("files", "arguments", "code", "message"),
    [
        ({"recipe.json": "{"}, [], 2, "is no JSON"),
        ({"recipe.json": '{"stepz": 5}'}, [], 2, "did you mean 'steps'?"),
        ({"text.txt": ""}, [], 2, "the text is empty"),
        ({}, ["--type", "q2_k"], 2, "--type is 'q2_k'"),
        ({}, ["--threads", "0"], 2, "--threads is 0"),
        ({"run/checkpoint.bin": "nonsense"}, ["--resume"], 1, "no checkpoint"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str],
    arguments: list[str], code: int, message: str,
) -> None:  # fmt: skip
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    assert cli.main(command(folder, *arguments)) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_recipe_for_pytorch_says_what_it_needs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "thimble.cli.train_torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    (folder / "recipe.json").write_text(json.dumps(CHOICES | {"backend": "torch"}))
    assert cli.main(command(folder)) == 2
    assert "finds no torch: install thimble-lm with its extra `train`" in capsys.readouterr().err


def test_the_same_bits_from_unoptimised_kernels(tmp_path: Path) -> None:
    import build_kernels

    library = build_kernels.build(build_kernels.target("native"), tmp_path, optimize="-O0")[0]
    recipe = dataclasses.replace(RECIPE, steps=6, decay_steps=3)
    plain, usual = (trained(recipe, kernel=k) for k in (CKernel(library), default_kernel()))
    assert plain.curve == usual.curve
    for trainer in (plain, usual):
        trainer.close()
