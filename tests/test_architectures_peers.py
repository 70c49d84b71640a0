"""Every architecture against what transformers and llama.cpp compute with the same weights.

The models come through `thimble convert` from folders of Hugging Face's; the peers' logits over 64
positions are recorded (`vectors/record_architectures.py` says how). Both peers computed in float32.
llama.cpp takes GELU from a table in half precision, and rounds the activations of F16 and Q8_0
products, which transformers does not do.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.fingerprint import load
from tests.tiny_folders import CONFIGS, WITHOUT_LLAMA_CPP, converted, recorded
from tests.vectors.record_architectures import STEP, STEPS, load_arrays
from thimble.errors import ThimbleError
from thimble.gguf import read_header
from thimble.kernel import default_kernel
from thimble.model_config import config_from_header
from thimble.reference import ReferenceModel

Floats = NDArray[np.float32]

TOLERANCE = {"f32": 1e-4, "f16": 4e-2, "q8_0": 0.6}
"""How far a logit may be from a peer's, the logits being 6 to 14 wide."""
TYPICAL = {"f32": 1e-5, "f16": 5e-3, "q8_0": 6e-2}
"""How far they may be on the whole, by the root mean square and in parts of the logits' own."""
TABLE = 1e-2
"""What llama.cpp's GELU, a table in half precision, may be worth; 5e-3 was measured."""
WIDER = {"smollm3": 1.3, "olmoe": 1.6, "ernie4_5": 1.3, "granitemoe": 1.6, "qwen35": 1.3}
"""How much more is right where scores are so far apart that llama.cpp is 0.71 away itself, or where
rounding lets a router choose another expert, or moves a state for good: llama.cpp is 0.93 and 0.95
away there."""
ARCHITECTURE = "general.architecture"
GELU = (
    "gemma", "gemma2", "gemma3", "gpt2", "gptneox", "gptneox-serial", "starcoder2", "phi2",
)  # fmt: skip


def logits(model: thimble.Model, ids: list[int]) -> Floats:
    session = model.session()
    found = []
    for token in ids:
        session.append([token])
        found.append(session.logits())
    session.close()
    return np.array(found)


@functools.cache
def peers() -> dict[str, Floats]:
    return load_arrays()


def peer(name: str) -> Floats:
    return peers()[name]


def away(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.abs(a - b).max())


def typical(found: Floats, wanted: Floats) -> float:
    return float(np.sqrt(np.mean((found - wanted) ** 2)) / np.std(wanted))


@pytest.mark.parametrize("kind", TOLERANCE)
@pytest.mark.parametrize("name", CONFIGS)
def test_logits_are_the_peers(name: str, kind: str) -> None:
    ids = recorded()["models"][name]["ids"]
    model = load(converted(name, kind))
    found = logits(model, ids)
    model.close()
    original, ours = peer(f"transformers/{name}"), found[:, ::STEP]
    assert ours.shape == original.shape
    assert len(ids) == 64
    tolerance = TOLERANCE[kind] * WIDER.get(name, 1.0)
    assert away(ours, original) < tolerance
    assert typical(ours, original) < TYPICAL[kind] * WIDER.get(name, 1.0)
    if kind == "f32":
        assert away(found, ReferenceModel(converted(name, kind)).logits(ids)) < tolerance
    if name in WITHOUT_LLAMA_CPP:
        return
    other = peer(f"llama.cpp/{name}/{kind}")
    rounded = STEPS["f32"] / math.sqrt(12) / float(np.std(original))  # as they were recorded
    assert typical(ours, original) < 1.2 * typical(other, original) + 1e-6 + rounded
    table = TABLE if name in GELU else 0.0
    assert away(ours, other) < tolerance + table


@pytest.mark.parametrize("name", CONFIGS)
def test_batches_and_threads_leave_the_bits_alone(name: str) -> None:
    ids = recorded()["models"][name]["ids"]
    kernel = default_kernel()
    model = load(converted(name, "q8_0"))
    one_by_one = logits(model, ids)[-1].tobytes()
    try:
        for threads in (1, 2, 3):
            kernel.call("threads", threads)
            session = model.session()
            session.append(ids)
            assert session.logits().tobytes() == one_by_one, threads
            session.close()
    finally:
        kernel.call("threads", 1)
    model.close()


@pytest.mark.parametrize("name", [n for n in CONFIGS if n.startswith("gemma")][1:])
def test_layers_with_a_window_see_no_further(name: str) -> None:
    """What a token further back than all windows together was changes nothing without the layers
    that see everything, and something with them."""
    ids = recorded()["models"][name]["ids"]
    exact = ReferenceModel(converted(name, "f32"))
    n_layers = exact.config.n_layers
    wide = replace(exact.config.features, window=4, sliding_window_pattern=0)
    exact.config = replace(exact.config, features=wide)
    other = [ids[0] ^ 1, *ids[1:]]
    far = 1 + n_layers * 3
    assert away(exact.logits(ids)[far:], exact.logits(other)[far:]) == 0.0
    model = load(converted(name, "f32"))
    assert away(logits(model, ids)[-1:], logits(model, other)[-1:]) > 0.0
    model.close()


def test_phi3_is_a_llama_with_its_matrices_together() -> None:
    """So all that is done with llama models is done with it."""
    ids = recorded()["models"]["phi3"]["ids"][:8]
    model = load(converted("phi3", "f32"))
    found, cache = model.run_with_cache(ids)
    assert away(np.array(found), logits(model, ids)) == 0.0
    assert "blocks.1.attn.hook_pattern" in cache
    model.close()


@pytest.mark.parametrize("name", [
    "gemma2", "gemma3", "phi3-long", "gpt2", "gptneox", "smollm3", "qwen3-yarn", "lfm2", "olmoe",
    "mamba2", "minicpm", "granitemoe", "granitehybrid-moe", "falcon-h1",
    "qwen35", "llama4",
])  # fmt: skip
def test_junk_in_a_architectures_keys_is_refused_or_harmless(name: str) -> None:
    header = read_header(converted(name, "q8_0"))
    own = [key for key in header.metadata if key.startswith(f"{header.metadata[ARCHITECTURE]}.")]
    refused = 0
    for key in own:
        for junk in (None, True, 0, -1, 1 << 40, 0.0, -2.5, math.nan, math.inf, "x", [], [7, 8]):
            metadata = {k: v for k, v in header.metadata.items() if k != key}
            if junk is not None:
                metadata[key] = junk
            try:
                config_from_header(replace(header, metadata=metadata))
            except ThimbleError:
                refused += 1
    assert refused > 6 * len(own)
