"""The recipe of a training run: what one is, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thimble.errors import OptionError
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 4}, "no 'n_layer'; did you mean 'n_layers'?"),
        ({"xyz": 4}, r"no 'xyz' \(it has title"),
        ({"size": 0.4}, "size is 0.4; it must be one of 0.05,"),
        ({"size": 0.37, "dim": 128}, "dim is 128, and size 0.37 makes it 96"),
        ({"steps": 10**12}, "steps is 1000000000000; it must be from 0 to 100,0"),
        ({"micro_batches": 2**53}, "micro_batches is 9007199254740992; it must be from 0 to 4,096"),
        ({"grad_clip": 10**400}, "grad_clip is 1000"),
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
