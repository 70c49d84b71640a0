"""Recipes and receipts that lie, adapters' files, and options as a link or a page's code brings
them: read, and put to use as far as that takes no training."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Any

from tests.fuzz.fuzz_gguf import Seed, fields, mutate
from tests.fuzz.kinds import Case, mutate_json, outcome
from tests.tiny_adapters import make_adapter
from tests.tiny_models import SPECS
from tests.tiny_models import make as make_model
from thimble.adapter import Adapter, read_adapter
from thimble.browser.options import asked, sampling
from thimble.browser.train import read_recipe
from thimble.chat import check_messages
from thimble.errors import ThimbleError
from thimble.json_text import parse_json
from thimble.loader import ModelLoader
from thimble.model import Model
from thimble.session import Session
from thimble.train.receipt import Claim
from thimble.train.recipe import MOST_STEP_TOKENS, Recipe

HASH = "ab" * 32


@functools.cache
def recipes() -> tuple[bytes, ...]:
    """With the dial, with a shape's numbers, and one that tunes."""
    tuned = {"lora_rank": 4, "lora_alpha": 8, "optimizer": "adamw", "base_sha256": HASH}
    whole = Recipe(dim=64, n_layers=2, n_heads=2, n_kv_heads=2).to_dict()
    return tuple(json.dumps(one).encode() for one in ({"size": 0.05}, whole, tuned))


@functools.cache
def receipts() -> tuple[bytes, ...]:
    made = {
        "receipt": 1, "promise": "bits", "thimble": "0.1.0", "recipe": json.loads(recipes()[1]),
        "data": {"sha256": HASH, "bytes": 5}, "heldout": {"sha256": HASH},
        "tokenizer": {"sha256": HASH, "tokens": 256}, "kernels": {"sha256": HASH, "low_rank": HASH},
        "steps": 4, "tokens": 8192, "weights": {"sha256": HASH, "count": 9},
        "curve": [
            {"step": 1, "loss": 5.5, "grad_norm": 1.0, "lr": 0.01, "weights": HASH},
            {"step": 4, "loss": 5.0, "grad_norm": 0.5, "lr": 0.0},
        ],
        "model": {"sha256": HASH, "type": "q8_0"},
    }  # fmt: skip
    tuned = {**made, "recipe": json.loads(recipes()[2])}
    return tuple(json.dumps(one).encode() for one in (made, tuned))


def make_recipe(rng: random.Random) -> Case:
    return {"": mutate_json(rng, rng.choice(recipes()))}


def check_recipe(case: Case, scratch: Path) -> str:
    """What is read is a run that can be, and is the same when read again."""
    try:
        recipe = read_recipe(case[""].decode("utf-8", "replace"))
    except ThimbleError as error:
        return outcome(error)
    assert recipe.micro_tokens * recipe.micro_batches <= MOST_STEP_TOKENS
    written = recipe.to_dict()
    assert Recipe.from_dict(json.loads(json.dumps(written))).to_dict() == written
    return "read"


def make_receipt(rng: random.Random) -> Case:
    return {"": mutate_json(rng, rng.choice(receipts()))}


def check_receipt(case: Case, scratch: Path) -> str:
    try:
        claim = Claim.read(parse_json(case[""], "the receipt"))
    except ThimbleError as error:
        return outcome(error)
    assert 0 < claim.steps <= claim.recipe.steps
    return "read"


@functools.cache
def adapters() -> tuple[Seed, ...]:
    made = [
        make_adapter(SPECS["f32"], rank=rank, type=type) for rank, type in ((3, "F32"), (8, "F16"))
    ]
    return tuple((data, tuple(fields(data))) for data in made)


@functools.cache
def model() -> Model:
    data = make_model(SPECS["f32"])
    loader = ModelLoader(len(data))
    loader.feed(data)
    return loader.finish()


def make_adapter_file(rng: random.Random) -> Case:
    model()  # before any limit of memory
    return {"": mutate(rng, adapters(), other_seeds=adapters())}


def check_adapter(case: Case, scratch: Path) -> str:
    """Put it on a model, and ask for logits."""
    try:
        adapter = Adapter(model(), read_adapter(case[""]), 1.0)
    except ThimbleError as error:
        return outcome(error)
    try:
        adapter.put_on()
        session = Session(model(), 8)
        session.append([1, 2, 3])
        session.logits()
    except ThimbleError as error:
        return outcome(error)
    finally:
        adapter.close()
    return "ran"


OPTIONS: tuple[dict[str, Any], ...] = (
    {
        "temperature": 0.5,
        "top_k": 40,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["a", "b"],
        "logprobs": True,
    },
    {"logit_bias": {"5": -100, "6": 3.5}, "max_tokens": 9, "top_logprobs": 4, "min_p": 0.1},
    {"grammar": {"kind": "regex", "source": "a{2,5}b?"}, "repetition_penalty": 1.1, "stop": "x"},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
)


def make_options(rng: random.Random) -> Case:
    return {"": mutate_json(rng, json.dumps(rng.choice(OPTIONS)).encode())}


def check_options(case: Case, scratch: Path) -> str:
    try:
        given = asked(case[""].decode("utf-8", "replace"))
        if isinstance(given, dict) and "messages" in given:
            check_messages(given["messages"])
        elif isinstance(given, dict):
            sampling(given)
        return "read"
    except ThimbleError as error:
        return outcome(error)
