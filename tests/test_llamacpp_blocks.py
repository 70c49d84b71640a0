"""Models of every encoding, and of mixes, against what llama.cpp computed (`record_blocks.py`)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thimble
from tests.tiny_blocks import NAMES, make_blocks
from thimble.reference import ReferenceModel

BY_32 = ("Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4", "NVFP4", "Q1_0", "Q2_0")
"""Types whose products llama.cpp, too, computes with a scale of activations for each 32."""
HERE = Path(__file__).parent / "vectors"
RECORDED: dict[str, Any] = json.loads((HERE / "blocks.json").read_text())
LOGITS = np.load(HERE / "blocks.npz")


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_as_near_to_exact_ones_as_llamacpps(name: str) -> None:
    """Both round activations to 8 bits: we with a scale for each 32, llama.cpp's K types for each
    256, so that neither is a measure of the other; exact arithmetic is of both."""
    data = make_blocks(name)
    sha256 = RECORDED["models"][name]["sha256"]
    assert hashlib.sha256(data).hexdigest() == sha256, "not the file that was recorded"
    loader = thimble.ModelLoader(len(data))
    loader.feed(data)
    session = loader.finish().session()
    found = []
    for token in RECORDED["ids"]:
        session.append([token])
        found.append(session.logits())
    positions = RECORDED["positions"]
    ours = np.array([found[p] for p in positions])
    exact = ReferenceModel(data).logits(RECORDED["ids"])[positions]
    error, peer_error = (np.sqrt(np.mean((x - exact) ** 2)) for x in (ours, LOGITS[name]))
    assert error < 1.5 * peer_error + 1e-5
    off = np.abs(ours - LOGITS[name]).max() / LOGITS[name].std()
    assert off < (0.08 if name in BY_32 else 0.4)
