"""Our exp, log, sin and cos against NumPy's, and that optimisation changes no bit of anything."""

from __future__ import annotations

import ctypes
import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import build_kernels
from tests.fingerprint import fingerprint
from tests.tiny_folders import converted
from tests.tiny_models import SPECS, TinySpec, make
from thimble.kernel import CKernel, default_kernel

SPECS_OF_BITS = ("f32", "f16", "bf16", "q8_0", "q4_0", "spm", "head48")
ARCHITECTURES_OF_BITS = ("gemma2", "gemma3", "gpt2", "gptneox")
"""Between them they have every operation of `kernels/ops.c`."""
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


def test_gelu_is_close_and_total(probe: ctypes.CDLL) -> None:
    x = np.concatenate([np.linspace(-12, 12, 100_000), [-1e30, 1e30, 0.0, -0.0]]).astype("<f4")
    exact = x.astype(np.float64)
    normal = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in exact])
    tanh = 0.5 * (
        1 + np.tanh(np.sqrt(2 / np.pi) * (exact + 0.044715 * np.clip(exact, -99, 99) ** 3))
    )
    for which, share in ((0, tanh), (1, normal)):
        y = np.empty_like(x)
        pointers = (ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data))
        probe.probe_gelu(*pointers, x.size, which, ctypes.c_float(0))
        assert np.max(np.abs(y - exact * share)[:100_000]) < 1e-6
        assert abs(y[100_000]) < 1e-8
        assert y[100_001:].tolist() == [np.float32(1e30), 0.0, 0.0]
    probe.probe_gelu(*pointers, x.size, 2, ctypes.c_float(3))
    assert np.max(np.abs(y - 3 * np.tanh(exact / 3))) < 1e-6


def test_half_precision_is_numpys(probe: ctypes.CDLL) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    finite = every[np.isfinite(every)]
    between = np.sort(finite)
    halves = (between[1:].astype(np.float64) + between[:-1]) / 2  # ties
    random = np.random.default_rng(0).integers(0, 1 << 32, 400_000, dtype=np.uint32)
    floats = random.view(np.float32)
    x = np.concatenate([finite, halves, floats[~np.isnan(floats)]]).astype(np.float32)
    y = np.empty(x.size, np.uint16)
    probe.probe_half(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), x.size)
    with np.errstate(over="ignore"):
        assert np.array_equal(y, x.astype(np.float16).view(np.uint16))
    nan = np.array([np.nan], np.float32)
    probe.probe_half(ctypes.c_void_p(nan.ctypes.data), ctypes.c_void_p(y.ctypes.data), 1)
    assert not np.isfinite(y[:1].view(np.float16))[0]


def test_eight_bits_are_near_and_never_overflow(probe: ctypes.CDLL) -> None:
    x = np.random.default_rng(1).normal(size=(4000, 32)).astype(np.float32)
    x *= np.float32(10.0) ** np.random.default_rng(2).integers(-12, 6, (4000, 1)).astype("<f4")
    x[0], x[1], x[2, 3] = 0.0, 3e38, np.nan
    q, y = np.empty(x.shape, np.int8), np.empty(4000, np.uint16)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, q, y)]
    probe.probe_round(*pointers, 4000)
    scale = y.view(np.float16).astype(np.float32)[:, None]
    assert not q[:3].any() and scale[0] == 0 and not np.isfinite(scale[1:3]).any()
    largest = np.abs(x[3:]).max(axis=1, keepdims=True)
    # Half a step, of a scale that has eleven digits itself, or fewer where it is very small.
    error = np.abs(q[3:] * scale[3:] - x[3:])
    assert (error <= largest * (0.5 / 127 + 2.0**-11) + 127 * 2.0**-25).all()


def test_double_functions_are_close(probe: ctypes.CDLL) -> None:
    x = np.linspace(-60, 60, 50_001)
    assert np.max(np.abs(run(probe, 0, x) / np.exp(x) - 1)) < 1e-15
    x = np.geomspace(1e-30, 1e30, 50_001)
    assert np.max(np.abs(run(probe, 1, x) - np.log(x))) < 3e-14
    x = np.concatenate([np.linspace(-1e5, 1e5, 50_001), np.arange(2048.0)])
    assert np.max(np.abs(run(probe, 2, x) - np.cos(x))) < 1e-12
    assert np.max(np.abs(run(probe, 3, x) - np.sin(x))) < 1e-12


@pytest.mark.slow
def test_optimisation_changes_no_bit(tmp_path: Path) -> None:
    """Compilers have vectorised loops wrongly: plain code and optimised code must agree."""
    host = build_kernels.target("native")
    kernels = [
        CKernel(build_kernels.build(host, tmp_path / level, optimize=level)[0])
        for level in ("-O0", "-O3")
    ]
    models = {name: make(SPECS[name]) for name in SPECS_OF_BITS}
    models |= {name: converted(name, "q8_0") for name in ARCHITECTURES_OF_BITS}
    for name, data in models.items():
        plain, optimised = (fingerprint(data, kernel) for kernel in kernels)
        assert plain == optimised, name


@pytest.mark.slow
@pytest.mark.skipif(
    not build_kernels.host_target_name().endswith("x86_64"), reason="of x86-64 processors"
)
def test_an_older_processor_gives_the_same_bits(tmp_path: Path) -> None:
    """Without SSSE3, 4-bit products take the other way."""
    plain = build_kernels.Variant("old", ("-mcpu=x86_64",))
    old = dataclasses.replace(build_kernels.target("native"), variants=(plain,))
    kernel = CKernel(build_kernels.build(old, tmp_path)[0])
    for name in ("q4_0", "q8_0"):
        data = make(SPECS[name])
        assert fingerprint(data, kernel) == fingerprint(data), name


def test_the_number_of_threads_changes_no_bit() -> None:
    kernel = default_kernel()
    # Large enough that products and attention are really divided.
    spec = TinySpec(tensor_type="Q4_0", dim=256, hidden_dim=512, n_heads=8, head_dim=32)
    try:
        for data in (make(spec), make(SPECS["f32"])):
            found = {}
            for threads in (1, 2, 3, 7, 1):
                assert kernel.call("threads", threads) == threads
                found[threads] = fingerprint(data, kernel)
            assert len(set(found.values())) == 1, found
    finally:
        kernel.call("threads", 1)
