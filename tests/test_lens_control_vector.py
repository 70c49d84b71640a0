"""Control vectors: made of pairs of texts, put on a model, and in files as others read them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import thimble
from tests.fuzz.fuzz_gguf import fields, mutate
from tests.test_session import load
from tests.tiny_folders import converted
from tests.tiny_models import SPECS, make
from thimble import lens
from thimble.cli import main

ROOT = Path(__file__).parents[1]
STORY = ROOT / "web" / "models" / "story.gguf"
STARTS = ("Tom saw the dog. He felt", "Lily went home. She was", "It was a day when all were")
PAIRS = [(f"{start} happy", f"{start} sad") for start in STARTS]


@pytest.fixture(scope="module")
def story() -> thimble.Model:
    return thimble.load(STORY)


@pytest.fixture(scope="module")
def vector(story: thimble.Model) -> lens.ControlVector:
    return lens.ControlVector.train(story, PAIRS)


def differences(model: thimble.Model, layer: int) -> Any:
    name = f"blocks.{layer}.hook_resid_post"
    rows = [[np.array(model.run_with_cache(text, name)[1][name])[-1] for text in pair]
            for pair in PAIRS]  # fmt: skip
    return np.array([one - other for one, other in rows], dtype=np.float64)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptneox", "gemma2"])
def test_directions_are_the_first_component_or_the_mean(name: str) -> None:
    model = load(converted(name, "f32"))
    principal = lens.ControlVector.train(model, PAIRS)
    mean = lens.ControlVector.train(model, PAIRS, method="mean")
    assert principal.model_hint == model.config.architecture
    for layer in range(model.config.n_layers):
        rows = differences(model, layer)
        np.testing.assert_allclose(mean.directions[layer], rows.mean(axis=0), atol=1e-6)
        _, sizes, right = np.linalg.svd(rows)
        found = np.array(principal.directions[layer])
        assert np.linalg.norm(found) == pytest.approx(1.0)
        assert np.linalg.norm(rows @ found) == pytest.approx(sizes[0], rel=1e-3)
        assert ((rows @ found) > 0).sum() * 2 >= len(rows)
        if sizes[1] < 0.8 * sizes[0]:
            assert abs(right[0] @ found) == pytest.approx(1.0, abs=1e-3)


def test_it_leads_where_the_pairs_lead(story: thimble.Model, vector: lens.ControlVector) -> None:
    happy, sad = (
        story.tokenizer.encode(f" {word}", add_special=False)[0] for word in ("happy", "sad")
    )
    leads = []
    for strength in (-6.0, 0.0, 6.0):
        logits = story.run_with_hooks("Ben sat there. He was very", vector.hooks(story, strength))[
            -1
        ]
        leads.append(float(logits[happy] - logits[sad]))
    assert leads[0] < leads[1] - 1 < leads[2] - 2


def test_only_the_layers_that_were_asked_for_change(
    story: thimble.Model, vector: lens.ControlVector
) -> None:
    text = "Once upon a time"
    plain, _ = story.run_with_cache(text)
    assert vector.hooks(story, 0.0) == []
    assert (story.run_with_hooks(text, vector.hooks(story, 0.0)) == plain).all()
    hooks = vector.hooks(story, 2.0, first=3, last=4)
    assert [name for name, _ in hooks] == [f"blocks.{layer}.hook_resid_post" for layer in (3, 4)]
    names = ["blocks.2.hook_resid_post", "blocks.3.hook_resid_post"]
    _, before = story.run_with_cache(text, names)
    _, after = story.run_with_cache(text, names, fwd_hooks=hooks)
    assert (after[names[0]] == before[names[0]]).all()
    step = np.array(after[names[1]]) - np.array(before[names[1]])
    np.testing.assert_allclose(
        step, np.tile(2 * np.array(vector.directions[3]), (len(step), 1)), atol=1e-5
    )


def test_a_file_is_read_by_gguf_and_is_the_same_again(
    story: thimble.Model, vector: lens.ControlVector, tmp_path: Path
) -> None:
    path = tmp_path / "happy.gguf"
    vector.save(path)
    reader = gguf.GGUFReader(path)
    said = {name: field.contents() for name, field in reader.fields.items()}
    assert said["general.architecture"] == "controlvector"
    assert said["controlvector.layer_count"] == story.config.n_layers - 1
    assert {tensor.name for tensor in reader.tensors} == {
        f"direction.{layer}" for layer in range(1, story.config.n_layers)
    }
    for tensor in reader.tensors:
        layer = int(tensor.name.rpartition(".")[2])
        np.testing.assert_array_equal(tensor.data, np.array(vector.directions[layer], np.float32))
    again = lens.ControlVector.load(path)
    assert again.model_hint == "llama"
    assert {k: list(row) for k, row in again.directions.items()} == {
        k: list(np.array(row, np.float32)) for k, row in vector.directions.items() if k > 0
    }


def test_one_that_gguf_wrote_as_repeng_does_is_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.gguf"
    writer = gguf.GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", "mistral")
    writer.add_uint32("controlvector.layer_count", 2)
    rows = {layer: np.arange(64, dtype=np.float32) / 64 - layer for layer in (1, 3)}
    for layer, row in rows.items():
        writer.add_tensor(f"direction.{layer}", row)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = lens.ControlVector.load(path)
    assert found.model_hint == "mistral"
    assert {layer: list(row) for layer, row in found.directions.items()} == {
        layer: list(row) for layer, row in rows.items()
    }
    with pytest.raises(
        thimble.OptionError, match="a direction for layer 3; the model has 2 layers"
    ):
        found.hooks(load(make(SPECS["q8_0"])))


def test_what_is_no_control_vector_is_said(story: thimble.Model, tmp_path: Path) -> None:
    wrong = lens.ControlVector({1: [1.0, 2.0]})
    with pytest.raises(thimble.OptionError, match="have 2 numbers; the model's stream has"):
        wrong.hooks(story)
    with pytest.raises(thimble.OptionError, match="no direction behind layer 0"):
        lens.ControlVector({0: [1.0]}).save(tmp_path / "none.gguf")
    with pytest.raises(thimble.FormatError, match=r"general\.architecture is 'llama'"):
        lens.ControlVector.load(STORY)
    with pytest.raises(thimble.OptionError, match="nothing differs"):
        lens.ControlVector.train(story, [("same", "same")])
    with pytest.raises(thimble.OptionError, match="there are no pairs"):
        lens.ControlVector.train(story, [])


def test_broken_files_are_refused_or_read(vector: lens.ControlVector, tmp_path: Path) -> None:
    vector.save(tmp_path / "good.gguf")
    good = (tmp_path / "good.gguf").read_bytes()
    seeds = ((good, tuple(fields(good))),)
    outcomes = set()
    for number in range(300):
        data = mutate(random.Random(f"control vector {number}"), seeds, other_seeds=seeds)
        try:
            lens.ControlVector.read(data)
            outcomes.add("read")
        except thimble.ThimbleError as error:
            outcomes.add(type(error).__name__)
    assert outcomes >= {"read", "FormatError"}


def test_the_command_line_takes_one(
    vector: lens.ControlVector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "happy.gguf"
    vector.save(path)
    asked = [
        "generate",
        str(STORY),
        "--prompt",
        "Ben sat there. He was",
        "--temperature",
        "0",
        "--n-predict",
        "8",
    ]

    def written(*more: str) -> str:
        assert main([*asked, *more]) == 0
        return capsys.readouterr().out

    plain = written()
    away = written("--control-vector", str(path), "--control-vector-strength", "-9")
    assert away != plain == written("--control-vector", str(path), "--control-vector-strength", "0")
    assert main([*asked, "--control-vector-strength", "1"]) != 0
    assert "goes with --control-vector" in capsys.readouterr().err
