"""Gradients through plans: against finite differences and PyTorch for every architecture, and the
same bits for any number of threads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.fingerprint import load
from tests.gradient_fingerprint import fingerprint
from tests.random_blocks import random_blocks
from tests.test_product import BLOCKS, encode
from tests.tiny_folders import CONFIGS, ENCODERS, converted
from tests.vectors.record_gradients import RECORD, made
from thimble import grids
from thimble.backward import Backward, passed
from thimble.errors import OptionError, UnsupportedError
from thimble.kernel import Kernel, Scratch, default_kernel
from thimble.reference import ReferenceModel
from thimble.tensor_types import BF16, BIG, F16, F32, Q4_0, Q8_0, TensorType

N = 52
"""Tokens: more than the tests' windows and than queries that are looked at together."""
TOWARD = np.random.default_rng(5).standard_normal(1024).astype(np.float32)
Array = NDArray[np.float64]


def text(n_vocab: int) -> tuple[list[int], list[int]]:
    ids = [i * 7919 % n_vocab for i in range(N + 1)]
    targets = [-1 if i % 5 == 2 else target for i, target in enumerate(ids[1:])]
    return ids[:N], targets


def gradients(data: bytes) -> tuple[float, dict[str, bytes]]:
    model = load(data)
    backward = Backward(model, N)
    ids, targets = text(model.config.n_vocab)
    if model.config.features.causal:
        found = backward.loss(ids, targets, keep=passed(model.config))
    else:
        toward = TOWARD[: model.config.dim].tolist()
        vector = backward.vector(ids, toward, keep=passed(model.config))
        found = float(np.array(vector) @ TOWARD[: len(vector)])
    kept = backward.kept
    backward.close()
    model.close()
    return found, kept


def vector_of(values: dict[str, Any]) -> Any:
    return values["hook_vector" if "hook_vector" in values else "hook_pooled"][0]


def loss_of(values: dict[str, Array], targets: list[int]) -> float:
    """The loss of a text; of an encoder its vector's product with TOWARD."""
    if "logits" not in values:
        vector = vector_of(values)
        return float(vector @ TOWARD[: len(vector)])
    logits = values["logits"]
    top = logits.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return float(sum(log_sum[i] - logits[i, t] for i, t in enumerate(targets) if t >= 0))


@pytest.mark.parametrize("name", [*CONFIGS, *ENCODERS])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    data = converted(name, "f32")
    nats, found = gradients(data)
    reference = ReferenceModel(data)
    ids, targets = text(reference.config.n_vocab)
    base = reference.run(ids)
    assert nats == pytest.approx(loss_of(base, targets), rel=1e-5)
    rng = np.random.default_rng(3)
    compared = 0
    last = f"blocks.{reference.config.n_layers - 1}."
    for value, raw in found.items():
        if value.startswith("blocks.") and not value.startswith(last):
            continue  # PyTorch's test looks at the layers before
        if value not in base or value == last + "hook_resid_pre":
            continue
        gradient = np.frombuffer(raw, np.float32).astype(np.float64).reshape(base[value].shape)
        direction = rng.standard_normal(gradient.shape)
        direction += gradient * np.linalg.norm(direction) / (np.linalg.norm(gradient) + 1e-12)
        step = 1e-5 / np.abs(direction).max()
        ahead, behind = (
            loss_of(reference.run(ids, {value: base[value] + sign * step * direction}), targets)
            for sign in (1, -1)
        )
        slope = (ahead - behind) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=2e-3, abs=1e-6), (
            value
        )
        compared += 1
    assert compared >= 10


def of_pytorch(data: bytes) -> tuple[float, dict[str, Array]]:
    """The loss, and the gradient of every value, of a plan in PyTorch in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra `train`)")
    from tests.torch_plan import TorchPlan

    reference = ReferenceModel(data)
    ids, targets = text(reference.config.n_vocab)
    values = TorchPlan(reference, ids).run()
    if "logits" in values:
        loss = torch.nn.functional.cross_entropy(
            values["logits"], torch.tensor(targets), ignore_index=-1, reduction="sum"
        )
    else:
        vector = vector_of(values)
        loss = vector @ torch.from_numpy(TOWARD[: len(vector)]).double()
    loss.backward()
    found = {name: value.grad for name, value in values.items() if value is not None}
    return loss.item(), {name: grad.numpy() for name, grad in found.items() if grad is not None}


@pytest.mark.parametrize("name", [*CONFIGS, *ENCODERS])
def test_gradients_are_those_of_pytorch(name: str) -> None:
    data = converted(name, "f32")
    nats, found = gradients(data)
    loss, wanted = of_pytorch(data)
    assert nats == pytest.approx(loss, rel=1e-5)
    both = found.keys() & wanted.keys()  # a layer's input is there as what the one before left
    assert len(both) >= 0.9 * len(found)
    for value in both:
        gradient = np.frombuffer(found[value], np.float32).reshape(wanted[value].shape)
        most = np.abs(gradient - wanted[value]).max()
        assert most <= 2e-4 * np.abs(wanted[value]).max() + 1e-7, value


def quads(kernel: Kernel, kind: TensorType, rows: int, cols: int) -> Iterator[tuple[bytes, bytes]]:
    """Of each quad of a random matrix its rows, one by one and as a tile."""
    grids.ensure(kernel, (kind,))
    data = (
        random_blocks(kind, rows, cols, seed=7)
        if kind in BLOCKS
        else encode(np.random.default_rng(7).standard_normal((rows, cols)).astype(np.float32), kind)
    )
    tensor = kernel.call("tensor_new", kind.ggml_id, rows, cols)
    source, out = Scratch(kernel, len(data), "rows"), Scratch(kernel, 32 * cols, "floats")
    source.write(data)
    assert kernel.call("pack_rows", tensor, 0, rows, source.address) == 0
    for quad in range(rows // 4):
        for row in range(4):
            kernel.call("tensor_row", tensor, 4 * quad + row, out.address + 4 * cols * row)
        kernel.call("tensor_quad", tensor, quad, out.address + 16 * cols)
        yield kernel.read(out.address, 16 * cols), kernel.read(out.address + 16 * cols, 16 * cols)
    kernel.call("tensor_free", tensor)


@pytest.mark.parametrize("kind", [F32, F16, BF16, Q8_0, Q4_0, *BLOCKS], ids=lambda kind: kind.name)
def test_a_tile_of_weights_has_the_rows_bits(kind: TensorType) -> None:
    for rows, tile in quads(default_kernel(), kind, 20, 2 * BIG):
        assert (np.frombuffer(rows, np.float32) == np.frombuffer(tile, np.float32)).all()


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "f16"])
def test_quantized_weights_give_the_gradients_of_their_values(kind: str) -> None:
    """Up to what rounding activations to 8 bits does to the values on the way."""
    data = converted("qwen3", kind)
    _, found = gradients(data)
    _, wanted = of_pytorch(data)
    for value in found.keys() & wanted.keys():
        gradient = np.frombuffer(found[value], np.float32)
        apart = np.linalg.norm(gradient - wanted[value].ravel()) / np.linalg.norm(wanted[value])
        assert apart < (1e-3 if kind == "f16" else 0.06), (value, apart)


RECORDED: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RECORDED)
def test_gradients_have_the_recorded_bits_with_any_number_of_threads(name: str) -> None:
    data, kernel = made(name), default_kernel()
    for threads in (1, 2, 3, 7):
        kernel.call("threads", threads)
        try:
            assert fingerprint(data) == RECORDED[name], threads
        finally:
            kernel.call("threads", 1)


def test_the_lens_gives_gradients_by_their_names() -> None:
    model = load(converted("gemma3", "q8_0"))
    ids = [1, 5, 9, 3, 200]
    nats, cache = model.gradients(ids, ["blocks.3.hook_resid_pre", "blocks.0.attn.hook_q"])
    session = model.session()
    session.append(ids[:1])
    assert nats == pytest.approx(-sum(c.logprob for c in session.score(ids[1:])), rel=1e-5)
    session.close()
    assert np.array(cache["resid_pre", 3]).shape == (5, model.config.dim)
    assert np.abs(np.array(cache["blocks.0.attn.hook_q"])).max() > 0
    with pytest.raises(OptionError, match=r"'blocks.0.ln1.hook_scale' has no gradient"):
        model.gradients(ids, "blocks.0.ln1.hook_scale")
    with pytest.raises(OptionError, match=r"5 tokens with 1 targets"):
        model.gradients(ids, (), targets=[3])
    model.fwd_hooks = [("blocks.0.hook_resid_pre", lambda values, hook: None)]
    with pytest.raises(OptionError, match="hooks stand on the model"):
        model.gradients(ids)
    model.close()


def test_an_encoders_gradients_are_of_a_similarity() -> None:
    model = load(converted("gemma-embedding-dense", "f32"))
    toward = thimble.embed(model, ["a cat"])[0]
    ids = model.tokenizer.encode("the dog")
    found, cache = model.gradients(ids, "blocks.0.hook_resid_mid", toward=toward)
    own = thimble.embed(model, ["the dog"])[0]
    assert found == pytest.approx(float(np.array(own) @ np.array(toward)), abs=1e-5)
    first = "blocks.0.hook_resid_mid"
    gradient = np.array(cache[first])
    reference = ReferenceModel(converted("gemma-embedding-dense", "f32"))
    base = reference.run(ids)[first]
    slope = []
    for sign in (1, -1):
        vector = vector_of(reference.run(ids, {first: base + sign * 1e-5 * gradient}))
        slope.append(float(vector @ np.array(toward)) / np.linalg.norm(vector))
    assert (slope[0] - slope[1]) / 2e-5 == pytest.approx(float((gradient**2).sum()), rel=2e-3)
    with pytest.raises(OptionError, match="`toward` is for encoders"):
        model.gradients("the dog")
    with pytest.raises(UnsupportedError, match="is an encoder, which has no next tokens"):
        Backward(model, 4).loss([1, 2], [2, 3])
    with pytest.raises(OptionError, match=r"a direction of 2 numbers; 64 are right"):
        Backward(model, 4).vector([1, 2], [0.5, 0.5])
    model.close()
