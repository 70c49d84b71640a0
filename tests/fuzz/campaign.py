"""Runs inputs of every kind in child processes, and notices what they die of.

A child tells what it begins in memory that it shares with its parent, so that the input is known
which killed it; another child then goes on behind that one. The clock is the process's own, so that
a busy machine makes no findings: when it has run out, the child is killed in whatever it does, C
code too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import random
import resource
import selectors
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tests.fuzz.kinds import Case, Kind, counting
from tests.fuzz.registry import KINDS, LOOK, case_of

SECONDS = 1.0
"""Of processor time, for one input."""
RESIDENT = 16 << 20
"""Bytes that the whole process may grow by, beside twice an input's size; it does so in steps."""
HEADROOM = 512 << 20
"""Addresses that a child may have in all, beside those that it begins with."""
NEWS = 100
"""Inputs between two lines of a child."""
PATIENCE = 120.0
"""Seconds without a line until a child counts as stuck: it waits, or is given no time at all."""
REASONS = 20
"""Findings of one cause that are told of."""


@dataclass
class Report:
    """What came of a campaign."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[tuple[str, str]] = field(default_factory=list)
    """Which input, and what was wrong."""
    done: int = 0
    slowest: tuple[float, str] = (0.0, "none")

    def show(self, seconds: float) -> None:
        """Print it, and how long it took."""
        print(f"{self.done:,} inputs in {seconds:.0f} s, {len(self.findings)} findings")
        for kind, outcomes in sorted(self.outcomes.items()):
            print(f"{kind}: {sum(outcomes.values()):,}: {dict(outcomes.most_common())}")
        print(f"slowest: {self.slowest[0]:.3f} s ({self.slowest[1]})")
        for where, words in self.findings:
            print(f"\n{where}\n{words}")


def run(
    numbers: range, *, seed: int = 0, jobs: int = 1, kind: str | None = None,
    saved: Path | None = None, tell: Callable[[Report], None] = lambda report: None,
) -> Report:  # fmt: skip
    """Run these inputs; `saved` is where the files of findings go, `tell` hears of progress."""
    report = Report()
    for name in KINDS if kind is None else [kind]:
        KINDS[name].make(random.Random(0))  # the good files are made once, before any fork
    waiting = [numbers[job::jobs] for job in range(jobs)]
    told = 0
    # The parent's own, so that nothing is left of a child that dies.
    with (
        tempfile.TemporaryDirectory(prefix="thimble-fuzz-", dir=_memory()) as place,
        selectors.DefaultSelector() as selector,
    ):
        for part in filter(len, waiting):
            _start(selector, part, seed, kind, place)
        while selector.get_map():
            now = time.monotonic()
            for key, _ in selector.select(timeout=PATIENCE / 4):
                child: Child = key.data
                line = child.lines.readline()
                if line.endswith(b"\n"):
                    child.heard = now
                    _take(report, json.loads(line))
                    continue
                selector.unregister(child.lines)
                rest = child.end(report)
                if rest:
                    _start(selector, rest, seed, kind, place)
            for key in list(selector.get_map().values()):
                if now - key.data.heard > PATIENCE:
                    os.kill(key.data.pid, signal.SIGKILL)
            if report.done // 50_000 > told:
                told = report.done // 50_000
                tell(report)
    _name(report, seed, kind, saved)
    return report


@dataclass
class Child:
    """A process at work, as its parent sees it."""

    pid: int
    lines: BinaryIO
    numbers: range
    at: mmap.mmap
    """Which number it is at, how many it has told of, and what was made of it."""
    heard: float

    def end(self, report: Report) -> range:
        """It has ended: what is left to do, behind the input that it died of."""
        self.lines.close()
        _, status = os.waitpid(self.pid, 0)
        index, told = struct.unpack_from("<qq", self.at)
        self.at.close()
        if status == 0:
            return self.numbers[len(self.numbers) :]
        code = os.waitstatus_to_exitcode(status)
        why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if code == -signal.SIGPROF:
            why = f"more than {SECONDS:g} s of processor time"
        report.done += index + 1 - told
        report.findings.append((str(self.numbers[index]), f"the process died: {why}"))
        return self.numbers[index + 1 :]


def _start(
    selector: selectors.BaseSelector, numbers: range, seed: int, kind: str | None, place: str
) -> None:
    reading, writing = os.pipe()
    at = mmap.mmap(-1, 16)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            _work(
                numbers, seed, kind, at, os.fdopen(writing, "w"), Path(tempfile.mkdtemp(dir=place))
            )
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    lines = os.fdopen(reading, "rb", buffering=0)
    selector.register(lines, selectors.EVENT_READ, Child(pid, lines, numbers, at, time.monotonic()))


def _take(report: Report, news: dict[str, Any]) -> None:
    """Add what a child has told."""
    report.done += news["done"]
    for name, found in news["outcomes"].items():
        report.outcomes.setdefault(name, Counter()).update(found)
    report.findings += [(where, words) for where, words in news["findings"]]
    report.slowest = max(report.slowest, tuple(news["slowest"]))


def _work(
    numbers: range, seed: int, kind: str | None, at: mmap.mmap, to: Any, scratch: Path
) -> None:
    """In the child: run every input, and tell of them now and then."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with contextlib.suppress(OSError):  # where there is no /proc, the other looks remain
        held = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (held + HEADROOM, most))
    faulthandler.register(signal.SIGPROF, all_threads=False, chain=True)
    faulthandler.enable(all_threads=False)
    told = 0
    news: dict[str, Any] = {"done": 0, "outcomes": {}, "findings": [], "slowest": (0.0, "")}
    causes: Counter[str] = Counter()
    for index, number in enumerate(numbers):
        struct.pack_into("<qq", at, 0, index, told)
        name, case = case_of(number, seed, kind)
        began = time.process_time()
        try:
            result = _timed(KINDS[name], case, scratch, counted=number % LOOK == 0)
            news["outcomes"].setdefault(name, Counter())[result] += 1
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            cause = f"{type(error).__name__} {where.filename} {where.lineno}"
            causes[cause] += 1
            if causes[cause] <= REASONS:
                words = "".join(traceback.format_exception(error, limit=-4))
                news["findings"].append((str(number), f"{name}: {words}"))
        took = time.process_time() - began
        news["slowest"] = max(news["slowest"], (took, f"{name} {number}"))
        news["done"] += 1
        if news["done"] == NEWS or index == len(numbers) - 1:
            told = index + 1
            struct.pack_into("<qq", at, 0, index, told)
            to.write(json.dumps(news) + "\n")
            to.flush()
            news = {"done": 0, "outcomes": {}, "findings": [], "slowest": (0.0, "")}


def _timed(kind: Kind, case: Case, scratch: Path, *, counted: bool) -> str:
    """Run one input against the clock, and look at the memory that it took."""
    size = sum(map(len, case.values()))
    before = _resident()
    signal.setitimer(signal.ITIMER_PROF, SECONDS * (4 if counted else 1))
    try:
        with counting(kind.each * size + kind.room) if counted else contextlib.nullcontext():
            result = kind.check(case, scratch)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown = _resident() - before
    right = kind.each * size + max(kind.room, RESIDENT)
    assert grown <= right, f"the process grew by {grown:,} bytes for {size:,}"
    return result


def _resident() -> int:
    """The most bytes that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _name(report: Report, seed: int, kind: str | None, saved: Path | None) -> None:
    """Say how each finding is made again, and put its files down."""
    for i, (number, words) in enumerate(report.findings):
        name, case = case_of(int(number), seed, kind)
        only = f" --kind {kind}" if kind else ""
        report.findings[i] = (f"--seed {seed}{only} --first {number} --runs 1", words)
        for file, data in case.items() if saved else ():
            place = Path(saved or "") / f"{name}-{seed}-{number}" / (file or "file")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
