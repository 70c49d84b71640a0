"""The page's own build of the kernels under fire: the inputs of `make fuzz`, read in Pyodide.

    make fuzz-wasm                                             # a million, and as many links
    PYTHONPATH=pyodide_pkg python -m tests.fuzz.wasm --runs 20000 --seed 3

Ended early (Ctrl+C, SIGTERM), it tells what it has read; `--first` goes on from there. Inputs are
made here, as `make fuzz` makes them, and read under Node by the engine and the side module that the
page loads. A finding is an error that is no `ThimbleError`, a dead interpreter, more than a second
of processor time, or memory beyond twice the input and what is right for nothing: Python's own,
counted for one input in 16, and the growth of WebAssembly's memory for all.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pickle
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import build_bytecode
from tests.fuzz.campaign import RESIDENT, SECONDS, Report
from tests.fuzz.registry import KINDS, LOOK, case_of
from tests.in_pyodide import wasm_kernels
from tools import pyodide_core

ROOT = Path(__file__).resolve().parent.parent.parent
PEERS = ("gguf", "jinja2", "markupsafe", "tqdm", "yaml")
"""What the tests' modules import."""
BATCH = 200
"""Inputs that are handed over together."""
MANY = 16 << 20
"""Bytes of inputs after which a batch ends."""
STUCK = 30.0
"""Seconds of processor time without progress after which the child is ended."""


class Reader:
    """A Node process that reads batches, and another one when it has died."""

    def __init__(self, place: Path, variant: str) -> None:
        self.progress = place / "progress"
        self.batches = place / "batches"
        self.batches.mkdir()
        node = build_bytecode.find_node()
        assert node is not None, "Node was not found: run `make setup`"
        folder = _sources(place / "python")
        library = {"base": "_kernels.so", "relaxed": "_kernels_relaxed.so"}[variant]
        shutil.copy(wasm_kernels() / library, folder / "thimble" / "_kernels.so")
        mirror = os.environ.get("THIMBLE_PYODIDE_MIRROR")
        wheel = pyodide_core.numpy_wheel(Path(mirror) if mirror else None)
        assert wheel is not None, "NumPy's wheel is needed: THIMBLE_PYODIDE_MIRROR=FOLDER has it"
        script = Path(__file__).with_name("wasm.mjs")
        self.command = [node, str(script), str(pyodide_core.NPM), str(self.progress), str(wheel)]
        self.command += [str(folder), str(self.batches)]
        self.process: subprocess.Popen[bytes] | None = None

    def read(self, name: str, first: int) -> tuple[list[Any], int | None, str]:
        """The results of a batch from input `first` on; or at which input it died, and why."""
        if self.process is None:
            self.progress.write_bytes(first.to_bytes(4, "little"))
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        self.progress.write_bytes(first.to_bytes(4, "little"))
        try:
            process.stdin.write(f"{name} {first}\n".encode())
            process.stdin.flush()
        except BrokenPipeError:
            return [], self._at(), self._why()
        seen, since = -1, 0.0
        while not select.select([process.stdout], [], [], 5.0)[0]:
            at, used = self._at(), _cpu_seconds(process.pid)
            if at != seen:
                seen, since = at, used
            elif used - since > STUCK:
                process.kill()
                return [], self._at(), f"more than {STUCK:g} s of processor time"
        line = process.stdout.readline()
        if line.startswith(b"told "):
            return json.loads(line[5:]), None, ""
        return [], self._at(), self._why()

    def _at(self) -> int:
        return int.from_bytes(self.progress.read_bytes(), "little")

    def _why(self) -> str:
        assert self.process is not None and self.process.stderr is not None
        self.process.kill()
        return "the interpreter died: " + self.process.stderr.read().decode()[-3000:]

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def _sources(folder: Path) -> Path:
    """Put there what Pyodide imports: the engine, the fuzzers, and what these import."""
    plain = shutil.ignore_patterns("__pycache__", "_kernels*", "*.so")
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=plain)
    shutil.copytree(ROOT / "pyodide_pkg" / "thimble", folder / "thimble", ignore=plain)
    for package in PEERS:
        found = importlib.util.find_spec(package)
        assert found is not None and found.origin is not None, f"{package} is not installed"
        shutil.copytree(Path(found.origin).parent, folder / package, ignore=plain)
    return folder


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def batches(numbers: range, seed: int, kind: str | None) -> Iterator[list[Any]]:
    """The inputs in lists, each as `wasm_child.Input` says."""
    found: list[Any] = []
    size = 0
    for number in numbers:
        name, case = case_of(number, seed, kind)
        found.append((number, name, case, number % LOOK == 0))
        size += sum(map(len, case.values()))
        if len(found) == BATCH or size > MANY:
            yield found
            found, size = [], 0
    if found:
        yield found


def run(
    numbers: range, *, seed: int = 0, kind: str | None = None, variant: str = "base",
    tell: Callable[[Report], None] = lambda report: None,
) -> Report:  # fmt: skip
    """Read these inputs; `tell` hears of progress."""
    report = Report()
    for name in KINDS if kind is None else [kind]:
        KINDS[name].make(random.Random(0))
    with tempfile.TemporaryDirectory(prefix="thimble-fuzz-") as place:
        reader = Reader(Path(place), variant)
        try:
            for batch in batches(numbers, seed, kind):
                _read(reader, batch, report)
                tell(report)
        except KeyboardInterrupt:
            print("ended early", file=sys.stderr)
        finally:
            reader.close()
    return report


def _read(reader: Reader, batch: list[Any], report: Report) -> None:
    (reader.batches / "batch").write_bytes(pickle.dumps(batch))
    first = 0
    while first < len(batch):
        results, died, why = reader.read("batch", first)
        if died is not None:
            reader.close()
            # What it had read before in this batch it can tell no more: that counts as read.
            number, name = batch[died][:2]
            report.findings.append((f"{name} {number}", why))
            report.done += died + 1 - first
            first = died + 1
            continue
        for index, result, seconds, grown in results:
            _take(report, batch[index], result, seconds, grown)
        first = len(batch)


def _take(report: Report, one: Any, result: str, seconds: float, grown: int) -> None:
    number, name, case, counted = one
    report.done += 1
    report.slowest = max(report.slowest, (seconds, f"{name} {number}"))
    size = sum(map(len, case.values()))
    kind = KINDS[name]
    if result.startswith("!"):
        report.findings.append((f"{name} {number}", result[1:]))
        return
    report.outcomes.setdefault(name, Counter())[result] += 1
    if seconds > SECONDS * (4 if counted else 1):
        report.findings.append((f"{name} {number}", f"{seconds:.2f} s of processor time"))
    if grown > kind.each * size + max(kind.room, RESIDENT):
        report.findings.append((f"{name} {number}", f"memory grew by {grown:,} for {size:,} bytes"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the WebAssembly build under Node.")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(KINDS), help="this kind of input only")
    parser.add_argument("--variant", choices=("base", "relaxed"), default="base")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    told = shown = 0

    def tell(report: Report) -> None:
        nonlocal told, shown
        for name, why in report.findings[shown:]:
            print(f"\n{name}\n{why}", file=sys.stderr, flush=True)
        shown = len(report.findings)
        if report.done // 2000 > told:
            told = report.done // 2000
            print(f"{report.done:,} inputs, {time.monotonic() - began:.0f} s, "
                  f"{len(report.findings)} findings", file=sys.stderr, flush=True)  # fmt: skip

    numbers = range(options.first, options.first + options.runs)
    report = run(numbers, seed=options.seed, kind=options.kind, variant=options.variant, tell=tell)
    report.show(time.monotonic() - began)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
