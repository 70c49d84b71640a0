"""Training with PyTorch: it learns, goes on after a stop, and does the same in several."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

import thimble
from thimble.errors import OptionError
from thimble.gguf import read_file_header
from thimble.train.recipe import Recipe

torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra `train`)")
pytest.importorskip("tokenizers", reason="tokenizers is not installed (the extra `train`)")

from thimble.train import checkpoint, export, torch_trainer  # noqa: E402
from thimble.train.bpe import END, train_bpe  # noqa: E402
from thimble.train.data import read_stories  # noqa: E402
from thimble.train.optim import orthogonalize  # noqa: E402
from thimble.train.torch_model import Llama  # noqa: E402

TINY = Recipe(
    title="Tiny", vocab_size=320, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden=64,
    context=64, micro_tokens=256, micro_batches=2, steps=40, warmup_steps=4, decay_steps=12,
    adam_lr=0.02, dtype="float32", compile=False, log_every=1, eval_every=1000,
    eval_stories=4,
)  # fmt: skip
PACKAGE = Path(__file__).parent.parent / "pyodide_pkg"


def stories(n: int, seed: int) -> list[str]:
    """Made-up stories with something to learn: who appears first does the rest."""
    rng = random.Random(seed)
    names = ["Anna", "Ben", "Clara", "Dan", "Emma", "Finn", "Greta", "Hugo", "Ida", "Jonas"]
    things = ["ball", "boat", "book", "cake", "drum", "flower", "kite", "lamp", "shoe", "train"]
    found = []
    for _ in range(n):
        name, thing, other = rng.choice(names), rng.choice(things), rng.choice(things)
        found.append(
            f"One day {name} found a {thing}. {name} was happy with the {thing} and ran home. "
            f'"Look, a {thing}!" said {name}. "Is it better than the {other}?" asked the cat.'
        )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A recipe and two texts, and one thread: tiny matrices take longer with more."""
    (tmp_path / "recipe.json").write_text(json.dumps(TINY.to_dict()))
    for name, n, seed in (("train.txt", 400, 1), ("heldout.txt", 20, 2)):
        (tmp_path / name).write_text(f"\n{END}\n".join(stories(n, seed)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def arguments(folder: Path, out: str, *more: str) -> list[str]:
    return [
        str(folder / "recipe.json"), "--data", str(folder / "train.txt"),
        "--heldout", str(folder / "heldout.txt"), "--out", str(folder / out), *more,
    ]  # fmt: skip


def log(folder: Path, out: str, key: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def test_loss_falls_and_heldout_text_is_measured(folder: Path) -> None:
    assert torch_trainer.main(arguments(folder, "run")) == 0
    losses = log(folder, "run", "loss")
    assert len(losses) == TINY.steps
    assert losses[0] > 5.5  # nothing is known: about ln 320
    assert losses[-1] < 0.5 * losses[0]
    (final,) = log(folder, "run", "final_bpb")
    assert 0 < final < 2


def test_a_resumed_run_is_the_run_that_never_stopped(folder: Path) -> None:
    torch_trainer.main(arguments(folder, "whole"))
    plan = folder / "parts" / "plan.json"
    plan.parent.mkdir()
    plan.write_text(json.dumps({"steps": 17, "decay_start": TINY.steps - TINY.decay_steps}))
    torch_trainer.main(arguments(folder, "parts"))
    plan.unlink()
    torch_trainer.main(arguments(folder, "parts", "--resume"))
    assert log(folder, "parts", "loss") == log(folder, "whole", "loss")
    whole, parts = (checkpoint.read(folder / out / "final.pt") for out in ("whole", "parts"))
    for name, values in whole["model"].items():
        assert torch.equal(values, parts["model"][name]), name


def test_a_checkpoint_of_another_network_or_text_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "plan.json").write_text('{"steps": 1}')
    assert torch_trainer.main(arguments(folder, "run")) == 0
    wider = dataclasses.replace(TINY, hidden=96)
    (folder / "recipe.json").write_text(json.dumps(wider.to_dict()))
    assert torch_trainer.main(arguments(folder, "run", "--resume")) == 1
    assert "hidden is 96 in the recipe, 64 in the checkpoint" in capsys.readouterr().err
    (folder / "recipe.json").write_text(json.dumps(TINY.to_dict()))
    with (folder / "train.txt").open("a") as file:
        file.write("!")
    assert torch_trainer.main(arguments(folder, "run", "--resume")) == 1
    assert "SHA-256" in capsys.readouterr().err


def test_two_processes_take_the_steps_of_one(folder: Path) -> None:
    (folder / "recipe.json").write_text(json.dumps(TINY.to_dict() | {"steps": 6, "decay_steps": 2}))
    torch_trainer.main(arguments(folder, "one"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", "2", "-m", "thimble.train.torch_trainer"]  # fmt: skip
    paths = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [*command, *arguments(folder, "two")],
        check=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    assert log(folder, "two", "tokens") == log(folder, "one", "tokens")
    np.testing.assert_allclose(log(folder, "two", "loss"), log(folder, "one", "loss"), rtol=1e-3)
    np.testing.assert_allclose(
        log(folder, "two", "final_bpb"), log(folder, "one", "final_bpb"), rtol=1e-3
    )


def test_exported_file_has_the_names_and_shapes_of_llama(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "plan.json").write_text('{"steps": 1}')
    torch_trainer.main(arguments(folder, "run"))
    path = folder / "tiny.gguf"
    assert export.main([str(folder / "run" / "final.pt"), "--out", str(path), "--type", "f32"]) == 0
    reader = gguf.GGUFReader(path)
    shapes = {t.name: tuple(int(n) for n in reversed(t.shape)) for t in reader.tensors}
    layer = {
        "attn_norm": (32,), "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32),
        "attn_output": (32, 32), "ffn_norm": (32,), "ffn_gate": (64, 32), "ffn_up": (64, 32),
        "ffn_down": (32, 64),
    }  # fmt: skip
    assert shapes == {"token_embd.weight": (320, 32), "output_norm.weight": (32,)} | {
        f"blk.{i}.{name}.weight": shape for i in range(2) for name, shape in layer.items()
    }
    weights = checkpoint.read(folder / "run" / "final.pt")["model"]
    for tensor in reader.tensors:
        np.testing.assert_array_equal(
            tensor.data.reshape(-1), weights[tensor.name].numpy().reshape(-1)
        )
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert len(tokens) == 320
    assert tokens[reader.fields["tokenizer.ggml.bos_token_id"].contents()] == END
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["llama.rope.dimension_count"].contents() == 8


def test_the_engine_computes_what_the_network_computed(folder: Path) -> None:
    torch_trainer.main(arguments(folder, "run"))
    path = folder / "tiny.gguf"
    assert export.main([str(folder / "run" / "final.pt"), "--out", str(path), "--type", "f32"]) == 0
    model = thimble.load(path)
    measured = thimble.evaluate_text(model, read_stories(folder / "heldout.txt"))
    # The network is cut at its context of 64 tokens, where the engine stops too.
    assert measured.bits_per_byte == pytest.approx(log(folder, "run", "final_bpb")[0], rel=1e-4)
    assert export.main([str(folder / "run" / "final.pt"), "--out", str(path)]) == 0
    types = {t.name: t.type.name for t in read_file_header(path).tensors}
    assert types["blk.0.ffn_down.weight"] == types["token_embd.weight"] == "Q8_0"
    assert types["blk.0.ffn_norm.weight"] == "F32"


def test_a_story_does_not_see_the_others_of_its_row() -> None:
    model = Llama(TINY)
    for p in model.parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, 0, 0.1)
    ids = torch.randint(0, 320, (1, 20), generator=torch.Generator().manual_seed(1))
    documents = torch.tensor([[0] * 8 + [1] * 12])
    alone = model.logits(ids[:, 8:], documents[:, 8:])
    torch.testing.assert_close(model.logits(ids, documents)[:, 8:], alone, rtol=1e-4, atol=1e-4)


def test_every_byte_is_a_token() -> None:
    tokenizer = train_bpe(stories(50, 3), 300)
    text = "\x00\x7f\x80 Žluťoučký 🐎\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    with pytest.raises(OptionError, match="vocab_size is 30000"):
        train_bpe(stories(5, 3), 30000)


def test_orthogonalize_brings_singular_values_near_one() -> None:
    g = torch.randn(3, 48, 32, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalize(g))
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.4
