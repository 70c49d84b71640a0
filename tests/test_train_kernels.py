"""The training kernels: gradients against PyTorch's and against differences, and the same bits
whatever computes them."""

from __future__ import annotations

import dataclasses
import itertools
import random
from array import array
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import build_kernels
from thimble.errors import NumericError, OptionError
from thimble.kernel import CKernel, Kernel, Scratch, default_kernel
from thimble.train.network import WEIGHTS, Batch, Network, Rates, tensors
from thimble.train.recipe import Recipe

SMALL = Recipe(
    vocab_size=261, dim=64, n_layers=2, n_heads=4, n_kv_heads=2, hidden=96, context=64,
    micro_tokens=192,
)  # fmt: skip
RATES = Rates(
    clip=1.0, adam_rate=0.01, adam_beta1=0.9, adam_beta2=0.95, adam_grow1=10.0, adam_grow2=20.0,
    adam_decay=0.1, muon_rate=0.02, muon_momentum=0.95, muon_decay=0.1,
)  # fmt: skip


def batch_of(recipe: Recipe, lengths: tuple[int, ...], seed: int = 1) -> Batch:
    """Random tokens in segments of these lengths; some places have no target."""
    rng = random.Random(seed)
    n = sum(lengths)
    ids = array("i", [rng.randrange(recipe.vocab_size) for _ in range(n)])
    targets = array("i", [rng.randrange(-20, recipe.vocab_size) for _ in range(n)])
    starts = array("i", [0])
    for length in lengths:
        starts.append(starts[-1] + length)
    return Batch(ids, targets, starts)


LENGTHS = (64, 1, 50, 7, 3, 49, 18)


def made(recipe: Recipe, kernel: Kernel | None = None, seed: int = 3) -> Network:
    """A network whose weights are all random, those too that begin at zero."""
    network = Network(recipe, kernel or default_kernel())
    network.start(seed, recipe.embedding_std)
    rng = np.random.default_rng(seed)
    weights = np.frombuffer(network.read(WEIGHTS), np.float32).copy()
    weights += 0.05 * rng.standard_normal(weights.size, np.float32)
    network.write(WEIGHTS, weights.tobytes())
    network.settle(exact=True)
    return network


def gradients(network: Network, batch: Batch) -> NDArray[np.float64]:
    network.learn(batch, 1.0, 0)
    found = np.array(network.gradients(), np.float64)
    network.forget()
    return found


def by_name(recipe: Recipe, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    found, at = {}, 0
    for name, shape in tensors(recipe):
        size = int(np.prod(shape))
        found[name] = values[at : at + size].reshape(shape)
        at += size
    assert at == values.size
    return found


def test_products_are_summed_in_order() -> None:
    kernel = default_kernel()
    rng = np.random.default_rng(0)
    for m, n, k in ((1, 1, 1), (5, 9, 300), (97, 17, 33), (130, 300, 515)):
        a, b = (rng.standard_normal(shape, np.float32) for shape in ((m, k), (k, n)))
        sizes = [4 * m * n, 4 * m * k, 4 * k * n]
        places = [Scratch(kernel, size, "a matrix") for size in sizes]
        for place, matrix in zip(places[1:], (a, b), strict=True):
            place.write(matrix.tobytes())
        assert kernel.call("train_product", *(p.address for p in places), m, n, k, 1) == 0
        found = np.array(places[0].floats(m * n), np.float32).reshape(m, n)
        expected = np.zeros((m, n), np.float32)
        for i in range(k):
            expected += a[:, i : i + 1] * b[i : i + 1]
        assert np.array_equal(found, expected), (m, n, k)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_loss_and_gradients_are_those_of_pytorch(kv_heads: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra `train`)")
    from thimble.train.torch_model import Llama

    recipe = dataclasses.replace(SMALL, n_kv_heads=kv_heads)
    batch = batch_of(recipe, LENGTHS)
    network = made(recipe)
    model = Llama(recipe).double()
    weights = by_name(recipe, np.frombuffer(network.read(WEIGHTS), np.float32).astype(np.float64))
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    # PyTorch's has rows: one for each segment, which are then as long as the longest.
    nats = 0.0
    starts = batch.starts
    for first, last in itertools.pairwise(starts):
        ids, targets = (torch.tensor(x[first:last])[None] for x in (batch.ids, batch.targets))
        targets = torch.where(targets < 0, -100, targets).long()
        if not bool((targets >= 0).any()):
            continue
        loss = model(ids.long(), targets, torch.zeros_like(ids))
        loss.backward()
        nats += float(loss.detach())
    found = network.learn(batch, 1.0, 0)
    assert found == pytest.approx(nats, rel=1e-6)
    ours = by_name(recipe, np.array(network.gradients(), np.float64))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        expected = parameter.grad.numpy()
        error = np.abs(ours[name] - expected).max() / np.abs(expected).max()
        assert error < 2e-5, (name, error)
    network.close()


def test_gradients_are_differences_of_the_loss() -> None:
    """Along random directions, one a tensor; without PyTorch, and without float32's noise in the
    way: steps are as large as the loss's curvature allows."""
    recipe, batch = SMALL, batch_of(SMALL, LENGTHS)
    network = made(recipe)
    slopes = by_name(recipe, gradients(network, batch))
    before = np.frombuffer(network.read(WEIGHTS), np.float32).copy()
    rng = np.random.default_rng(5)
    at = 0
    for name, shape in tensors(recipe):
        size = int(np.prod(shape))
        # Where the gradient points, so that the slope is large, and a random part beside it.
        g = slopes[name].ravel()
        direction = g / np.linalg.norm(g) + 0.1 * rng.standard_normal(size) / size**0.5
        slope = float(g @ direction)
        losses = []
        step = 2e-3
        for way in (2, 1, -1, -2):
            moved = before.copy()
            moved[at : at + size] += (way * step * direction).astype(np.float32)
            network.write(WEIGHTS, moved.tobytes())
            losses.append(network.measure(batch))
        found = (8 * (losses[1] - losses[2]) - (losses[0] - losses[3])) / (12 * step)
        assert found == pytest.approx(slope, rel=5e-3), name
        at += size
    network.close()


def trained(recipe: Recipe, kernel: Kernel, steps: int = 3) -> str:
    """A hash of the weights after some steps."""
    network = made(recipe, kernel)
    for step in range(steps):
        network.settle(exact=False)
        for micro in range(2):
            network.learn(batch_of(recipe, LENGTHS, 10 * step + micro), 1 / 300, step * 2 + micro)
        network.update(RATES)
    found = network.sha256()
    network.close()
    return found


VARIANTS = [
    {"optimizer": "muon"},
    {"optimizer": "adamw", "dropout": 0.2},
    {"optimizer": "muon", "quantize": "q4_0"},
    {"n_kv_heads": 1, "n_layers": 1, "quantize": "q8_0"},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_number_of_threads_changes_no_bit(changes: dict[str, object]) -> None:
    kernel = default_kernel()
    recipe = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    try:
        found = set()
        for threads in (1, 2, 3, 7):
            assert kernel.call("threads", threads) == threads
            found.add(trained(recipe, kernel))
    finally:
        kernel.call("threads", 1)
    assert len(found) == 1


def test_optimisation_changes_no_bit(tmp_path: Path) -> None:
    host = build_kernels.target("native")
    plain, optimised = (
        CKernel(build_kernels.build(host, tmp_path / level, optimize=level)[0])
        for level in ("-O0", "-O3")
    )
    for changes in VARIANTS:
        recipe = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
        assert trained(recipe, plain, 2) == trained(recipe, optimised, 2), changes


def test_muon_moves_by_orthogonal_matrices() -> None:
    recipe = dataclasses.replace(SMALL, dim=96, n_heads=3, n_kv_heads=3, hidden=160)
    network = made(recipe)
    before = by_name(recipe, np.frombuffer(network.read(WEIGHTS), np.float32).astype(np.float64))
    network.learn(batch_of(recipe, LENGTHS), 1 / 100, 0)
    network.update(dataclasses.replace(RATES, muon_decay=0.0))
    after = by_name(recipe, np.frombuffer(network.read(WEIGHTS), np.float32).astype(np.float64))
    for name in ("attn_q", "attn_output", "ffn_gate", "ffn_down"):
        moved = (after[f"blk.0.{name}.weight"] - before[f"blk.0.{name}.weight"]) / -0.02
        rows, cols = moved.shape
        values = np.linalg.svd(moved / max(1.0, rows / cols) ** 0.5, compute_uv=False)
        assert values.max() < 1.4, name
        assert np.median(values) > 0.6, name
    network.close()


def test_adamw_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra `train`)")
    recipe = dataclasses.replace(SMALL, optimizer="adamw")
    network = made(recipe)
    batch = batch_of(recipe, LENGTHS)
    weights = np.frombuffer(network.read(WEIGHTS), np.float32).astype(np.float64)
    parameters = {n: torch.tensor(w) for n, w in by_name(recipe, weights).items()}
    matrices = [n for n, p in parameters.items() if p.ndim == 2 and n != "token_embd.weight"]
    groups = [
        {"params": [p for n, p in parameters.items() if (n in matrices) == decays],
         "weight_decay": 0.1 * decays}
        for decays in (True, False)
    ]  # fmt: skip
    adam = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    for step in (1, 2, 3):
        found = by_name(recipe, gradients(network, batch))
        for name, p in parameters.items():
            p.grad = torch.tensor(found[name] / 400)
        torch.nn.utils.clip_grad_norm_(parameters.values(), 0.25)
        adam.step()
        network.learn(batch, 1 / 400, 0)
        grow = {"adam_grow1": 1 / (1 - 0.9**step), "adam_grow2": 1 / (1 - 0.95**step)}
        network.update(dataclasses.replace(RATES, clip=0.25, **grow))
        network.settle(exact=True)
    ours = by_name(recipe, np.frombuffer(network.read(WEIGHTS), np.float32).astype(np.float64))
    for name, p in parameters.items():
        # Where a gradient is next to nothing, Adam makes a whole step of its last bits.
        apart = np.abs(ours[name] - p.numpy())
        assert np.quantile(apart, 0.999) < 2e-5, name
        assert apart.max() < 2e-3, name
    network.close()


def test_dropout_leaves_its_share_out_and_only_while_learning() -> None:
    recipe = dataclasses.replace(SMALL, dropout=0.5)
    network, plain = made(recipe), made(SMALL)
    batch = batch_of(SMALL, LENGTHS)
    assert network.measure(batch) == plain.measure(batch)
    losses = {network.learn(batch, 1.0, noise) for noise in (1, 2, 3)}
    assert len(losses) == 3
    network.forget()
    first = gradients(network, batch)
    assert not np.array_equal(first, gradients(plain, batch))
    assert np.array_equal(first, gradients(network, batch))
    for one in (network, plain):
        one.close()


def test_what_is_not_finite_is_said_and_moves_nothing() -> None:
    network = made(SMALL)
    batch = batch_of(SMALL, LENGTHS)
    weights = np.frombuffer(network.read(WEIGHTS), np.float32).copy()
    weights[5000] = np.nan
    network.write(WEIGHTS, weights.tobytes())
    with pytest.raises(NumericError, match="the loss is not finite"):
        network.learn(batch, 1.0, 0)
    weights[5000] = 0
    network.write(WEIGHTS, weights.tobytes())
    network.learn(batch, 1e38, 0)
    network.learn(batch, 1e38, 0)
    with pytest.raises(NumericError, match="a gradient is not finite"):
        network.update(RATES)
    assert network.read(WEIGHTS) == weights.tobytes()
    network.learn(batch, 1.0, 0)  # the gradients were forgotten
    assert np.isfinite(network.update(RATES))
    network.close()


@pytest.mark.parametrize(
    "batch",
    [
        Batch(array("i", [0]), array("i", [0]), array("i", [0])),
        Batch(array("i", [261]), array("i", [0]), array("i", [0, 1])),
        Batch(array("i", [-1]), array("i", [0]), array("i", [0, 1])),
        Batch(array("i", [0]), array("i", [261]), array("i", [0, 1])),
        Batch(array("i", [0]), array("i", [0, 1]), array("i", [0, 1])),
        Batch(array("i", [0, 1]), array("i", [0, 1]), array("i", [0, 2, 2])),
        Batch(array("i", [0, 1]), array("i", [0, 1]), array("i", [1, 2])),
        Batch(array("i", [0] * 65), array("i", [0] * 65), array("i", [0, 65])),
        Batch(array("i", [0] * 193), array("i", [0] * 193), array("i", range(194))),
    ],
)
def test_a_batch_that_cannot_be_is_refused(batch: Batch) -> None:
    network = made(SMALL)
    with pytest.raises(OptionError):
        network.learn(batch, 1.0, 0)
    network.close()


def test_fewer_threads_are_fine_and_more_are_refused() -> None:
    kernel = default_kernel()
    try:
        kernel.call("threads", 2)
        network = made(SMALL)
        batch = batch_of(SMALL, LENGTHS)
        nats = network.measure(batch)
        kernel.call("threads", 1)
        assert network.measure(batch) == nats
        kernel.call("threads", 3)
        with pytest.raises(OptionError, match="3 threads now, and were 2"):
            network.measure(batch)
        network.close()
    finally:
        kernel.call("threads", 1)
