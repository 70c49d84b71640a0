"""A text as a vector: the mean of the last hidden states, whichever way they are computed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import thimble
from thimble.cli import main
from thimble.kernel import BATCH
from thimble.reference import ReferenceModel

NAMES = Path(__file__).resolve().parent.parent / "web" / "models" / "names.gguf"


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    loaded = thimble.load(NAMES)
    yield loaded
    loaded.close()


def test_a_vector_is_the_mean_of_the_references_last_states(model: thimble.Model) -> None:
    text = "marianne and the long name of her brother bartholomew"
    ids = model.tokenizer.encode(text)
    assert len(ids) > BATCH
    states = ReferenceModel(NAMES, activations="q8_0").run(ids)["ln_final.out"]
    mean = states.mean(axis=0)
    assert np.abs(np.asarray(model.embed(text)) - mean / np.linalg.norm(mean)).max() < 2e-3


def test_a_session_keeps_its_text(model: thimble.Model) -> None:
    session = model.session()
    session.append(model.tokenizer.encode("anna"))
    before = session.logits()
    assert session.embed("bob") == model.embed("bob")
    assert session.logits() == before


def test_names_that_begin_alike_lie_closer(model: thimble.Model) -> None:
    anna, anne, bob = (np.asarray(one) for one in thimble.embed(model, ["anna", "anne", "bob"]))
    assert anna @ anne > anna @ bob


def test_what_has_no_vector_is_refused(model: thimble.Model) -> None:
    with pytest.raises(thimble.OptionError, match="empty"):
        model.embed("")
    with pytest.raises(thimble.OptionError, match=r"\[text\]"):
        thimble.embed(model, "anna")
    with pytest.raises(thimble.ContextError, match="cut it"):
        model.embed("anna" * 200)


def test_the_command_finds_the_most_alike_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(NAMES), "bob\nanne\n", "--like", "anna"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("\tanne") and second.endswith("\tbob")
    assert main(["embed", str(NAMES), "anna"]) == 0
    ((*vector,),) = json.loads(capsys.readouterr().out)
    assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-5)
