"""The matrix products by themselves, in the page and natively; the roofline is report.py's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import perf_counter

import numpy as np
from playwright.sync_api import Browser, Error

from bench.browser import RunnerPage, Server, reason
from bench.results import Micro, Results
from thimble.kernel import BATCH, Scratch, default_kernel
from thimble.tensor_types import F16, F32, Q4_0, Q8_0

SHAPES = ((768, 288), (768, 768), (32_000, 768))
TOKENS = (1, BATCH)
AT_LEAST_S = 0.06


def measure_micro(results: Results, browser: Browser, server: Server, runs: int) -> str | None:
    """Every kernel on a layer's matrix and on a vocabulary's; returns why the page could not."""
    missing = None
    # Not as Thimble, whose pages are not isolated here: these kernels want a shared memory.
    page = RunnerPage(browser, server.address, "wllama")
    try:
        results.micro += [Micro(**one) for one in page.products(runs)]
    except Error as error:
        missing = reason(error)
    finally:
        page.close()
    results.micro += native(runs)
    return missing


def native(runs: int) -> list[Micro]:
    """The native library's products, one thread."""
    kernel = default_kernel()
    found = []
    for kind in (Q8_0, Q4_0, F16, F32):
        for rows, cols in SHAPES:
            tensor = kernel.call("tensor_new", kind.ggml_id, rows, cols)
            zeros = Scratch(kernel, kind.size(rows * cols), "a matrix")
            kernel.call("pack_rows", tensor, 0, rows, zeros.address)
            zeros.close()
            x = Scratch(kernel, 4 * cols * BATCH, "activations")
            x.write(np.full(cols * BATCH, 0.5, np.float32).tobytes())
            y = Scratch(kernel, 4 * (rows + 64) * BATCH, "outputs")
            n_bytes = kernel.call("tensor_bytes", tensor)
            for tokens in TOKENS:
                arguments = (tensor, x.address, tokens, y.address)
                rates = _rates(functools.partial(kernel.call, "product", *arguments), runs)
                values = [each * rows * cols * tokens for each in rates]
                found.append(Micro("native", kind.name, rows, cols, tokens, n_bytes, values))
            x.close()
            y.close()
            kernel.call("tensor_free", tensor)
    return found


def _rates(work: Callable[[], object], runs: int) -> list[float]:
    """Calls a second, in rounds that are long against the clock."""
    rates: list[float] = []
    rounds = 1
    while len(rates) <= runs:
        began = perf_counter()
        for _ in range(rounds):
            work()
        took = perf_counter() - began
        if took < AT_LEAST_S:
            rounds *= 2
        else:
            rates.append(rounds / took)
    return rates[1:]
