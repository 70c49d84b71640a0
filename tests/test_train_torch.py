"""The trainer by PyTorch: what our kernels compute, in one process and in two."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.train_fingerprint import made_up_text
from thimble import cli
from thimble.errors import NumericError, OptionError
from thimble.evaluate import evaluate_text
from thimble.kernel import default_kernel
from thimble.train import state
from thimble.train.network import FIRST, SECOND, WEIGHTS, Network, tensors
from thimble.train.recipe import Recipe
from thimble.train.rows import Rows, batch_of
from thimble.train.trainer import Trainer

torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra `train`)")

from thimble.train.optim import orthogonalize  # noqa: E402
from thimble.train.processes import Processes, here  # noqa: E402
from thimble.train.torch_model import Llama  # noqa: E402
from thimble.train.torch_network import TorchNetwork, to_rows  # noqa: E402
from thimble.train.torch_trainer import TorchTrainer  # noqa: E402

pytestmark = pytest.mark.slow

TEXT = made_up_text()
CHOICES: dict[str, Any] = {
    "title": "Tiny", "backend": "torch", "dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2,
    "hidden": 64, "context": 48, "micro_tokens": 96, "micro_batches": 3, "steps": 6,
    "warmup_steps": 2, "decay_steps": 3, "log_every": 1, "hash_every": 3, "separator": "\n",
}  # fmt: skip
RECIPE = Recipe.from_dict(CHOICES)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"optimizer": "adamw", "schedule": "cosine", "grad_clip": 0.5, "vocab_size": 270},
    {"quantize": "q4_0", "quantize_start": 2, "n_kv_heads": 4},
    {"optimizer": "adamw", "quantize": "q8_0", "dropout": 0.3, "separator": ""},
]
PACKAGE = Path(thimble.__file__).parents[1]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices take longer with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def floats(data: bytes) -> NDArray[np.float64]:
    return np.frombuffer(data, np.float32).astype(np.float64)


def assert_close(ours: bytes, theirs: bytes, most: float = 2e-4) -> None:
    """Weights agree. Where a gradient is next to nothing, AdamW makes much of its last bits: so
    all but a few are held to more than the rest."""
    apart = np.abs(floats(ours) - floats(theirs))
    assert np.quantile(apart, 0.99) < most / 50
    assert apart.max() < most


def by_name(recipe: Recipe, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    ends = list(itertools.accumulate(int(np.prod(shape)) for _, shape in tensors(recipe)))
    parts = np.split(values, ends[:-1])
    return {name: part for (name, _), part in zip(tensors(recipe), parts, strict=True)}


def trained(trainer: Trainer, steps: int | None = None) -> Trainer:
    while not trainer.done and trainer.steps_made != steps:
        trainer.step()
    return trainer


# What our kernels compute


@pytest.mark.parametrize("changes", VARIANTS)
def test_loss_and_every_gradient_are_those_of_our_kernels(changes: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(CHOICES | changes)
    ours = Network(recipe, default_kernel())
    ours.start(3, recipe.embedding_std)
    weights = np.frombuffer(ours.read(WEIGHTS), np.float32)
    noise = np.random.default_rng(1).standard_normal(weights.size, np.float32)
    ours.write(WEIGHTS, (weights + np.float32(0.05) * noise).tobytes())  # none begins at zero
    theirs = TorchNetwork(recipe, default_kernel(), here())
    theirs.write(WEIGHTS, ours.read(WEIGHTS))
    for network in (ours, theirs):
        network.settle(exact=False)
    assert theirs.used_weights() == ours.used_weights()
    trainer = TorchTrainer(recipe, TEXT)
    batch = batch_of(trainer.corpus.ids, Rows(trainer.corpus.pieces, recipe.context, 1).take(2))
    assert len(batch.starts) > 3 or not recipe.separator  # several stories share a row
    nats = ours.learn(batch, 1 / 96, 77)
    assert theirs.learn(batch, 1 / 96, 77) == pytest.approx(nats, rel=1e-5)
    expected = by_name(recipe, np.array(ours.gradients(), np.float64))
    for name, found in by_name(recipe, np.array(theirs.gradients(), np.float64)).items():
        error = np.abs(found - expected[name]).max() / np.abs(expected[name]).max()
        assert error < 1e-4, (name, error)
    assert theirs.measure(batch) == pytest.approx(ours.measure(batch), rel=1e-5)
    assert theirs.read(WEIGHTS) == ours.read(WEIGHTS)  # rounded only where products read them
    ours.close()


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_first_steps_are_those_of_our_kernels(changes: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(CHOICES | changes)
    ours = Trainer(dataclasses.replace(recipe, backend="thimble"), TEXT)
    theirs = TorchTrainer(recipe, TEXT)
    assert theirs.weights_sha256() == ours.weights_sha256()
    # A weight at the edge of two codes of Q4_0 falls to either side, and the runs part from there:
    # so in that run the first rounded step is the last that is compared, and less closely.
    coarse = recipe.quantize == "q4_0"
    for _ in range(3 if coarse else 5):
        expected, found = ours.step(), theirs.step()
        assert (found.lr, found.tokens) == (expected.lr, expected.tokens)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5 if coarse else 1e-6)
        assert found.grad_norm == pytest.approx(expected.grad_norm, rel=2e-3 if coarse else 5e-5)
    most = 5e-3 if coarse else 2e-4
    assert_close(theirs.network.read(WEIGHTS), ours.network.read(WEIGHTS), most)
    assert theirs.evaluate() == pytest.approx(ours.evaluate(), rel=1e-4 if coarse else 1e-6)
    ours.close()


def test_its_checkpoint_is_that_of_our_kernels() -> None:
    theirs = trained(TorchTrainer(RECIPE, TEXT), 3)
    with pytest.raises(OptionError, match="backend is 'torch'; our kernels train those with"):
        Trainer.resume(theirs.checkpoint(), TEXT)
    header, numbers = state.unpack(theirs.checkpoint())
    header["recipe"]["backend"] = "thimble"
    ours = Trainer.resume(state.pack(header, [bytes(numbers)]), TEXT)
    for which in (WEIGHTS, FIRST):
        assert ours.network.read(which) == theirs.network.read(which)
    embedding = RECIPE.vocab_size * RECIPE.dim
    assert ours.network.read(SECOND, 0, embedding) == theirs.network.read(SECOND, 0, embedding)
    assert ours.step().loss == pytest.approx(theirs.step().loss, rel=1e-5)
    ours.close()


def test_orthogonalize_brings_singular_values_near_one() -> None:
    g = torch.randn(3, 48, 32, generator=torch.Generator().manual_seed(1))
    for dtype in (torch.float32, torch.bfloat16):
        values = torch.linalg.svdvals(orthogonalize(g, dtype))
        assert float(values.min()) > 0.5
        assert float(values.max()) < 1.4


def test_a_story_does_not_see_the_others_of_its_row() -> None:
    model = Llama(RECIPE)
    ids = torch.randint(0, 256, (1, 20), generator=torch.Generator().manual_seed(1))
    documents = torch.tensor([[0] * 8 + [1] * 12])
    alone = model.logits(ids[:, 8:], documents[:, 8:])
    torch.testing.assert_close(model.logits(ids, documents)[:, 8:], alone, rtol=1e-4, atol=1e-4)


def test_segments_that_do_not_fill_rows_are_laid_into_them() -> None:
    batch = batch_of(range(100), [(0, 3), (10, 4), (20, 5), (30, 1)])
    inputs, targets, documents = to_rows(batch, 6)
    assert inputs.tolist() == [
        [0, 1, 2, 0, 0, 0], [10, 11, 12, 13, 0, 0], [20, 21, 22, 23, 24, 30],
    ]  # fmt: skip
    none = -100
    assert targets.tolist() == [
        [1, 2, 3, none, none, none], [11, 12, 13, 14, none, none], [21, 22, 23, 24, 25, 31],
    ]  # fmt: skip
    assert documents.tolist() == [
        [0, 0, 0, -1, -1, -1], [1, 1, 1, 1, -1, -1], [2, 2, 2, 2, 2, 3],
    ]  # fmt: skip


# A run


@pytest.mark.parametrize("changes", VARIANTS[1:3])
def test_a_resumed_run_is_the_run_that_never_stopped(changes: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(CHOICES | changes)
    whole = trained(TorchTrainer(recipe, TEXT))
    part = trained(TorchTrainer(recipe, TEXT), 3)
    assert part.evaluate(3) > 0  # which leaves no trace in the weights that are kept
    resumed = trained(TorchTrainer.resume(part.checkpoint(), TEXT))
    # On one thread of one machine, PyTorch repeats itself to the bit.
    assert resumed.curve == whole.curve
    assert resumed.network.read(WEIGHTS) == whole.network.read(WEIGHTS)


def test_what_is_not_finite_is_said_and_moves_nothing() -> None:
    trainer = trained(TorchTrainer(RECIPE, TEXT), 1)
    sound = trainer.network.read(WEIGHTS)
    broken = np.frombuffer(sound, np.float32).copy()
    broken[5000] = np.nan
    trainer.network.write(WEIGHTS, broken.tobytes())
    with pytest.raises(NumericError, match="not finite in step 2: the weights are those of step 1"):
        trainer.step()
    trainer.network.write(WEIGHTS, sound)
    other = trained(TorchTrainer(RECIPE, TEXT), 2)
    trainer.step()
    assert trainer.network.read(WEIGHTS) == other.network.read(WEIGHTS)


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="backend is 'thimble'; it must be 'torch'"):
        TorchTrainer(dataclasses.replace(RECIPE, backend="thimble"), TEXT)
    many = Processes(0, 4, torch.device("cpu"))
    monkeypatch.setattr("thimble.train.torch_trainer.here", lambda: many)
    with pytest.raises(OptionError, match="micro_batches is 3; 4 processes need as many or more"):
        TorchTrainer(RECIPE, TEXT)


# The command line


def make_folder(folder: Path, **changes: Any) -> Path:
    (folder / "recipe.json").write_text(json.dumps(CHOICES | changes))
    (folder / "text.txt").write_text(TEXT)
    return folder


def command(folder: Path, *more: str) -> list[str]:
    return ["train", str(folder / "recipe.json"), "--data", str(folder / "text.txt"),
            "--out", str(folder / "run"), "--type", "f32", *more]  # fmt: skip


def read_log(folder: Path, key: str) -> list[float]:
    lines = (folder / "run" / "log.jsonl").read_text().splitlines()
    return [entry[key] for entry in map(json.loads, lines) if key in entry]


def test_a_run_in_bfloat16_leaves_a_model_and_a_receipt_without_a_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"dtype": "bfloat16", "steps": 60, "decay_steps": 20, "micro_tokens": 480,
               "log_every": 10, "eval_every": 40, "micro_batches": 1}  # fmt: skip
    folder = make_folder(tmp_path, **changes)
    assert cli.main(command(folder)) == 0
    losses = read_log(folder, "loss")
    assert len(losses) == 6
    assert losses[-1] < 0.6 * losses[0]
    assert len(read_log(folder, "bits_per_byte")) == 1
    made = json.loads((folder / "run" / "receipt.json").read_text())
    assert made["promise"] == "none"
    assert made["torch"] == {"version": torch.__version__, "processes": 1}
    assert "kernels" not in made
    trainer = TorchTrainer.resume((folder / "run" / "checkpoint.bin").read_bytes(), TEXT)
    kept = [
        trainer.corpus.tokenizer.decode(trainer.corpus.ids[first + 1 : first + count + 1])
        for first, count in trainer.corpus.heldout
    ]
    model = thimble.load(folder / "run" / "model.gguf")
    # The engine computes what the network computed.
    assert evaluate_text(model, kept).bits_per_byte == pytest.approx(
        made["heldout_bits_per_byte"], rel=1e-4
    )
    model.close()
    capsys.readouterr()
    receipt = str(folder / "run" / "receipt.json")
    assert cli.main(["verify", receipt, "--data", str(folder / "text.txt")]) == 1
    assert "promises no bits" in capsys.readouterr().err


@pytest.fixture
def two_processes() -> Callable[..., str]:
    """Runs `thimble` by torchrun in two processes that talk by gloo."""

    def run(*arguments: str) -> str:
        paths = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
             "2", "-m", "thimble", *arguments],
            capture_output=True, text=True, timeout=240,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("resumed", [False, True])
def test_two_processes_take_the_steps_of_one(
    tmp_path: Path, two_processes: Callable[..., str], resumed: bool
) -> None:
    folder = make_folder(tmp_path, **VARIANTS[3])
    recipe = Recipe.read(folder / "recipe.json")
    alone = TorchTrainer(recipe, TEXT)
    more = []
    if resumed:
        trained(alone, 3)
        (folder / "run").mkdir()
        (folder / "run" / "checkpoint.bin").write_bytes(alone.checkpoint())
        more = ["--resume"]
    trained(alone)
    said = two_processes(*command(folder, *more))
    assert said.count("step 6 of 6") == 1  # one process prints
    both = TorchTrainer.resume((folder / "run" / "checkpoint.bin").read_bytes(), TEXT)
    assert_close(both.network.read(WEIGHTS), alone.network.read(WEIGHTS))
    for found, expected in zip(both.curve, alone.curve, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    made = json.loads((folder / "run" / "receipt.json").read_text())
    assert made["torch"]["processes"] == 2
    assert made["heldout_bits_per_byte"] == pytest.approx(alone.evaluate(), rel=1e-3)
