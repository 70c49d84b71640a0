"""Gradients through plans: against finite differences and PyTorch for every architecture, and the same
bits for any number of threads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fingerprint import load
from tests.tiny_folders import CONFIGS, converted
from thimble.backward import Backward, passed
from thimble.kernel import default_kernel
from thimble.reference import ReferenceModel

N = 52
"""Tokens: more than the tests' windows and than queries that are looked at together."""
Array = NDArray[np.float64]


def text(n_vocab: int) -> tuple[list[int], list[int]]:
    ids = [i * 7919 % n_vocab for i in range(N + 1)]
    targets = [-1 if i % 5 == 2 else target for i, target in enumerate(ids[1:])]
    return ids[:N], targets


def gradients(data: bytes) -> tuple[float, dict[str, bytes]]:
    model = load(data)
    backward = Backward(model, N)
    nats = backward.loss(*text(model.config.n_vocab), keep=passed(model.config))
    kept = backward.kept
    backward.close()
    model.close()
    return nats, kept


def loss_of(logits: Array, targets: list[int]) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return float(sum(log_sum[i] - logits[i, t] for i, t in enumerate(targets) if t >= 0))


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    data = converted(name, "f32")
    nats, found = gradients(data)
    reference = ReferenceModel(data)
    ids, targets = text(reference.config.n_vocab)
    base = reference.run(ids)
    assert nats == pytest.approx(loss_of(base["logits"], targets), rel=1e-5)
    rng = np.random.default_rng(3)
    compared = 0
    for value, raw in found.items():
        if value.endswith("hook_resid_pre") and value != "hook_resid_pre":
            continue  # what the layer before has left, which is changed there
        gradient = np.frombuffer(raw, np.float32).astype(np.float64).reshape(base[value].shape)
        direction = rng.standard_normal(gradient.shape)
        direction += gradient * np.linalg.norm(direction) / (np.linalg.norm(gradient) + 1e-12)
        step = 1e-5 / np.abs(direction).max()
        ahead, behind = (
            loss_of(reference.run(ids, {value: base[value] + sign * step * direction})["logits"], targets)
            for sign in (1, -1)
        )
        slope = (ahead - behind) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=2e-3, abs=1e-6), value
        compared += 1
    assert compared >= 10 * reference.config.n_layers
