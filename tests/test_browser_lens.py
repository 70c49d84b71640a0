"""Looking inside, as the page's worker asks for it: what crosses is what `thimble.lens` says."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

import thimble
from tests.test_browser import ask, fails, load
from thimble import lens
from thimble.browser import Engine
from thimble.browser.lens import BEST

TEXT = "Once upon a time there was a cat. The cat"


def floats(data: bytes) -> Any:
    return np.frombuffer(data, np.float32)


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    load(made)
    return made


@pytest.fixture
def session(engine: Engine) -> int:
    opened: int = ask(engine, "open", "tiny", "{}")
    return opened


@pytest.fixture
def look(engine: Engine, session: int) -> int:
    number: int = ask(engine, "lens.begin", session, TEXT, "[]")["look"]
    return number


@pytest.fixture
def model(engine: Engine) -> thimble.Model:
    return engine.loaded["tiny"]


def test_a_look_knows_the_text_and_the_model_before_it_computes(
    engine: Engine, session: int, model: thimble.Model
) -> None:
    found = ask(engine, "lens.begin", session, "Once upon", "[5, 7]")
    given = model.tokenizer.encode("Once upon", add_special=True)
    assert [token for _, token in found["tokens"]] == [*given, 5, 7]
    assert found["given"] == len(given)
    assert "".join(text for text, _ in found["tokens"]).startswith("Once upon")
    config = model.config
    sizes = [config.n_layers, config.n_heads, config.hidden_dim]
    assert [found["layers"], found["heads"], found["hidden"]] == sizes
    pattern = lens.cost(model, len(given) + 2, "blocks.0.attn.hook_pattern")
    assert found["bytes"]["patterns"] == sum(pattern.values())
    assert found["products"]["parts"] == model.n_params * (len(given) + 2)
    assert found["products"]["grid"] > found["products"]["parts"]
    assert ask(engine, "lens.pass_seconds", found["look"]) > 0


def test_patterns_and_neurons_are_the_models_own(
    engine: Engine, look: int, model: thimble.Model
) -> None:
    _, cache = model.run_with_cache(TEXT)
    patterns = ask(engine, "lens.patterns", look, 0, model.config.n_layers)
    expected = [cache["pattern", layer].ravel() for layer in range(model.config.n_layers)]
    assert (floats(patterns) == np.concatenate(expected)).all()
    assert (floats(ask(engine, "lens.patterns", look, 1, 2)) == expected[1]).all()
    assert (floats(ask(engine, "lens.neurons", look, 1)) == cache["post", 1].ravel()).all()


def test_the_grid_has_the_logit_lens(engine: Engine, look: int, model: thimble.Model) -> None:
    told = ask(engine, "lens.grid", look)
    expected = lens.logit_lens(model, TEXT, top=BEST)
    record = struct.Struct(f"<{BEST}i{BEST}fiff")
    cells = [cell for row in expected.cells for cell in row]
    assert told["best"] == BEST and told["depths"] == len(expected.cells)
    assert len(told["records"]) == record.size * len(cells)
    for cell, found in zip(cells, record.iter_unpack(told["records"]), strict=True):
        assert list(found[:BEST]) == [token for token, _ in cell.top]
        assert found[BEST : 2 * BEST] == pytest.approx([logprob for _, logprob in cell.top])
        assert found[2 * BEST] == cell.rank
        assert found[2 * BEST + 1 :] == pytest.approx((cell.logprob, cell.entropy))
        for token, _ in cell.top:
            text = model.tokenizer.token_bytes(token).decode("utf-8", "replace")
            assert told["texts"][str(token)] == text


@pytest.mark.parametrize("position", [0, 4])
def test_parts_are_the_attribution_and_add_up(
    engine: Engine, look: int, model: thimble.Model, position: int
) -> None:
    found = ask(engine, "lens.parts", look, position, None, None)
    expected = lens.logit_attribution(model, TEXT, position=position)
    assert found["token"] == expected.token
    parts = [[p.kind, p.layer, p.head, pytest.approx(p.value)] for p in expected.parts]
    assert found["parts"] == parts
    row = model.run_with_hooks(TEXT)[position]
    assert found["value"] == float(row[found["token"]])
    assert sum(part[3] for part in found["parts"]) + found["rest"] == pytest.approx(found["value"])
    assert found["best"][0][0] == expected.token
    other = ask(engine, "lens.parts", look, position, 9, 5)
    assert other["value"] == pytest.approx(float(row[9]) - float(row[5]))


def test_what_a_neuron_writes_and_what_lies_near(
    engine: Engine, look: int, model: thimble.Model
) -> None:
    found = ask(engine, "lens.writes", look, 1, 17)
    expected = lens.neuron_writes(model, layer=1, neuron=17)
    assert [row[0] for row in found["promoted"]][:10] == [token for token, _ in expected.promoted]
    ids = model.tokenizer.encode(TEXT, add_special=True)
    near = ask(engine, "lens.similar", look, 2)
    best = lens.similar_tokens(model, ids[2], most=3)
    assert [(row[0], row[2]) for row in near["nearest"][:3]] == best
    assert len(near["text"]) == len(ids)
    assert near["text"][2] == pytest.approx(1)


def test_a_matrix_comes_with_what_rounding_can_have_moved(
    engine: Engine, look: int, model: thimble.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "blk.1.ffn_up.weight"
    assert name in [row[0] for row in ask(engine, "lens.tensors", look)]
    told = ask(engine, "lens.matrix", look, name)
    weights, moved = np.split(floats(told["numbers"]), 2)
    assert (weights == lens.matrix(model, name).ravel()).all()
    assert (moved == lens.rounding(model, name).ravel()).all()
    assert [told["rows"], told["cols"]] == list(lens.matrix(model, name).shape)
    monkeypatch.setattr("thimble.browser.lens.MOST_WEIGHTS", len(weights) // 4)
    told = ask(engine, "lens.matrix", look, name)
    assert told["every"] == 4
    fewer = np.split(floats(told["numbers"]), 2)[0].reshape(-1, told["cols"])
    assert (fewer == lens.matrix(model, name)[::4]).all()
    told = ask(engine, "lens.matrix", look, "output_norm.weight")
    assert told["rows"] == 1
    assert (
        np.split(floats(told["numbers"]), 2)[0] == lens.matrix(model, "output_norm.weight")
    ).all()


def test_what_cannot_be_looked_at_is_refused_by_name(
    engine: Engine, session: int, look: int, model: thimble.Model
) -> None:
    def refused(*question: object) -> tuple[str, str]:
        return fails(engine, *question)  # type: ignore[arg-type]

    kind, message = refused("lens.begin", session, "", "[]")
    assert kind == "OptionError" and "text is empty" in message
    kind, message = refused("lens.begin", session, "cat " * model.config.n_ctx, "[]")
    assert kind == "ContextError" and "context holds" in message
    kind, message = refused("lens.parts", look, 99, None, None)
    assert kind == "OptionError" and "no position 99; there are 0 to" in message
    assert "no position 99; there are 0 to" in refused("lens.similar", look, 99)[1]
    assert "no tensor 'blk.9'" in refused("lens.matrix", look, "blk.9")[1]
    assert "layers are 0 to 1" in refused("lens.patterns", look, 0, 7)[1]
    assert "no layer 7" in refused("lens.writes", look, 7, 1)[1]
    ask(engine, "lens.close", look)
    assert f"no look {look}" in refused("lens.pass_seconds", look)[1]
