"""Fine-tuning: gradients of adapters, runs that are the same to the bit however they are run, files
and receipts, and bases, recipes and adapters that do not fit."""

from __future__ import annotations

import dataclasses
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thimble
from tests.command_line import Capture, run_failing, run_json
from tests.tiny_models import SPECS, TinySpec, make
from tests.train_fingerprint import made_up_text
from thimble import cli
from thimble.adapter import read_adapter
from thimble.errors import OptionError, UnsupportedError
from thimble.evaluate import evaluate_text
from thimble.gguf import read_header
from thimble.kernel import default_kernel
from thimble.train import receipt
from thimble.train.finetune import Base, FineTuner, resume, trainer_for
from thimble.train.low_rank import LowRankNetwork, adapted
from thimble.train.network import WEIGHTS, Batch
from thimble.train.recipe import TUNING, Recipe
from thimble.train.rows import batch_of
from thimble.train.trainer import Trainer
from thimble.train.verifying import verify

SPEC = TinySpec("Q8_0", dim=64, hidden_dim=96, tied=True, seed=31)
BASE = Base(make(SPEC))
TEXT = made_up_text()
LOW_RANK: dict[str, Any] = {
    "lora_rank": 4, "context": 48, "micro_tokens": 192, "steps": 12, "warmup_steps": 2,
    "log_every": 3, "hash_every": 6, "separator": "\n", "adam_lr": 0.01,
}  # fmt: skip
WHOLE = {**LOW_RANK, "lora_rank": 0, "adam_lr": 0.002, "dropout": 0.1, "micro_batches": 2}


def tuned(choices: dict[str, Any], steps: int | None = None, **options: Any) -> FineTuner:
    trainer = FineTuner(BASE.recipe(choices), TEXT, base=BASE, **options)
    while not trainer.done and trainer.steps_made != steps:
        trainer.step()
    return trainer


@pytest.fixture(scope="module")
def low_rank() -> Iterator[FineTuner]:
    trainer = tuned(LOW_RANK)
    yield trainer
    trainer.close()


def load(data: bytes) -> thimble.Model:
    loader = thimble.ModelLoader(len(data))
    loader.feed(data)
    return loader.finish()


# What is computed


def loss_of(network: LowRankNetwork, batch: Batch, values: array[float]) -> float:
    network.write(WEIGHTS, values.tobytes())
    network.settle(exact=True)
    return network.measure(batch) / batch.n_targets


def test_gradients_of_adapters_are_those_of_finite_differences() -> None:
    trainer = FineTuner(BASE.recipe(LOW_RANK | {"lora_alpha": 3.0}), TEXT, base=BASE)
    network = trainer.network
    assert isinstance(network, LowRankNetwork)
    rng = np.random.default_rng(5)
    n = network.n_weights
    # B is not zero any more, else A would have no gradient.
    start = array("f", (rng.standard_normal(n) * 0.05).astype(np.float32).tobytes())
    batch = batch_of(trainer.corpus.ids, trainer.corpus.pieces[:4])
    network.write(WEIGHTS, start.tobytes())
    network.settle(exact=True)
    network.learn(batch, 1.0 / batch.n_targets, 0)
    network.project()
    gradients = np.array(network.gradients())
    assert len(gradients) == n
    at = 0
    for matrix in adapted(trainer.recipe):
        for size in (4 * matrix.cols, 4 * matrix.rows):  # A, then B: along a direction each
            part = gradients[at : at + size]
            direction = np.zeros(n, np.float32)
            direction[at : at + size] = part / np.linalg.norm(part)
            step = 0.02
            ahead, behind = (
                array("f", (np.array(start, np.float32) + sign * step * direction).tobytes())
                for sign in (1, -1)
            )
            slope = (loss_of(network, batch, ahead) - loss_of(network, batch, behind)) / (2 * step)
            assert slope == pytest.approx(np.linalg.norm(part), rel=0.02, abs=1e-4), matrix
            at += size
    trainer.close()


def test_gradients_of_adapters_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra `train`)")
    trainer = FineTuner(BASE.recipe(LOW_RANK | {"lora_alpha": 3.0}), TEXT, base=BASE)
    network = trainer.network
    assert isinstance(network, LowRankNetwork)
    values = np.random.default_rng(6).standard_normal(network.n_weights).astype(np.float32) * 0.1
    network.write(WEIGHTS, values.tobytes())
    network.settle(exact=True)
    batch = batch_of(trainer.corpus.ids, trainer.corpus.pieces[:3])
    network.learn(batch, 1.0, 0)
    count = trainer.recipe.n_parameters
    whole = network.kernel.read(network.kernel.call("train_part", network._address, 3), 4 * count)
    dw_all = torch.frombuffer(bytearray(whole), dtype=torch.float32)
    network.project()
    found, at = np.array(network.gradients()), 0
    for matrix in adapted(trainer.recipe):
        rank, sizes = 4, (4 * matrix.cols, 4 * matrix.rows)
        flat = torch.from_numpy(values[at : at + sum(sizes)].copy())
        a = flat[: sizes[0]].view(rank, matrix.cols).requires_grad_()
        b = flat[sizes[0] :].view(matrix.rows, rank).requires_grad_()
        dw = dw_all[matrix.first : matrix.first + matrix.rows * matrix.cols]
        ((3.0 / rank) * (b @ a) * dw.view(matrix.rows, matrix.cols)).sum().backward()
        wanted = np.concatenate([a.grad.flatten(), b.grad.flatten()])
        assert np.allclose(found[at : at + sum(sizes)], wanted, rtol=1e-4, atol=1e-5), matrix
        at += sum(sizes)
    trainer.close()


def test_a_run_begins_with_the_model_as_it_is() -> None:
    model = load(BASE.data)
    for choices in (LOW_RANK, WHOLE):
        trainer = FineTuner(BASE.recipe(choices), TEXT, base=BASE)
        held = [
            trainer.corpus.tokenizer.decode(trainer.corpus.ids[first + 1 : first + count + 1])
            for first, count in trainer.corpus.heldout
        ]
        # The engine rounds activations, the trainer does not.
        wanted = evaluate_text(model, held).bits_per_byte
        assert trainer.evaluate() == pytest.approx(wanted, rel=3e-3)
        trainer.close()


@pytest.mark.parametrize("choices", [LOW_RANK, WHOLE], ids=["low rank", "all weights"])
def test_it_learns_and_what_it_writes_computes_the_same(choices: dict[str, Any]) -> None:
    trainer = tuned(choices | {"steps": 40})
    losses = [entry["loss"] for entry in trainer.curve]
    assert losses[-1] < 0.8 * losses[0]
    held = [
        trainer.corpus.tokenizer.decode(trainer.corpus.ids[first + 1 : first + count + 1])
        for first, count in trainer.corpus.heldout
    ]
    whole = load(trainer.whole())
    assert whole.metadata["general.name"] == trainer.recipe.title
    assert whole.config.n_ctx == BASE.config.n_ctx, "not the rows that it was tuned with"
    bits = trainer.evaluate()
    assert evaluate_text(whole, held).bits_per_byte == pytest.approx(bits, rel=1e-4)
    if trainer.recipe.lora_rank:
        base = load(BASE.data)
        before = evaluate_text(base, held).bits_per_byte
        adapter = base.adapt(trainer.export())
        assert evaluate_text(base, held).bits_per_byte == pytest.approx(bits, rel=3e-3)
        adapter.strength = 0.5
        assert bits < evaluate_text(base, held).bits_per_byte < before
    else:
        assert load(trainer.export("q8_0")).n_params == BASE.config.n_vocab * 64 + trainer_size()
    trainer.close()


def trainer_size() -> int:
    """Parameters of BASE beside the embedding."""
    return sum(t.n_elements for t in read_header(BASE.data).tensors if "token_embd" not in t.name)


def test_an_adapters_file_has_what_was_learned(low_rank: FineTuner) -> None:
    file = read_adapter(low_rank.export())
    assert (file.rank, file.alpha, file.architecture) == (4, 8.0, "llama")
    assert file.n_params == low_rank.n_parameters
    assert file.metadata["general.base_model.0.name"] == BASE.name
    some = tuned(LOW_RANK | {"lora_matrices": "attn_q ffn_down", "lora_rank": 3}, steps=1)
    file = read_adapter(some.export())
    assert {name.split(".")[2] for name in file.pairs} == {"attn_q", "ffn_down"}
    assert file.rank == 3
    with pytest.raises(OptionError, match="an adapter is written as 'f32'"):
        some.export("q8_0")
    some.close()


# The same to the bit


@pytest.mark.parametrize("choices", [LOW_RANK, WHOLE], ids=["low rank", "all weights"])
def test_a_resumed_run_is_the_run_that_never_stopped(choices: dict[str, Any]) -> None:
    run, part = tuned(choices), tuned(choices, steps=5)
    kept = part.checkpoint()
    part.close()
    with pytest.raises(OptionError, match="give the base model"):
        resume(kept, TEXT, base=None)
    again = resume(kept, TEXT, base=BASE)
    assert again.steps_made == 5
    while not again.done:
        again.step()
    assert again.curve == run.curve
    assert again.export() == run.export()
    assert again.evaluate() == run.evaluate()
    for trainer in (run, again):
        trainer.close()


def test_the_number_of_threads_changes_no_bit(low_rank: FineTuner) -> None:
    try:
        for threads in (2, 3, 7):
            trainer = tuned(LOW_RANK, threads=threads)
            assert trainer.curve == low_rank.curve, threads
            assert trainer.export() == low_rank.export(), threads
            trainer.close()
    finally:
        default_kernel().call("threads", 1)


def test_a_receipt_holds_with_its_base_only(low_rank: FineTuner) -> None:
    made = json.loads(json.dumps(low_rank.receipt()))
    assert made["base"] == {"sha256": BASE.sha256, "name": BASE.name}
    assert made["recipe"]["lora_rank"] == 4
    checks = list(verify(made, TEXT, base=BASE))
    assert [check.step for check in checks] == [3, 6, 9, 12]
    assert all(check.agrees for check in checks)
    with pytest.raises(OptionError, match="give the base model"):
        list(verify(made, TEXT))
    other = Base(make(dataclasses.replace(SPEC, seed=32)))
    with pytest.raises(OptionError, match=f"SHA-256 {BASE.sha256}; this one has {other.sha256}"):
        list(verify(made, TEXT, base=other))
    made["weights"]["sha256"] = "0" * 64
    assert not list(verify(made, TEXT, base=BASE))[-1].agrees
    made["kernels"]["low_rank"] = "1" * 64
    said = receipt.Claim.read(made).differences(default_kernel())
    assert any(words.endswith("here, 111111111111 there") for words in said)


def test_recipes_that_begin_from_nothing_are_as_they_were() -> None:
    plain = Recipe.from_dict({"size": 0.05})
    assert not set(TUNING) & set(plain.to_dict())
    assert set(TUNING) <= set(BASE.recipe({}).to_dict())
    with pytest.raises(OptionError, match="begins from nothing: leave the base model out"):
        trainer_for(plain, TEXT, base=BASE)
    with pytest.raises(OptionError, match="begins from a model"):
        Trainer(BASE.recipe({"context": 48}), TEXT)


# What does not fit


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"dim": 96}, "dim is 96, and the base model decides it"),
        ({"size": 0.37}, "size is 0.37, and the base model decides it"),
        ({"base_sha256": "0" * 64}, "begins from a model with SHA-256 0000"),
        ({"context": 512}, "context is 512; the base model was trained for 256"),
        ({"lora_rank": 300}, "lora_rank is 300; it must be from 0 to 256"),
        ({"lora_rank": 4, "optimizer": "muon"}, "optimizer is 'muon'; with lora_rank"),
        ({"lora_rank": 4, "quantize": "q4_0"}, "quantize is 'q4_0'; with lora_rank"),
        ({"lora_rank": 4, "lora_matrices": "attn_q head"}, "lora_matrices has 'head'"),
        ({"lora_rank": 4, "lora_matrices": " "}, "lora_matrices is empty"),
        ({"lora_rank": "4"}, "lora_rank is '4'; it must be of type int"),
        ({"backend": "torch"}, "only 'thimble' begins from a model"),
        ({"rank": 4}, "a recipe has no 'rank'"),
    ],
)
def test_recipes_that_cannot_be_are_refused(choices: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        BASE.recipe(choices)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (SPECS["f32"], "has an output matrix of its own"),
        (dataclasses.replace(SPECS["head48"], tied=True), "no equal shares of its width"),
        (dataclasses.replace(SPECS["rope-linear"], tied=True), "scales its positions"),
    ],
)
def test_models_of_which_not_all_is_trained_are_told_why(spec: TinySpec, words: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{words}.*: not all of its weights .* lora_rank"):
        Base(make(spec)).recipe({"context": 48})


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ("aaaa aaa", "again and again"), ("short, too", "to learn from"),
     ("MZ\0\1 binary", "a binary file, not a text")],
)  # fmt: skip
def test_texts_that_teach_nothing_are_refused(text: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        FineTuner(BASE.recipe(LOW_RANK), text, base=BASE)


# The command line


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a text, and a run of low rank that was made of them."""
    folder = tmp_path_factory.mktemp("tune")
    (folder / "base.gguf").write_bytes(BASE.data)
    (folder / "text.txt").write_text(TEXT)
    (folder / "recipe.json").write_text(json.dumps(LOW_RANK))
    assert cli.main([*command(folder), "--out", str(folder / "run")]) == 0
    return folder


def command(folder: Path) -> list[str]:
    return ["train", str(folder / "recipe.json"), "--base", str(folder / "base.gguf"),
            "--data", str(folder / "text.txt")]  # fmt: skip


def test_the_command_trains_an_adapter_and_verifies_it(
    run: Path, low_rank: FineTuner, capsys: Capture
) -> None:
    capsys.readouterr()
    assert (run / "run" / "adapter.gguf").read_bytes() == low_rank.export()
    argv = ["verify", str(run / "run" / "receipt.json"), "--data", str(run / "text.txt")]
    assert cli.main([*argv, "--base", str(run / "base.gguf")]) == 0
    assert "every bit agrees up to step 12 of 12" in capsys.readouterr().out
    assert "give the base model" in run_failing(capsys, 2, *argv)
    assert "--resume goes on" in run_failing(capsys, 2, *command(run), "--out", str(run / "run"))
    said = run_failing(capsys, 2, *command(run), "--out", str(run / "x"), "--type", "q8_0")
    assert "an adapter is written as 'f32'" in said
    said = run_failing(
        capsys, 2, *command(run), "--out", str(run / "x"), "--tokenizer", str(run / "base.gguf")
    )
    assert "exclude each other" in said


def test_the_command_trains_all_weights(run: Path, capsys: Capture) -> None:
    (run / "whole.json").write_text(json.dumps(WHOLE | {"steps": 2, "warmup_steps": 1}))
    argv = ["train", str(run / "whole.json"), *command(run)[2:], "--out", str(run / "whole")]
    assert cli.main(argv) == 0
    model = thimble.load(run / "whole" / "model.gguf")
    assert model.metadata["general.name"] == f"{BASE.name}, fine-tuned"
    made = json.loads((run / "whole" / "receipt.json").read_text())
    assert made["base"]["sha256"] == BASE.sha256
    assert "low_rank" not in made["kernels"]


def test_commands_take_an_adapter_and_its_strength(run: Path, capsys: Capture) -> None:
    capsys.readouterr()
    base, adapter = str(run / "base.gguf"), str(run / "run" / "adapter.gguf")
    argv = ["generate", base, "--prompt", "mara", "--max-tokens", "8", "--json"]

    def written(*more: str) -> Any:
        return run_json(capsys, *argv, *more)["logprobs"]

    alone = written()
    assert written("--adapter", adapter, "--adapter-strength", "0") == alone
    assert written("--adapter", adapter) != alone
    model = thimble.load(base)
    model.adapt(adapter, 0.7)
    params = thimble.SamplingParams(max_tokens=8)
    wanted = [chunk.logprob for chunk in model.session().generate("mara", params)]
    assert written("--adapter", adapter, "--adapter-strength", "0.7") == wanted
    argv = ["eval", base, "--text", str(run / "text.txt"), "--json"]
    before = run_json(capsys, *argv)["bits_per_byte"]
    assert run_json(capsys, *argv, "--adapter", adapter)["bits_per_byte"] < before
    assert "goes with --adapter" in run_failing(capsys, 2, *argv, "--adapter-strength", "1")
    assert "goes with one model" in run_failing(
        capsys, 2, "eval", base, base, "--text", str(run / "text.txt"), "--adapter", adapter
    )
    assert "no adapter" in run_failing(capsys, 1, *argv, "--adapter", base)
