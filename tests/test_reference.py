"""The reference model against llama.cpp, whose logits are recorded in `tests/vectors/`.

Two things make llama.cpp differ from exact arithmetic. It computes in float32: that is worth some
1e-6 here. And it rounds the input of a matrix product to the matrix's own kind of numbers: to F16
and BF16, or for Q8_0 and Q4_0 to 8 bits with an F16 scale for each block of 32. That is worth up
to 0.24 on logits whose standard deviation is 1.5, so a tolerance that allows for it would hide
mistakes. `RoundingAsLlamaCpp` below rounds as it does; then most positions agree to 1e-6. Where a
float32 sum falls to the other side of a rounding step, that position and those that attend to it
differ by one step of one activation, which is what `SLIP` allows for.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny_models import SPECS, TinySpec, make
from thimble.errors import FormatError, OptionError
from thimble.gguf import read_header
from thimble.plan import compile_plan
from thimble.reference import ReferenceModel, round_activations

VECTORS = Path(__file__).parent / "vectors"
STORIES = Path(__file__).parents[2] / "shared" / "models" / "stories260K.gguf"
needs_stories = pytest.mark.skipif(not STORIES.exists(), reason=f"there is no {STORIES}")

FLOAT32 = 2e-5
"""Largest difference by float32 arithmetic alone; 7e-6 was measured."""
SLIP = {"F16": 0.005, "BF16": 0.05, "Q8_0": 0.2, "Q4_0": 0.2}
"""Largest difference where an activation was rounded to the other side; half was measured."""
ROUNDING = {"F16": 0.01, "BF16": 0.1, "Q8_0": 0.4, "Q4_0": 0.4}
"""Largest difference where only llama.cpp rounds activations; 0.005, 0.04, 0.24, 0.16 measured."""

Array = NDArray[np.float64]


@functools.cache
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / "llamacpp.json").read_text(encoding="utf-8"))
    return found


def vectors(name: str, data: bytes) -> tuple[list[int], list[int], NDArray[np.float32]]:
    """Return the ids that llama.cpp was given, and its logits behind some positions."""
    record = recorded()["models"][name]
    assert hashlib.sha256(data).hexdigest() == record["sha256"], (
        f"the model {name!r} is not the one whose logits were recorded: "
        "was tests/tiny_models.py changed, or is gguf not 0.19.0?"
    )
    with np.load(VECTORS / "llamacpp.npz") as arrays:
        return record["ids"], record["positions"], arrays[name]


class RoundingAsLlamaCpp(ReferenceModel):
    """The reference model with the input of matrix products rounded as in llama.cpp."""

    def __init__(self, source: bytes) -> None:
        super().__init__(source)
        self.types = {t.name: t.type.name for t in read_header(source).tensors}

    def matmul(self, x: Array, weight: str) -> Array:
        return super().matmul(rounded(x.astype(np.float32), self.types[weight]), weight)


def rounded(x: NDArray[np.float32], kind: str) -> Array:
    if kind == "F16":
        return x.astype(np.float16).astype(np.float64)
    if kind == "BF16":
        bits = np.ascontiguousarray(x).view(np.uint32)
        upper = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(
            16
        )
        floats: NDArray[np.float32] = (upper << np.uint32(16)).view(np.float32)
        return floats.astype(np.float64)
    if kind in ("Q8_0", "Q4_0"):
        blocks = x.reshape(len(x), -1, 32)
        d = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
        q: Array = np.rint(blocks * (np.float32(1) / d)).astype(np.float64)
        return np.asarray(q * d.astype(np.float16), dtype=np.float64).reshape(x.shape)
    return x.astype(np.float64)


# Against llama.cpp


@pytest.mark.parametrize("name", [n for n in SPECS if SPECS[n].tensor_type == "F32"])
def test_float32_models_agree_with_llama_cpp(name: str) -> None:
    ids, positions, wanted = vectors(name, make(SPECS[name]))
    found = ReferenceModel(make(SPECS[name])).logits(ids)[positions]
    assert np.abs(found - wanted).max() < FLOAT32


@pytest.mark.parametrize("name", [n for n in SPECS if SPECS[n].tensor_type != "F32"])
def test_other_models_agree_with_llama_cpp_when_rounded_alike(name: str) -> None:
    ids, positions, wanted = vectors(name, make(SPECS[name]))
    found = RoundingAsLlamaCpp(make(SPECS[name])).logits(ids)[positions]
    difference = np.abs(found - wanted).max(axis=-1)  # [positions]
    assert difference.min() < FLOAT32
    assert difference.max() < SLIP[SPECS[name].tensor_type]


@pytest.mark.parametrize("name", [n for n in SPECS if SPECS[n].tensor_type != "F32"])
def test_other_models_agree_with_llama_cpp_up_to_its_rounding(name: str) -> None:
    ids, positions, wanted = vectors(name, make(SPECS[name]))
    found = ReferenceModel(make(SPECS[name])).logits(ids)[positions]
    assert np.abs(found - wanted).max() < ROUNDING[SPECS[name].tensor_type]


@needs_stories
def test_a_real_model_agrees_with_llama_cpp() -> None:
    ids, positions, wanted = vectors("stories260K", STORIES.read_bytes())
    found = ReferenceModel(STORIES).logits(ids)[positions]
    assert np.abs(found - wanted).max() < FLOAT32


@needs_stories
@pytest.mark.parametrize("number", range(4))
def test_the_likeliest_tokens_are_llama_cpps(number: int) -> None:
    record = recorded()["greedy"][number]
    # The closest choice has to be far above what float32 can turn around.
    assert record["smallest_margin"] > 100 * FLOAT32
    begin = len(record["prompt_ids"]) - 1
    logits = ReferenceModel(STORIES).logits(record["prompt_ids"] + record["ids"][:-1])
    assert logits[begin:].argmax(axis=-1).tolist() == record["ids"]
    assert len(record["ids"]) == 200


# Against itself


def test_later_tokens_change_nothing_before_them() -> None:
    model = ReferenceModel(make(SPECS["f32"]))
    short, long = model.logits([1, 2, 3]), model.logits([1, 2, 3, 4, 5])
    assert np.abs(long[:3] - short).max() < 1e-12


def test_positions_matter() -> None:
    model = ReferenceModel(make(SPECS["f32"]))
    assert np.abs(model.logits([1, 2, 3])[-1] - model.logits([2, 1, 3])[-1]).max() > 0.1


def test_rope_turns_both_kinds_of_pairs_alike() -> None:
    """The two kinds differ in which values form a pair, not in how it turns."""
    model = ReferenceModel(make(SPECS["f32"]))
    x = np.random.default_rng(0).standard_normal((5, 2, 16))
    apart = np.concatenate([x[..., 0::2], x[..., 1::2]], axis=-1)
    plan = compile_plan(model.config)
    op = next(op for op in plan.layers[0] if op.kind == "rope")
    op = op._replace(numbers={**op.numbers, "heads": 2})
    table = model.run([1, 2, 3, 4, 5])["rope"]
    (rotated,) = model.rope(op, x, table)
    op = op._replace(numbers={**op.numbers, "interleaved": 0})
    (apart_rotated,) = model.rope(op, apart, table)
    assert np.array_equal(
        np.concatenate([rotated[..., 0::2], rotated[..., 1::2]], -1), apart_rotated
    )
    assert np.allclose((rotated**2).sum(-1), (x**2).sum(-1))
    assert np.array_equal(rotated[0], x[0])


def test_grouped_heads_are_repeated_heads() -> None:
    """A model whose key heads are shared is one with copies of them."""
    model = ReferenceModel(make(SPECS["f32"]))
    wanted = model.logits([5, 6, 7, 8])
    c = model.config
    for layer in range(c.n_layers):
        for part in ("attn_k", "attn_v"):
            name = f"blk.{layer}.{part}.weight"
            heads = model.weights[name].reshape(c.n_kv_heads, c.head_dim, c.dim)
            model.weights[name] = heads.repeat(c.n_heads // c.n_kv_heads, axis=0).reshape(-1, c.dim)
    model.config = replace(c, n_kv_heads=c.n_heads)
    assert np.abs(model.logits([5, 6, 7, 8]) - wanted).max() < 1e-12


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "head64"])
def test_rounded_activations_stay_close(name: str) -> None:
    ids = list(range(20))
    exact = ReferenceModel(make(SPECS[name])).logits(ids)
    rounded_to_8_bits = ReferenceModel(make(SPECS[name]), activations="q8_0").logits(ids)
    assert 1e-4 < np.abs(exact - rounded_to_8_bits).max() < 0.4


def test_float_matrices_take_exact_activations() -> None:
    for name in ("f32", "f16", "bf16"):
        exact = ReferenceModel(make(SPECS[name])).logits([1, 2, 3])
        also = ReferenceModel(make(SPECS[name]), activations="q8_0").logits([1, 2, 3])
        assert np.array_equal(exact, also)


def test_activations_are_rounded_by_blocks_and_halves_to_even() -> None:
    x = np.zeros((2, 64))
    x[0, :6] = [127, 0.5, 1.5, 2.5, -0.5, -1.5]
    x[0, 32:34] = [2 * 127, 3.1]
    found = round_activations(x)
    assert found[0, :6].tolist() == [127, 0, 2, 2, 0, -2]
    assert found[0, 32:34].tolist() == [254, 4]
    assert not found[1].any()


def test_a_path_and_bytes_give_the_same_model(tmp_path: Path) -> None:
    data = make(TinySpec(seed=99))
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    assert np.array_equal(ReferenceModel(path).logits([1]), ReferenceModel(data).logits([1]))


def test_wrong_options_are_refused() -> None:
    model = ReferenceModel(make(SPECS["f32"]))
    for ids in ([], [-1], [model.config.n_vocab]):
        with pytest.raises(OptionError, match="ids are"):
            model.logits(ids)
    with pytest.raises(OptionError, match="q8_0"):
        ReferenceModel(make(SPECS["f32"]), activations="q4_0")
    with pytest.raises(FormatError, match="truncated"):
        ReferenceModel(make(SPECS["f32"])[:-5000])
