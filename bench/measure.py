"""The measurements: who runs when. Runners take turns, so that a slow minute hits all of them."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import Browser, Error, Playwright

from bench import models
from bench.browser import (
    ModelSpec,
    NativeRunner,
    PyodidePage,
    RunnerPage,
    Server,
    first_visit,
    peak_memory,
    reason,
    renderer_processes,
    visits,
)
from bench.models import Encoding, Shape
from bench.results import Limit, Memory, Rate, Results, Start
from bench.site import FOLDER, MODELS, BenchError, build_probe

WARM_UP_TOKENS = 32
PROBE_BYTES = 1 << 27
"""Larger than any cache that a processor of today has for one core."""
PROBE_ROUNDS = 20_000_000

PAGES = (
    ("thimble", 1),
    ("thimble-details", 1),
    ("wllama", 1),
    ("transformers.js", 1),
    ("thimble", 2),
    ("wllama", 2),
)
NATIVE = (
    ("thimble native", 1),
    ("llama.cpp native", 1),
    ("thimble native", 2),
    ("llama.cpp native", 2),
)


# Pages are as a server makes them that nobody configured, but for wllama, whose one build is for
# isolated ones.
STARTS = {
    "thimble": ("start-thimble", "&isolated=0"),
    "wllama": ("start-wllama", ""),
    "pyodide": ("start-pyodide", "&isolated=0"),
    "pyodide-own": ("start-pyodide", "&isolated=0&own=1"),
}
"""The start pages and what is added to their addresses."""


class Generating(Protocol):
    """A page or a process that writes."""

    def generate(self, prompt: tuple[str, list[int]], tokens: int) -> dict[str, float]: ...

    def close(self) -> None: ...


def tell(words: str) -> None:
    print(f"bench: {words}", flush=True)


def model_spec(shape: Shape, encoding: Encoding) -> ModelSpec:
    name = models.file_name(shape, encoding)
    onnx = f"/assets/bench/onnx-{shape.name}-{encoding.name}"
    return ModelSpec(Path(name).stem, f"/assets/{name}", onnx)


@dataclass(slots=True)
class Rates:
    """Decoding and prompt reading, in all runners at once."""

    browser: Browser
    server: Server
    llama_python: str | None
    llama_missing: str
    runs: int
    tokens_limit: int | None
    threads: list[int]
    only_native: bool = False

    def measure(self, results: Results, shape: Shape, encoding: Encoding) -> None:
        """Load one model everywhere and let the runners take turns."""
        tell(f"{shape.name} {encoding.name}")
        prompt = models.prompt(shape.vocab)
        tokens = min(shape.new_tokens, self.tokens_limit or shape.new_tokens)
        runners: list[tuple[Rate, Generating]] = []
        try:
            for name, threads in (*(() if self.only_native else PAGES), *NATIVE):
                if threads not in self.threads:
                    continue
                rate = Rate(shape.name, encoding.name, name, threads)
                results.rates.append(rate)
                try:
                    runner = self._open(rate, shape, encoding, results)
                except (Error, BenchError) as error:
                    self._give_up(rate, error)
                    continue
                if runner is not None:
                    runners.append((rate, runner))
                    self._one(rate, runner, prompt, WARM_UP_TOKENS)
                    if rate.samples:
                        _tell_warm(rate)
                    rate.samples.clear()
            for run in range(self.runs):
                # Every round begins with another runner.
                at = run % max(1, len(runners))
                for rate, runner in runners[at:] + runners[:at]:
                    self._one(rate, runner, prompt, tokens)
        finally:
            for rate, runner in runners:
                if rate.missing is None:
                    runner.close()

    def _open(
        self, rate: Rate, shape: Shape, encoding: Encoding, results: Results
    ) -> Generating | None:
        if rate.runner.endswith(" native"):
            return self._open_native(rate, models.ensure(MODELS, shape, encoding), results)
        page = RunnerPage(self.browser, self.server.address, rate.runner, rate.threads)
        rate.missing = page.load(model_spec(shape, encoding), rate.threads)
        if rate.missing is None:
            return page
        page.close()
        return None

    def _open_native(self, rate: Rate, path: Path, results: Results) -> NativeRunner | None:
        name = rate.runner.removesuffix(" native")
        python = sys.executable if name == "thimble" else self.llama_python
        if python is None:
            rate.missing = self.llama_missing
            return None
        runner = NativeRunner(python, name, path, rate.threads)
        rate.missing = runner.missing
        if runner.missing is not None:
            runner.close()
            return None
        results.about["versions"][rate.runner] = runner.version
        return runner

    def _one(
        self, rate: Rate, runner: Generating, prompt: tuple[str, list[int]], tokens: int
    ) -> None:
        if rate.missing is not None:
            return
        try:
            sample = runner.generate(prompt, tokens)
            wanted = {"promptTokens": len(prompt[1]), "tokens": tokens}
            found = {name: int(sample[name]) for name in wanted}
            if found != wanted:
                raise BenchError(f"asked for {wanted}, it did {found}")
            rate.samples.append(sample)
        except (Error, BenchError) as error:
            self._give_up(rate, error)
            runner.close()  # it may still be at it

    def _give_up(self, rate: Rate, error: Exception) -> None:
        rate.missing = reason(error)
        tell(f"{rate.runner} {rate.model} {rate.encoding}: {rate.missing}")


def _tell_warm(rate: Rate) -> None:
    """How fast a runner is before it counts: whoever waits sees what the waiting is for."""
    threads = f"{rate.threads} thread{'s' if rate.threads > 1 else ''}"
    if rate.decode:
        tell(f"  warm: {rate.runner}, {threads}, about {rate.decode.median:,.0f} tokens/s")


# --- starting ---


def start_model(build: dict[str, Any]) -> dict[str, Any]:
    """The site's default model, or the bench's 15M one while there is none."""
    for listed in build["models"]:
        if listed.get("default"):
            found: dict[str, Any] = listed
            return found
    name = Path(models.file_name(models.SHAPES["15M"], models.ENCODINGS["Q8_0"])).stem
    for listed in build["models"]:
        if listed["name"] == name:
            return dict(listed)
    raise BenchError(f"the site has no default model, and {name} is not among the bench's")


def measure_starts(
    results: Results, playwright: Playwright, server: Server, model: dict[str, Any], runs: int
) -> None:
    """Visit each runner's start page in new profiles, in turns."""
    starts = {
        (runner, visit): Start(runner, "" if "pyodide" in runner else model["name"], visit)
        for runner in STARTS
        for visit in (1, 2)
    }
    results.starts.extend(starts.values())
    for run in range(runs + 1):
        tell(f"start {run} of {runs}" if run else "start, once unmeasured")
        for runner in STARTS:
            _visit(starts, playwright, server, runner, _query(model), keep=run > 0)


def _visit(
    starts: dict[tuple[str, int], Start],
    playwright: Playwright,
    server: Server,
    runner: str,
    query: str,
    *,
    keep: bool,
) -> None:
    try:
        page, more = STARTS[runner]
        seen = visits(playwright, server, page, query + more, 2)
        for visit, one in enumerate(seen, start=1):
            sample = one.sample
            sample["bytes"] = sum(request["bytes"] for request in one.requests)
            sample["requests"] = one.requests
            if keep:
                starts[runner, visit].samples.append(sample)
    except (Error, BenchError) as error:
        words = reason(error)
        for visit in (1, 2):
            starts[runner, visit].missing = words
        tell(f"start of {runner}: {words}")


def measure_playground(
    results: Results, playwright: Playwright, server: Server, model: dict[str, Any]
) -> None:
    """What a first visit takes over the wire, the default model included where there is one."""
    start = Start("playground", model["name"], 1)
    results.starts.append(start)
    if not model.get("default"):
        start.missing = "not there yet: the site has no default model"
    try:
        requests = first_visit(playwright, server, f"{_query(model)}&isolated=0")
    except (Error, BenchError) as error:
        start.missing = reason(error)
        return
    size = sum(one["bytes"] for one in requests)
    bare = size - sum(one["bytes"] for one in requests if one["path"].endswith(".gguf"))
    start.samples.append({"bytes": size, "without_model": bare, "requests": requests, "stored": []})


def _query(model: dict[str, Any]) -> str:
    return urlencode({"model": model["name"], "url": f"/{model['file']}"})


# --- memory ---


def measure_memory(
    results: Results, browser: Browser, server: Server, shapes: Sequence[Shape], runs: int
) -> None:
    """The peak of a page's process: loading a Q8_0 model and writing a little."""
    encoding = models.ENCODINGS["Q8_0"]
    wanted: list[tuple[str, Shape | None]] = [("pyodide", None)]
    wanted += [(runner, shape) for shape in shapes for runner in ("thimble", "wllama")]
    for runner, shape in wanted:
        tell(f"memory, {runner} {shape.name if shape else ''}".rstrip())
        memory = Memory(runner, shape.name if shape else "", encoding.name if shape else "")
        results.memory.append(memory)
        for _ in range(runs):
            try:
                peak = _peak(browser, server, runner, shape, encoding)
            except (Error, BenchError) as error:
                memory.missing = reason(error)
                break
            if peak is None:
                memory.missing = "this system does not tell"
                break
            memory.peak_bytes.append(peak)


def _peak(
    browser: Browser, server: Server, runner: str, shape: Shape | None, encoding: Encoding
) -> int | None:
    before = renderer_processes(browser)
    page: RunnerPage | PyodidePage
    if shape is None:
        page = PyodidePage(browser, server.address)
    else:
        page = RunnerPage(browser, server.address, runner)
    try:
        if shape is not None and isinstance(page, RunnerPage):
            page.load(model_spec(shape, encoding), 1)
            page.generate(models.prompt(shape.vocab), 8)
        peaks = [peak_memory(one) for one in renderer_processes(browser) - before]
        return max((peak for peak in peaks if peak is not None), default=None)
    finally:
        page.close()


# --- the machine's limits ---


def measure_limits(results: Results, browser: Browser, server: Server, runs: int) -> None:
    """Memory read and multiplications in registers, in the page and natively."""
    tell("the machine's limits")
    page = RunnerPage(browser, server.address, "thimble")
    found = page.limits(PROBE_BYTES, PROBE_ROUNDS, runs)
    page.close()
    results.limits += [Limit("page", what, values) for what, values in found.items()]
    library = ctypes.CDLL(str(build_probe("native", FOLDER / "probe.so")))
    size = ctypes.c_ssize_t
    data = np.ones(PROBE_BYTES, np.uint8)

    def call(name: str, *arguments: int) -> int:
        function = library[f"probe_{name}"]
        function.restype = size
        return int(function(*map(size, arguments)))

    def rounds(name: str) -> Limit:
        work = PROBE_ROUNDS * call(f"{name}_a_round")
        return Limit("native", name, _repeat(runs, work, lambda: call(name, PROBE_ROUNDS)))

    read = _repeat(runs, PROBE_BYTES, lambda: call("read", data.ctypes.data, data.nbytes))
    pair = data.reshape(2, -1)
    with ThreadPoolExecutor(2) as threads:  # ctypes lets go of Python's lock

        def both() -> list[int]:
            return list(threads.map(lambda half: call("read", half.ctypes.data, half.nbytes), pair))

        halves = _repeat(runs, PROBE_BYTES, both)
    results.limits += [
        Limit("native", "read", read),
        Limit("native", "read by two", halves),
        rounds("products"),
        rounds("floats"),
    ]


def _repeat(runs: int, work: int, do: Callable[[], object]) -> list[float]:
    """Work a second, `runs` times after one unmeasured."""
    values = []
    for _ in range(runs + 1):
        began = perf_counter()
        do()
        values.append(work / (perf_counter() - began))
    return values[1:]


# --- llama.cpp ---

LLAMA = "llama-cpp-python==0.3.36"


def find_llama(named: str | None) -> tuple[str | None, str]:
    """A Python that has llama.cpp: the named one, or an environment of the bench's own."""
    if named:
        return named, ""
    environment = FOLDER / "llama"
    python = environment / "bin" / "python"
    failed = environment.with_suffix(".failed")
    if _has_llama(python):
        return str(python), ""
    if failed.is_file():
        return None, f"{LLAMA} could not be built; {failed} says why"
    tell(f"{LLAMA} is built from its source, once; this takes minutes")
    commands = (
        [sys.executable, "-m", "venv", str(environment)],
        [str(python), "-m", "pip", "install", "--quiet", LLAMA],
    )
    for command in commands:
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            failed.write_text(ran.stdout + ran.stderr, encoding="utf-8")
            return None, f"{LLAMA} could not be built; {failed} says why"
    return str(python), ""


def _has_llama(python: Path) -> bool:
    if not python.is_file():
        return False
    ran = subprocess.run([str(python), "-c", "import llama_cpp"], capture_output=True)
    return ran.returncode == 0
