"""The bench's models of 135M and 0.5B parameters, in small, and its page. Nothing is timed here."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

import thimble
from bench import own, own_models, own_report
from bench.models import FIRST_WORD
from bench.own_models import ENCODINGS, SHAPES
from bench.results import Memory, Rate, Results, Start
from thimble import gguf
from thimble.tensor_types import TensorType


def small(name: str) -> own_models.Shape:
    """A layer of each kind, fewer tokens: the rows are as long."""
    layers = 1 if SHAPES[name].attention is None else 3
    return dataclasses.replace(SHAPES[name], layers=layers, vocab=1024)


PAIRS = [(name, wanted) for name, shape in SHAPES.items() for wanted in ENCODINGS.values()
         if wanted.name in shape.encodings and own_models.fits(shape, wanted)]  # fmt: skip


@pytest.mark.parametrize(("name", "wanted"), PAIRS, ids=lambda one: getattr(one, "name", one))
def test_a_model_has_its_parameters_and_writes(
    name: str, wanted: TensorType, tmp_path: Path
) -> None:
    shape = small(name)
    path = own_models.ensure(tmp_path, shape, wanted)
    header = gguf.read_file_header(path)
    assert sum(tensor.n_elements for tensor in header.tensors) == shape.parameters
    found = {tensor.type.name for tensor in header.tensors if len(tensor.shape) == 2} - {"F32"}
    mixes = {"Q4_K": {"Q4_K", "Q5_0"}, "IQ4_XS": {"IQ4_XS", "IQ4_NL"}}
    expected = mixes.get(wanted.name, {wanted.name})
    assert found == set(own_models.shares(shape, wanted)) == expected
    model = thimble.load(path)
    text, ids = own_models.prompt(20)
    assert model.tokenizer.encode(text) == ids
    params = thimble.SamplingParams(temperature=0.0, max_tokens=40)
    pieces = list(model.session().generate("a b c", params))
    assert len(pieces) == 40 and pieces[-1].finish_reason == "length"
    assert all(piece.id >= FIRST_WORD and piece.text for piece in pieces)
    model.close()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("135M", 134_515_008), ("0.5B", 494_032_768), ("350M", 354_483_968)],
)
def test_shapes_are_those_of_the_models_they_stand_for(name: str, parameters: int) -> None:
    assert SHAPES[name].parameters == parameters


@pytest.mark.parametrize("size", [1024, 49_152])
def test_every_merge_makes_a_token_of_two(size: int) -> None:
    tokens, merges = own_models.vocabulary(size)
    known = set(tokens)
    assert len(known) == len(tokens) == size
    for merge in merges:
        left, right = merge.split(" ")
        assert left in known and right in known and left + right in known


def recorded() -> Results:
    """A run of one model in which ours is five times as fast, with one thing not measured."""

    def samples(times: float) -> list[dict[str, float]]:
        made = ((64, 640 / times, 24, each / times) for each in (2300, 2200, 2400))
        names = ("promptTokens", "promptMs", "tokens", "decodeMs")
        return [dict(zip(names, one, strict=True)) for one in made]

    rates = [
        Rate("0.5B", "Q4_K", runner, threads, samples(5.0 if runner == "thimble" else 1.0))
        for threads in (1, 2)
        for runner in own.RUNNERS
    ]
    rates[-1].missing = "it stopped"
    visits = {"thimble": [4000.0, 4400.0, 4200.0], "wllama": [5000.0, 5500.0, 4000.0]}
    return Results(
        about={
            "made": "today", "command": "make bench-own", "load": [0.1],
            "machine": {"cpu": "any", "cores": 2, "system": "Linux"},
            "versions": {"thimble": "0"}, "kernels": {"sources": "0" * 64},
        },
        rates=rates,
        starts=[
            Start(runner, "0.5B Q4_K", 1, [{"firstToken": ms} for ms in values])
            for runner, values in visits.items()
        ],
        memory=[
            Memory("thimble", "0.5B", "Q4_K", [900_000_000]),
            Memory("wllama", "0.5B", "Q4_K", [800_000_000]),
        ],
        models={
            "0.5B Q4_K": {"parameters": 5, "bytes": 3e8, "encodings": {"Q5_0": 0.8, "Q4_K": 0.2}}
        },
    )  # fmt: skip


def test_ours_is_held_against_theirs_round_by_round() -> None:
    found = {one.what: one for one in own_report.compared(recorded())}
    assert found["decode, one thread"].met
    assert found["decode, one thread"].measured == "5.00 × (5.00–5.00); 50.0 and 10.0 tokens/s"
    assert found["prompt, 2 threads"].measured == "wllama: it stopped"
    assert found["prompt, 2 threads"].met is None
    assert found["navigation to first token"].met
    assert found["navigation to first token"].measured == "0.84 × (0.80–1.05); 4.20 and 5.00 s"
    assert found["memory at most"].met is False


def test_the_page_has_every_row() -> None:
    page = own_report.page(recorded())
    assert "|5.00|" in page and "|0.84|**1.12**|" in page
    assert page.count("|0.5B Q4_K|") == 1
    tables = own_report.tables(recorded())
    assert "Q5_0 80 %, Q4_K 20 % |" in tables and "| it stopped |" in tables
    assert tables.count("| 0.5B Q4_K |") == 6 + 2 + 1 + 1
    assert "| ≤ 1 × wllama | 0.84 × (0.80–1.05); 4.20 and 5.00 s | yes |" in tables


def test_a_models_own_goal_is_its_own() -> None:
    results = recorded()
    results.models = {"350M Q4_0": results.models["0.5B Q4_K"]}
    for rate in results.rates:
        rate.model, rate.encoding = "350M", "Q4_0"
    goals = {one.what: one.goal for one in own_report.compared(results)}
    assert goals["decode, one thread"] == goals["decode, 2 threads"] == "≥ 4 × wllama"


def test_published_figures_are_what_the_page_shows() -> None:
    if not (own.DOCS / "own-models.json").is_file():
        pytest.skip("no whole run has been published yet")
    results = Results.load(own.DOCS / "own-models.json")
    assert own_report.page(results) == (own.DOCS / "own-models.md").read_text(encoding="utf-8")
    assert own_report.tables(results) == (own.DOCS / "own-models.txt").read_text(encoding="utf-8")


def test_an_unknown_choice_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in ((["--models", "7B"], "7B"), (["--encodings", "Q9"], "Q9")):
        with pytest.raises(SystemExit):
            own.parse(arguments)
        assert words in capsys.readouterr().err


def test_the_chosen_models_are_every_pair() -> None:
    options = own.parse(["--models", "135M", "--encodings", "Q4_K,Q8_0"])
    names = [(file.name, file.encoding) for file in options.chosen]
    assert sorted(names) == [("135M", "Q4_K"), ("135M", "Q8_0")]
    assert not options.everything and own.parse([]).everything


def test_the_real_model_is_one_of_them(real_model: Path, tmp_path: Path) -> None:
    (file,) = own.parse(["--models", "SmolLM2"]).chosen
    assert (file.encoding, file.parameters) == ("Q4_1", 134_515_008)
    assert file.shares.keys() == {"Q4_1", "Q8_0"}
    path = file.ensure(tmp_path)
    assert path.stat().st_size == real_model.stat().st_size
    text, ids = file.prompt(own.PROMPT_TOKENS)
    assert text.startswith("The lighthouse keeper") and len(ids) == own.PROMPT_TOKENS


def test_processes_are_followed_to_their_ancestors() -> None:
    assert own._ancestors(5, {5: 4, 4: 1, 1: 0}) == [4, 1, 0]
    assert os.getpid() not in own.renderers()


def test_results_survive_their_file(tmp_path: Path) -> None:
    recorded().save(tmp_path / "own-models.json")
    again = Results.load(tmp_path / "own-models.json")
    assert own_report.page(again) == own_report.page(recorded())
    assert json.loads((tmp_path / "own-models.json").read_bytes())["models"]
