"""Our exp, log, sin and cos against NumPy's, and that optimisation changes no bit of anything."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
from array import array
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import build_kernels
import thimble
from tests.tiny_models import SPECS, make
from thimble.kernel import CKernel

PROBE = Path(__file__).parent / "kernels" / "numeric_probe.c"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("probe") / "probe.so"
    flags = [f for f in build_kernels.COMMON_FLAGS if f not in ("-Wextra",)]
    command = [sys.executable, "-m", "ziglang", "cc", *flags, "-shared", "-o", str(library)]
    subprocess.run([*command, str(PROBE)], check=True)
    return ctypes.CDLL(str(library))


def run(probe: ctypes.CDLL, which: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
    y = np.empty_like(x)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, y)]
    probe.probe_double(*pointers, ctypes.c_long(x.size), which)
    return y


def test_exp4_is_close_and_total(probe: ctypes.CDLL) -> None:
    x = np.concatenate([
        np.linspace(-87, 88, 100_000), [0.0, -0.0, -1e4, -np.inf, 1e4, np.inf, np.nan, 1e-30],
    ]).astype(np.float32)  # fmt: skip
    y = np.empty_like(x)
    probe.probe_exp4(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), x.size)
    exact = np.exp(x[:100_000].astype(np.float64))
    assert np.max(np.abs(y[:100_000] / exact - 1)) < 2e-7
    edges = y[100_000:]
    assert edges[0] == edges[1] == edges[7] == 1.0
    assert edges[2] == edges[3] == 0.0
    assert np.isfinite(edges[4]) and edges[4] == edges[5] > 1e38
    assert np.isnan(edges[6])


def test_double_functions_are_close(probe: ctypes.CDLL) -> None:
    x = np.linspace(-60, 60, 50_001)
    assert np.max(np.abs(run(probe, 0, x) / np.exp(x) - 1)) < 1e-15
    x = np.geomspace(1e-30, 1e30, 50_001)
    assert np.max(np.abs(run(probe, 1, x) - np.log(x))) < 3e-14
    x = np.concatenate([np.linspace(-1e5, 1e5, 50_001), np.arange(2048.0)])
    assert np.max(np.abs(run(probe, 2, x) - np.cos(x))) < 1e-12
    assert np.max(np.abs(run(probe, 3, x) - np.sin(x))) < 1e-12


def everything(kernel: CKernel, data: bytes) -> str:
    """A hash over logits of batched and single tokens, and over what a sampler draws."""
    loader = thimble.ModelLoader(len(data), kernel=kernel)
    loader.feed(data)
    model = loader.finish()
    session = model.session()
    digest = hashlib.sha256()
    session.append([i * 7 % model.config.n_vocab for i in range(45)])
    digest.update(session.logits().tobytes())
    params = thimble.SamplingParams(
        max_tokens=40, temperature=0.9, top_k=30, top_p=0.95, min_p=0.001, top_logprobs=3,
        repetition_penalty=1.1, seed=5, logit_bias={3: 1.5},
    )  # fmt: skip
    for piece in session.generate([1], params):
        numbers = [piece.logprob, piece.entropy, *(p for _, p in piece.top)]
        digest.update(array("i", [piece.id, *(t for t, _ in piece.top)]).tobytes())
        digest.update(array("f", numbers).tobytes())
    digest.update(session.logits().tobytes())
    session.close()
    model.close()
    return digest.hexdigest()


def test_optimisation_changes_no_bit(tmp_path: Path) -> None:
    """Compilers have vectorised loops wrongly: plain code and optimised code must agree."""
    host = build_kernels.target("native")
    kernels = [
        CKernel(build_kernels.build(host, tmp_path / level, optimize=level)[0])
        for level in ("-O0", "-O3")
    ]
    for name in ("f32", "f16", "bf16", "q8_0", "q4_0", "spm", "head48"):
        data = make(SPECS[name])
        plain, optimised = (everything(kernel, data) for kernel in kernels)
        assert plain == optimised, name
