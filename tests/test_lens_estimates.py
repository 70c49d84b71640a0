"""What gradients say of changes inside a model: to first order what the changes do."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thimble
from tests.test_lens_analysis import STORIES
from tests.test_session import load
from tests.tiny_folders import converted
from tests.tiny_models import SPECS, make
from thimble import lens

ROOT = Path(__file__).parents[1]
CLEAN, CORRUPTED = [5, 40, 70, 71, 72, 40, 9], [5, 41, 70, 71, 72, 41, 9]
NUDGE = 1 / 256
"""Of a change: so small that nothing bends, and large beside the rounding of float32."""


@pytest.fixture(scope="module", params=["llama", "gemma2", "gptneox", "lfm2", "olmoe"])
def model(request: pytest.FixtureRequest) -> thimble.Model:
    """Of floats, so that a small change is not rounded away."""
    return load(converted(request.param, "f32"))


def nudged(model: thimble.Model, name: str, part: Any) -> float:
    """What a small step from the corrupted value to the clean one does to the answer, in whole
    steps, by running it forth and back."""
    _, clean = model.run_with_cache(CLEAN, name)
    step = np.array(clean[name])

    def answer(sign: float) -> float:
        def towards(value: Any, _hook: Any) -> None:
            value[part] += sign * NUDGE * (step[part] - value[part])

        logits = model.run_with_hooks(CORRUPTED, [(name, towards)])[-1]
        return float(logits[40] - logits[41])

    return (answer(1.0) - answer(-1.0)) / (2 * NUDGE)


@pytest.mark.parametrize("site", ["attn.hook_z", "hook_resid_pre", "hook_mlp_out"])
def test_a_small_step_does_what_is_estimated(model: thimble.Model, site: str) -> None:
    found = lens.attribution_patching(model, CLEAN, CORRUPTED, 40, against=41, site=site)
    measured = lens.patch_grid(model, CLEAN, CORRUPTED, 40, against=41, site=site)
    assert found.clean == pytest.approx(measured.clean, rel=1e-5, abs=1e-5)
    assert found.corrupted == pytest.approx(measured.corrupted, rel=1e-5, abs=1e-5)
    apart = found.clean - found.corrupted
    names = lens.site_names(model.config)
    for layer, column in ((0, 1), (1, 2), (model.config.n_layers - 1, 0)):
        name = f"blocks.{layer}.{site}"
        if name not in names:
            assert found.values[layer][column] == 0.0
            continue
        part = (slice(None), column) if site == "attn.hook_z" else (column,)
        wanted = nudged(model, name, part)
        assert found.values[layer][column] * apart == pytest.approx(wanted, rel=0.02, abs=2e-4)


def test_heads_turned_down_a_little_cost_what_is_estimated() -> None:
    model = load(converted("llama", "f32"))
    texts = [STORIES[0]]
    ranking = lens.attribution_ranking(model, texts)
    assert ranking.bits_per_byte == pytest.approx(
        thimble.evaluate_text(model, texts).bits_per_byte, rel=1e-6
    )
    assert [e.change for e in ranking.heads] == sorted(
        (e.change for e in ranking.heads), reverse=True
    )
    for effect in ranking.heads:
        unit = (effect.layer, effect.head)
        costs = [
            thimble.evaluate_text(
                model.hooked(lens.scale_heads(model, {unit: factor})), texts
            ).bits_per_byte
            for factor in (1 - NUDGE, 1 + NUDGE)
        ]
        assert effect.change == pytest.approx((costs[0] - costs[1]) / 2 / NUDGE, rel=0.03, abs=1e-4)


def ranks(grid: lens.PatchGrid) -> Any:
    return np.argsort(np.argsort(np.ravel(grid.values)))


def test_estimated_heads_of_the_story_model_rank_as_measured_ones() -> None:
    """Over twenty pairs of prompts; the goal is 0.9."""
    model = thimble.load(ROOT / "web" / "models" / "story.gguf")
    names = ("Lucy", "Lily", "Tom", "Ben", "Mia", "Sam", "Max", "Tim")
    prompts = itertools.cycle((
        'Once upon a time, there was a girl named {}. Her mom said, "Come here,',
        "One day {} went to the park. The sun was hot. Then",
        "There was a boy named {}. He had a red ball. One day,",
        '{} and Mom went to the store. Mom said, "Look,',
    ))  # fmt: skip
    found: list[float] = []
    for one, other in itertools.permutations(names, 2):
        prompt = next(prompts)
        ids = [model.tokenizer.encode(prompt.format(name)) for name in (one, other)]
        answers = [
            model.tokenizer.encode(f" {name}", add_special=False)[0] for name in (one, other)
        ]
        if len(ids[0]) != len(ids[1]) or answers[0] == answers[1]:
            continue
        asked: dict[str, Any] = {"against": answers[1], "site": "attn.hook_z"}
        measured = lens.patch_grid(model, ids[0], ids[1], answers[0], **asked)
        estimated = lens.attribution_patching(model, ids[0], ids[1], answers[0], **asked)
        found.append(float(np.corrcoef(ranks(measured), ranks(estimated))[0, 1]))
        if len(found) == 20:
            break
    assert len(found) == 20
    assert sum(found) / len(found) >= 0.9


def test_what_cannot_be_estimated_is_said() -> None:
    model = load(make(SPECS["q8_0"]))
    ask = lens.attribution_patching
    with pytest.raises(thimble.OptionError, match="equally long"):
        ask(model, CLEAN, CORRUPTED[1:], 40)
    with pytest.raises(thimble.OptionError, match="the same answer"):
        ask(model, CLEAN, CLEAN, 40)
    with pytest.raises(thimble.OptionError, match=r"attn\.hook_result' has no gradient"):
        ask(model, CLEAN, CORRUPTED, 40, site="attn.hook_result")
    changed = model.hooked(lens.ablate_heads(model, [(0, 0)]))
    with pytest.raises(thimble.OptionError, match="hooks stand on the model"):
        ask(changed, CLEAN, CORRUPTED, 40)
    with pytest.raises(thimble.OptionError, match="hooks stand on the model"):
        lens.attribution_ranking(changed, STORIES)
    with pytest.raises(thimble.UnsupportedError, match="is an encoder"):
        ask(load(converted("gemma-embedding", "f32")), CLEAN, CORRUPTED, 40)
    with pytest.raises(thimble.OptionError, match="nothing to predict"):
        lens.attribution_ranking(model, [""])
