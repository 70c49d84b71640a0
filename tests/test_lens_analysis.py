"""What the lens finds out, on models of which we know it."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

import thimble
from tests import induction_model
from tests.test_lens_capture import IDS
from tests.test_session import load
from tests.tiny_folders import converted
from tests.tiny_models import SPECS, make
from thimble import lens
from thimble.dequantize import dequantize
from thimble.gguf import read_header
from thimble.lens.probes import draw

STORIES = [
    "The kind duck swam. 7 balls & 2 sticks! The kind duck swam. 7 balls & 2 sticks!",
    "Mia had a red boat, Sam. Mia had a red boat, Sam. Mia had a red boat, Sam.",
]


@pytest.fixture(scope="module")
def known() -> thimble.Model:
    return load(induction_model.make())


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    return load(make(SPECS["q8_0"]))


def test_the_known_heads_are_found(known: thimble.Model) -> None:
    scores = lens.detect_heads(known, samples=2)
    for kind, layer, head, least in (
        ("previous_token", 0, 0, 0.95), ("induction", 1, 1, 0.95), ("duplicate_token", 0, 1, 0.4),
    ):  # fmt: skip
        best = scores.best(kind)
        assert best[:2] == (layer, head) and least < best[2] <= 1.0, kind
        others = [s for i, row in enumerate(getattr(scores, kind)) for j, s in enumerate(row)
                  if (i, j) != (layer, head)]  # fmt: skip
        assert max(others) < 0.1
    assert lens.detect_heads(known, samples=2) == scores
    with pytest.raises(thimble.OptionError, match="length is 64; 2 to 63 fit"):
        lens.detect_heads(known, length=64)


def test_without_its_circuit_the_known_model_no_longer_repeats(known: thimble.Model) -> None:
    drawn = draw(list(range(33, 127)), 20, 5)
    tokens = [200, *drawn, *drawn]

    def right(hooks: Any) -> int:
        best = known.run_with_hooks(tokens, hooks).argmax(axis=1)
        return sum(int(best[at] == tokens[at + 1]) for at in range(21, 40))

    assert right([]) == 19
    assert right(lens.ablate_heads(known, [(1, 0)])) == 19
    assert right(lens.ablate_heads(known, [(1, 1)])) == 0
    assert right(lens.ablate_heads(known, [(0, 0)])) < 4


def test_heads_are_ranked_by_what_they_cost_to_be_without(known: thimble.Model) -> None:
    told: list[tuple[int, int]] = []
    ranking = lens.rank_heads(known, STORIES, progress=lambda *done: told.append(done))
    assert told == [(i, 10) for i in range(1, 11)]
    assert ranking.bits_per_byte == thimble.evaluate_text(known, STORIES).bits_per_byte
    assert {(e.layer, e.head) for e in ranking.heads[:2]} == {(0, 0), (1, 1)}
    for effect in ranking.heads:
        off = known.hooked(lens.ablate_heads(known, [(effect.layer, effect.head)]))
        assert effect.bits_per_byte == thimble.evaluate_text(off, STORIES).bits_per_byte
        assert effect.change == pytest.approx(effect.bits_per_byte - ranking.bits_per_byte)
    assert [e.change for e in ranking.heads if (e.layer, e.head) == (1, 0)] == [0.0]


def test_a_ranking_goes_step_by_step_and_is_cancelled_by_stopping(model: thimble.Model) -> None:
    steps = lens.rank_heads_steps(model, STORIES)
    assert next(steps) == (1, 18, None)
    assert next(steps) == (2, 18, None)
    steps.close()
    mean = lens.means(model, STORIES, lambda name: name.endswith("hook_z"))
    ranking = lens.rank_heads(model, STORIES[:1], mean=mean)
    assert len(ranking.heads) == 8
    with pytest.raises(thimble.OptionError, match="nothing to predict"):
        lens.rank_heads(model, [""])


def test_standing_hooks_count_in_a_ranking(model: thimble.Model) -> None:
    vector = lens.steering_vector(model, "Mia", "Sam", layer=1)
    steered = model.hooked(lens.steer(model, vector, layer=1, strength=3.0))
    ranking = lens.rank_heads(steered, STORIES[:1])
    assert ranking.bits_per_byte == thimble.evaluate_text(steered, STORIES[:1]).bits_per_byte
    worst = ranking.heads[0]
    off = steered.hooked(lens.ablate_heads(model, [(worst.layer, worst.head)]))
    assert worst.bits_per_byte == thimble.evaluate_text(off, STORIES[:1]).bits_per_byte


def test_patching_leads_back_where_the_circuit_is(known: thimble.Model) -> None:
    a, b, c = 40, 50, 60
    rest = [70, 71, 72, 73]
    clean, corrupted = [a, b, *rest, a], [a, c, *rest, a]
    told: list[int] = []
    heads = lens.patch_grid(known, clean, corrupted, b, against=c, site="attn.hook_z",
                            progress=lambda done, total: told.append(done))  # fmt: skip
    assert told == [1, 2, 3, 4]
    assert heads.clean > 1 and heads.corrupted < -1
    values = np.array(heads.values)
    assert values[1, 1] == pytest.approx(1.0, abs=0.02)
    assert np.abs(values[1, 0]) < 0.02 and np.abs(values[0, 1]) < 0.02
    stream = np.array(lens.patch_grid(known, clean, corrupted, b, against=c).values)
    assert stream.shape == (2, 7)
    assert stream[0, 1] == pytest.approx(1.0, abs=1e-6)  # the only token that differs
    assert stream[0, [0, 3, 6]] == pytest.approx([0.0] * 3, abs=1e-6)
    assert stream[1].argmax() == 1
    with pytest.raises(thimble.OptionError, match="7 tokens and the corrupted one 6"):
        lens.patch_grid(known, clean, corrupted[1:], b)
    with pytest.raises(thimble.OptionError, match="the same answer"):
        lens.patch_grid(known, clean, clean, b)


def test_the_logit_lens_ends_in_what_the_model_says(model: thimble.Model) -> None:
    found = lens.logit_lens(model, IDS, top=3)
    logits, cache = model.run_with_cache(IDS)
    assert len(found.cells) == 3 and len(found.cells[0]) == 40
    for at, cell in enumerate(found.cells[-1]):
        row = logits[at].astype(np.float64)
        logprobs = row - row.max() - math.log(np.exp(row - row.max()).sum())
        order = np.argsort(-row, kind="stable")[:3]
        assert [token for token, _ in cell.top] == order.tolist()
        assert cell.target == order[0] and cell.rank == 1
        assert cell.logprob == pytest.approx(logprobs[order[0]], abs=1e-6)
    # Half-way: the norm and the output matrix on the stream of the reference's formula.
    model32 = load(make(SPECS["f32"]))
    targets = [7] * 40
    found = lens.logit_lens(model32, IDS, targets=targets)
    _, cache = model32.run_with_cache(IDS)
    stream = cache["resid_post", 0].astype(np.float64)
    scale = np.sqrt((stream**2).mean(axis=1, keepdims=True) + model32.config.norm_eps)
    weights = lens.matrix(model32, "output_norm.weight")
    rows = stream / scale * weights @ lens.matrix(model32, "output.weight").T.astype(np.float64)
    for at, cell in enumerate(found.cells[1]):
        assert cell.top[0][0] == rows[at].argmax()
        assert cell.rank == 1 + (rows[at] > rows[at, 7]).sum()
    with pytest.raises(thimble.OptionError, match="1 targets for 40 tokens"):
        lens.logit_lens(model, IDS, targets=[1])


@pytest.mark.parametrize(("name", "most"), [("f32", 1e-4), ("q8_0", 0.1), ("f32-tied", 1e-4)])
def test_a_logit_is_the_sum_of_what_was_added(name: str, most: float) -> None:
    model = load(make(SPECS[name]))
    found = lens.logit_attribution(model, IDS)
    logits = model.run_with_hooks(IDS)[-1]
    assert found.token == logits.argmax() and found.value == pytest.approx(float(logits.max()))
    assert [part.label for part in found.parts] == [
        "embedding", *(f"L0H{h}" for h in range(4)), "MLP0", *(f"L1H{h}" for h in range(4)), "MLP1",
    ]  # fmt: skip
    assert abs(found.rest) < most
    other = lens.logit_attribution(model, IDS, 5, against=9, position=3)
    row = model.run_with_hooks(IDS)[3]
    assert other.value == pytest.approx(float(row[5]) - float(row[9]))
    assert abs(other.rest) < most
    with pytest.raises(thimble.OptionError, match="no position 40"):
        lens.logit_attribution(model, IDS, position=40)


def test_the_known_head_is_whose_logit_it_is(known: thimble.Model) -> None:
    tokens = [30, 40, 50, 70, 71, 40]
    found = lens.logit_attribution(known, tokens)
    assert found.token == 50
    assert max(found.parts, key=lambda part: part.value).label == "L1H1"
    direction = lens.token_direction(known, 50, against=60)
    reach = lens.project(known, tokens, direction)
    assert reach[1][5] > 10 * max(abs(reach[0][5]), 1.0)


def test_neurons_and_tokens_by_themselves(model: thimble.Model) -> None:
    text = "Mia had a little red boat."
    _, cache = model.run_with_cache(text)
    values = cache["post", 1][:, 17]
    found = lens.exciting_tokens(model, [text, "Sam"], layer=1, neuron=17, most=3)
    assert len(found) == 3
    mine = next(one for one in found if one.text == 0)
    assert mine.value == values[mine.position] and cache.tokens[mine.position] == mine.token
    sizes = [abs(one.value) for one in found]
    assert sizes == sorted(sizes, reverse=True)

    exact = load(make(SPECS["f32"]))
    written = lens.neuron_writes(exact, layer=1, neuron=17, most=4)
    column = lens.matrix(exact, "blk.1.ffn_down.weight")[:, 17]
    column = column * lens.matrix(exact, "output_norm.weight")
    logits = lens.matrix(exact, "output.weight") @ column
    assert [token for token, _ in written.promoted] == np.argsort(-logits)[:4].tolist()
    assert [token for token, _ in written.suppressed] == np.argsort(logits)[:4].tolist()
    near = lens.similar_tokens(exact, 70, most=5)
    rows = lens.matrix(exact, "token_embd.weight").astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows[70]
    assert [token for token, _ in near] == np.argsort(-cosines)[1:6].tolist()
    both = lens.similarities(exact, [70, 71])
    assert both[0][1] == both[1][0] == pytest.approx(cosines[71], abs=1e-6)
    with pytest.raises(thimble.OptionError, match=r"no tensor 'blk\.7'"):
        lens.matrix(exact, "blk.7")


def test_a_report_is_json_that_names_the_known_heads(known: thimble.Model) -> None:
    made = json.loads(json.dumps(lens.report(known, STORIES)))
    jobs = {(head["layer"], head["head"]): head["jobs"] for head in made["heads"]}
    assert jobs == {
        (0, 0): ["previous_token"], (0, 1): ["duplicate_token"], (1, 0): [], (1, 1): ["induction"],
    }  # fmt: skip
    assert made["bits_per_byte"] == thimble.evaluate_text(known, STORIES).bits_per_byte


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "f16", "bf16"])
def test_rounding_is_at_most_what_is_said(name: str) -> None:
    spec = SPECS[name]
    stored, exact = load(make(spec)), load(make(dataclasses.replace(spec, tensor_type="F32")))
    for tensor in ("blk.0.attn_q.weight", "blk.1.ffn_down.weight"):
        moved = np.abs(lens.matrix(stored, tensor) - lens.matrix(exact, tensor)).astype(np.float64)
        most = lens.rounding(stored, tensor)
        assert most.shape == moved.shape
        # Scales are halves themselves, and Q4_0's largest number lies a step away from the other's.
        slack = {"q8_0": 1.1, "q4_0": 2.1}.get(name, 1.0)
        assert (moved <= slack * most + 1e-9).all()
        assert moved.mean() > 0.3 * most.mean()


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
@pytest.mark.parametrize("name", ["phi3", "gpt2", "lfm2", "olmoe", "mamba2", "qwen35"])
def test_every_tensor_of_a_file_can_be_looked_at(name: str, kind: str) -> None:
    """Also one that is several in memory, or holds all experts."""
    data = converted(name, kind)
    model = load(data)
    for tensor in read_header(data, file_size=len(data)).tensors:
        raw = memoryview(data)[tensor.offset : tensor.offset + tensor.nbytes]
        expected = dequantize(raw, tensor.type, tensor.shape)
        np.testing.assert_array_equal(lens.matrix(model, tensor.name), expected, tensor.name)
        shown, moved, every = lens.sampled(model, tensor.name, 1 << 20)
        assert every == 1 and len(shown) == len(moved) == expected.size


def test_a_layer_without_neurons_says_so() -> None:
    with pytest.raises(thimble.OptionError, match="layer 1 of model 'olmoe' has no neurons"):
        lens.neuron_writes(load(converted("olmoe", "q8_0")), layer=1, neuron=3)
