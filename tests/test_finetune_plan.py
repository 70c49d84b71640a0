"""Adapters that learn through a model's plan: gradients of A and B, every architecture, and runs
that are the same to the bit however they are run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command_line import Capture
from tests.fingerprint import load
from tests.test_finetune import SPEC, TEXT
from tests.tiny_folders import CONFIGS, converted
from tests.tiny_models import make
from thimble import backward, cli
from thimble.adapter import adapter_file, read_adapter
from thimble.errors import OptionError, UnsupportedError
from thimble.evaluate import evaluate_text
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.kernel import Kernel, default_kernel
from thimble.tensor_types import F32
from thimble.train import finetune, receipt
from thimble.train.cost import tuning_cost
from thimble.train.finetune import Base, FineTuner, resume
from thimble.train.low_rank import LowRankNetwork, adapted
from thimble.train.network import WEIGHTS
from thimble.train.plan_network import PlanNetwork
from thimble.train.rows import batch_of
from thimble.train.verifying import verify

CHOICES: dict[str, Any] = {
    "lora_rank": 4, "context": 48, "micro_tokens": 96, "steps": 6, "warmup_steps": 2,
    "log_every": 3, "hash_every": 3, "separator": "\n", "adam_lr": 0.01,
}  # fmt: skip


def tuned(base: Base, steps: int | None = None, **options: Any) -> FineTuner:
    trainer = FineTuner(base.recipe(CHOICES), TEXT, base=base, **options)
    while not trainer.done and trainer.steps_made != steps:
        trainer.step()
    return trainer


def test_gradients_are_those_of_the_trainers_own_network() -> None:
    """Which finite differences and PyTorch have told right (`test_finetune.py`), for a llama."""
    base = Base(make(dataclasses.replace(SPEC, tensor_type="F32")))
    trainer = FineTuner(base.recipe(CHOICES | {"lora_alpha": 3.0}), TEXT, base=base)
    own = trainer.network
    assert isinstance(own, LowRankNetwork)
    other = PlanNetwork(trainer.recipe, default_kernel(), base.data)
    assert other.n_weights == own.n_weights
    values = np.random.default_rng(6).standard_normal(own.n_weights).astype(np.float32) * 0.1
    other.start(1, 0.0)
    batch = batch_of(trainer.corpus.ids, trainer.corpus.pieces[:3])
    for network in (own, other):
        network.write(WEIGHTS, values.tobytes())
        network.settle(exact=True)
    assert other.learn(batch, 1.0, 0) == pytest.approx(own.learn(batch, 1.0, 0), rel=1e-5)
    assert other.measure(batch) == pytest.approx(own.measure(batch), rel=1e-5)
    own.project()
    wanted, found, at = np.array(own.gradients()), np.array(other.gradients()), 0
    for matrix in adapted(trainer.recipe):
        for size in (4 * matrix.cols, 4 * matrix.rows):
            part = slice(at, at + size)
            apart = np.linalg.norm(found[part] - wanted[part]) / np.linalg.norm(wanted[part])
            assert apart < 1e-4, (matrix.name, apart)
            at += size
    other.close()
    trainer.close()


@pytest.mark.parametrize(
    "name", ["gemma3", "gpt2", "lfm2", "mamba2", "olmoe", "phi3", "qwen3", "qwen35", "llama4"]
)
def test_adapters_of_other_architectures_learn(name: str) -> None:
    base = Base(converted(name, "q8_0"))
    trainer = FineTuner(base.recipe(CHOICES | {"steps": 12}), TEXT, base=base)
    held = [
        trainer.corpus.tokenizer.decode(trainer.corpus.ids[first + 1 : first + count + 1])
        for first, count in trainer.corpus.heldout
    ]
    before = trainer.evaluate()
    assert trainer.sample("ab", 5, seed=1)
    while not trainer.done:
        trainer.step()
    after = trainer.evaluate()
    assert after < 0.97 * before
    file = read_adapter(trainer.export())
    assert (file.architecture, file.rank) == (base.config.architecture, 4)
    assert file.n_params == trainer.n_parameters
    model = load(base.data)
    assert evaluate_text(model, held).bits_per_byte == pytest.approx(before, rel=1e-6)
    model.adapt(file)
    assert evaluate_text(model, held).bits_per_byte == pytest.approx(after, rel=1e-6)
    model.close()
    trainer.close()


BASE = Base(converted("gemma3", "q8_0"))


def test_runs_are_the_same_to_the_bit() -> None:
    """Resumed, with other numbers of threads, and when a receipt is verified."""
    run, part = tuned(BASE), tuned(BASE, steps=2)
    kept = part.checkpoint()
    part.close()
    again = resume(kept, TEXT, base=BASE)
    assert again.steps_made == 2
    while not again.done:
        again.step()
    assert again.curve == run.curve and again.export() == run.export()
    again.close()
    try:
        for threads in (2, 3):
            trainer = tuned(BASE, threads=threads)
            assert trainer.curve == run.curve and trainer.export() == run.export()
            trainer.close()
    finally:
        default_kernel().call("threads", 1)
    made = json.loads(json.dumps(run.receipt()))
    run.close()
    assert [check.agrees for check in verify(made, TEXT, base=BASE)] == [True, True]
    assert receipt.Claim.read(made).differences(default_kernel()) == []
    made["kernels"]["plan"] = "1" * 64
    said = receipt.Claim.read(made).differences(default_kernel())
    assert len(said) == 1 and said[0].endswith("here, 111111111111 there")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_is_taken_as_a_base(name: str) -> None:
    base = Base(converted(name, "q8_0"))
    recipe = base.recipe({"lora_rank": 2, "context": 16})
    if name == "mamba2":
        assert recipe.lora_matrices == "ssm_in ssm_out"
        return
    fused = {"gpt2", "gptneox", "gptneox-serial", "phi3", "phi3-long", "phi4"}
    linear = {"qwen35", "qwen35-even"}  # have both, in layers of two kinds
    assert ("attn_qkv" in recipe.lora_matrices.split()) == (name in fused | linear)
    assert ("attn_q" in recipe.lora_matrices.split()) == (name not in fused)
    assert "attn_output" in recipe.lora_matrices
    assert ("ffn_down" in recipe.lora_matrices) == ("moe" not in name)


@pytest.mark.parametrize("name", ["phi3", "gpt2"])
def test_an_adapter_of_fused_matrices_is_the_model_with_it_merged(name: str) -> None:
    """Merged by NumPy in the file."""
    data = converted(name, "f32")
    header, random = read_header(data), np.random.default_rng(3)
    writer, pairs = GGUFWriter(), {}
    for key, value in header.metadata.items():
        writer.add(key, value)
    for t in header.tensors:
        values = np.frombuffer(data, "<f4", t.n_elements, t.offset).reshape(t.shape)
        if t.name.split(".")[2:3] in (["attn_qkv"], ["ffn_up"]) and len(t.shape) == 2:
            down = random.standard_normal((3, t.shape[1])).astype("<f4") * 0.1
            up = random.standard_normal((t.shape[0], 3)).astype("<f4") * 0.1
            pairs[t.name] = ((*t.shape, 3), down.tobytes(), up.tobytes())
            values = (values + 0.5 * 2.0 * up @ down).astype("<f4")
        writer.add_tensor(t.name, t.shape, F32, values.tobytes())
    ids = [5, 9, 31, 4, 22, 17]
    found = []
    for made, adapted_by in ((writer.to_bytes(), None), (data, pairs)):
        model = load(made)
        if adapted_by:
            model.adapt(adapter_file(pairs, alpha=6.0, architecture=name).to_bytes(), 0.5)
        session = model.session()
        session.append(ids)
        found.append(np.array(session.logits()))
        model.close()
    assert any("attn_qkv" in tensor for tensor in pairs)
    np.testing.assert_allclose(found[1], found[0], atol=2e-5)


def test_gradients_of_fused_matrices_are_those_of_finite_differences() -> None:
    base = Base(converted("phi3", "f32"))
    trainer = FineTuner(base.recipe(CHOICES), TEXT, base=base)
    network = trainer.network
    random = np.random.default_rng(5)
    values = random.standard_normal(network.n_weights).astype(np.float32) * 0.1
    batch = batch_of(trainer.corpus.ids, trainer.corpus.pieces[:2])
    network.write(WEIGHTS, values.tobytes())
    network.settle(exact=True)
    network.learn(batch, 1.0, 0)
    gradients = np.array(network.gradients(), dtype=np.float64)
    direction = gradients / np.linalg.norm(gradients) + 0.02 * random.standard_normal(
        len(gradients)
    )
    losses = []
    for step in (-1e-3, 1e-3):
        network.write(WEIGHTS, (values + step * direction).astype(np.float32).tobytes())
        network.settle(exact=True)
        losses.append(network.measure(batch))
    wanted = float(gradients @ direction)
    assert (losses[1] - losses[0]) / 2e-3 == pytest.approx(wanted, rel=2e-2)
    trainer.close()


def test_a_base_of_many_weights_learns_through_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """As quantized; all of its weights do not, and the cost of both is told before."""
    data = make(SPEC)
    assert not Base(data).other
    monkeypatch.setattr(finetune, "MOST_FLOATS", 10_000)
    base = Base(data)
    assert "weights, which would take" in base.other
    trainer = FineTuner(base.recipe(CHOICES), TEXT, base=base)
    assert isinstance(trainer.network, PlanNetwork) and trainer.through_plan
    before = trainer.sample("ab", 8, seed=2, tuned=False)
    trainer.step()
    assert trainer.sample("ab", 8, seed=2, tuned=False) == before
    trainer.close()
    with pytest.raises(UnsupportedError, match="not all of its weights can be trained here"):
        base.recipe({"context": 48})
    model = load(data)
    assert "train an adapter" in tuning_cost(model, {}).refused
    cost = tuning_cost(model, CHOICES)
    assert not cost.refused and cost.seconds > 0 and cost.nbytes > len(data)
    assert "it would take" in tuning_cost(model, CHOICES, limit=1 << 20).refused
    with pytest.raises(OptionError, match="context is 'long'; it must be a whole number"):
        tuning_cost(model, {"lora_rank": 4, "context": "long"})
    model.close()


@pytest.mark.parametrize("name", ["gemma3", "phi3", "olmoe"])
def test_the_memory_that_is_told_is_what_gradients_take(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(converted(name, "q8_0"))
    told = backward.backward_bytes(model.kernel, model.config, 48)
    taken: list[int] = []
    alloc = type(model.kernel).alloc

    def counted(kernel: Kernel, nbytes: int, what: str) -> int:
        taken.append(nbytes)
        return alloc(kernel, nbytes, what)

    monkeypatch.setattr(type(model.kernel), "alloc", counted)
    made = backward.Backward(model, 48)
    state = made._state.nbytes
    made.close()
    model.close()
    assert told == pytest.approx(sum(taken) + state, rel=0.05)


def test_what_cannot_be_learned_through_a_plan_is_told() -> None:
    with pytest.raises(UnsupportedError, match=r"is an encoder: it has no next tokens"):
        Base(converted("gemma-embedding", "q8_0"))
    with pytest.raises(UnsupportedError, match=r"is a gemma3, and no llama: .* with lora_rank"):
        BASE.recipe({"context": 48})
    with pytest.raises(OptionError, match=r"dropout is 0.1; with this base model it must be 0"):
        BASE.recipe(CHOICES | {"dropout": 0.1})
    phi3 = Base(converted("phi3", "q8_0"))
    some = r"'attn_q', no matrix .* some of attn_qkv attn_output ffn_up ffn_down"
    with pytest.raises(OptionError, match=some):
        phi3.recipe(CHOICES | {"lora_matrices": "attn_q"})


def test_the_command_trains_and_verifies_it(tmp_path: Path, capsys: Capture) -> None:
    base = converted("gptneox", "q8_0")
    (tmp_path / "base.gguf").write_bytes(base)
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "recipe.json").write_text(json.dumps(CHOICES))
    files = ["--base", str(tmp_path / "base.gguf"), "--data", str(tmp_path / "text.txt")]
    train = ["train", str(tmp_path / "recipe.json"), *files, "--out", str(tmp_path / "run")]
    assert cli.main(train) == 0
    assert read_adapter(tmp_path / "run" / "adapter.gguf").architecture == "gptneox"
    capsys.readouterr()
    assert cli.main(["verify", str(tmp_path / "run" / "receipt.json"), *files]) == 0
    assert "every bit agrees up to step 6 of 6" in capsys.readouterr().out
