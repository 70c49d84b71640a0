"""The engine against what llama.cpp computed (`vectors/record_llamacpp.py` says how)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thimble
from tests.tiny_models import SPECS, make
from thimble.reference import ReferenceModel

HERE = Path(__file__).parent / "vectors"
RECORDED: dict[str, Any] = json.loads((HERE / "llamacpp.json").read_text())
LOGITS = np.load(HERE / "llamacpp.npz")

# How far a logit may be off, the logits being about 6 wide. llama.cpp rounds the activations of F16
# and BF16 products to 16 bits; we do not. Both round those of quantized products to 8 bits, but it
# keeps their scales in half precision, so that now and then one falls to the other side of a half.
TOLERANCE = {"F32": 2e-4, "F16": 1e-2, "BF16": 5e-2, "Q8_0": 0.2, "Q4_0": 0.2}


def load(data: bytes) -> thimble.Model:
    loader = thimble.ModelLoader(len(data))
    loader.feed(data)
    return loader.finish()


def stories() -> bytes:
    path = Path(__file__).parents[2] / "shared" / "models" / "stories260K.gguf"
    if not path.exists():
        pytest.skip("needs ../shared/models/stories260K.gguf, a model that is not ours to ship")
    return path.read_bytes()


@pytest.mark.parametrize("name", ["stories260K", *SPECS])
def test_logits_agree(name: str) -> None:
    data = stories() if name == "stories260K" else make(SPECS[name])
    record = RECORDED["models"][name]
    assert hashlib.sha256(data).hexdigest() == record["sha256"], "not the file that was recorded"
    session = load(data).session()
    found = []
    for token in record["ids"]:
        session.append([token])
        found.append(session.logits())
    ours = np.array([found[p] for p in record["positions"]])
    kind = "F32" if name == "stories260K" else SPECS[name].tensor_type
    difference = np.abs(ours - LOGITS[name]).max()
    assert difference < TOLERANCE[kind], difference
    exact = ReferenceModel(data).logits(record["ids"])[record["positions"]]
    error, peer_error = (np.sqrt(np.mean((x - exact) ** 2)) for x in (ours, LOGITS[name]))
    assert error < 1.5 * peer_error + 1e-5, "much further from exact arithmetic"


@pytest.mark.parametrize("case", RECORDED["greedy"], ids=lambda case: case["prompt"] or "(none)")
def test_greedy_tokens_of_stories260k_are_equal(case: dict[str, Any]) -> None:
    model = load(stories())
    assert model.tokenizer.encode(case["prompt"]) == case["prompt_ids"]
    params = thimble.SamplingParams(temperature=0, max_tokens=len(case["ids"]))
    chunks = list(model.session().generate(case["prompt"], params))
    assert [chunk.id for chunk in chunks] == case["ids"]
    assert len(chunks) == 200
