"""A training run before PyTorch comes in: the recipe, the schedule, and rows of text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thimble.errors import OptionError
from thimble.train import schedule
from thimble.train.data import cut_story, epoch, fill_rows
from thimble.train.recipe import Recipe

SHIPPED = Path(__file__).parent.parent / "web" / "models" / "story.recipe.json"


def test_the_shipped_recipe_is_one() -> None:
    said = json.loads(SHIPPED.read_text(encoding="utf-8"))
    made = Recipe.read(SHIPPED).to_dict()
    assert {name: made[name] for name in said} == said
    assert Recipe.from_dict(made).to_dict() == made


def test_what_is_no_recipe_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    for text, message in (("[]", "holds a list"), ("{", "is no JSON")):
        path.write_text(text)
        with pytest.raises(OptionError, match=message):
            Recipe.read(path)


def test_a_plan_is_the_recipe_unless_a_file_says_otherwise(tmp_path: Path) -> None:
    recipe = Recipe(steps=100, decay_steps=30)
    assert schedule.Plan.read(recipe, tmp_path) == schedule.Plan(100, 70)
    (tmp_path / "plan.json").write_text('{"steps": 80}')
    assert schedule.Plan.read(recipe, tmp_path) == schedule.Plan(80, 50)
    (tmp_path / "plan.json").write_text('{"stop": 80}')
    with pytest.raises(OptionError, match="no 'stop'"):
        schedule.Plan.read(recipe, tmp_path)


def test_the_rate_falls_in_a_straight_line_and_its_end_can_be_moved() -> None:
    plan = schedule.Plan(steps=10, decay_start=6)
    level, levels = 1.0, []
    for step in range(10):
        level = schedule.lower(level, step, plan)
        levels.append(level)
    assert levels == pytest.approx([1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0.125])
    moved = schedule.lower(0.5, 8, schedule.Plan(steps=13, decay_start=6))
    assert moved == pytest.approx(0.4)


def test_rows_are_full_and_hold_every_story_token_once() -> None:
    pieces = [p for n in range(3, 90) for p in cut_story(range(1, n), 0, 32)]
    rows = fill_rows(pieces, 32)
    assert all(sum(len(piece) - 1 for piece in row) == 32 for row in rows)
    predicted = sum(len(piece) - 1 for piece in pieces)
    assert 0 <= predicted - 32 * len(rows) < 32
    first, again = (epoch(pieces, context=32, micro_tokens=64, seed=1, number=n) for n in (0, 0))
    other = epoch(pieces, context=32, micro_tokens=64, seed=1, number=1)
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.inputs, b.inputs) for a, b in zip(first, other, strict=False))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 4}, "no 'n_layer'; did you mean 'n_layers'?"),
        ({"xyz": 4}, r"no 'xyz' \(it has title"),
        ({"size": 0.4}, "size is 0.4; it must be one of 0.05,"),
        ({"size": 0.37, "dim": 128}, "dim is 128, and size 0.37 makes it 96"),
        ({"steps": 10**12}, "steps is 1000000000000; it must be at most"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; it must be one of muon, adamw"),
        ({"dropout": 1}, "dropout is 1"),
        ({"dim": 190}, "dim is 190"),
        ({"dim": "192"}, "dim is '192'"),
        ({"n_layers": True}, "n_layers is True"),
        ({"n_heads": 5}, "n_heads is 5"),
        ({"n_kv_heads": 2}, "n_kv_heads is 2"),
        ({"vocab_size": 255}, "vocab_size is 255"),
        ({"micro_tokens": 1000}, "micro_tokens is 1000"),
        ({"decay_steps": 9000}, "decay_steps is 9000"),
        ({"muon_lr": -1.0}, "muon_lr is -1.0"),
        ({"adam_beta1": 1.0}, "adam_beta1 is 1.0"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
    ],
)
def test_an_impossible_recipe_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Recipe.from_dict(change)
