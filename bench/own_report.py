"""The page docs/bench/own-models.md, from what own-models.json holds; no figure is typed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.goals import number
from bench.report import about, runner_name, spread
from bench.results import Memory, Rate, Results, Start

Found = TypeVar("Found", Start, Memory)

TIMES = 4.0
"""How many times wllama's rate ours is to be."""

PAGE = """# Models as people bring them

    make bench-own

{about}

Random weights in the shapes of SmolLM2-135M (llama: 30 layers, 576 wide, 49,152 tokens) and
Qwen2.5-0.5B (qwen2: 24 layers, 896 wide, 151,936 tokens, biases), embedding and output in one
matrix, with a byte-level vocabulary of that size in the file
([own_models.py](../../bench/own_models.py)). Thimble and
[wllama](https://github.com/ngxson/wllama) load the same file in one Chromium and take turns; `×` is
the median of ours over the median of theirs, in brackets the lowest and highest of the rounds' own
quotients.

## Goals

{goals}

## Rates

A prompt of 64 tokens read afresh, then {tokens} written greedily.

{rates}

## From the navigation to the first token, and memory

A new Chromium with an empty profile opens a page with the runner on one thread, which loads the
file from the server on the loopback interface and writes. Memory is the most that the page's
process had resident (`VmHWM`), the browser's own part included.

{visits}

## The files

A file of Q4_K has Q5_0 where rows are no multiple of 256 values, which most of these are not: that
is what llama.cpp's quantizer makes of them, and ours.

{files}

The numbers behind this page: [own-models.json](own-models.json).
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing, ours beside theirs."""

    model: str
    what: str
    goal: str
    measured: str
    met: bool | None


def page(results: Results) -> str:
    """The whole page."""
    tokens = sorted({int(s["tokens"]) for rate in results.rates for s in rate.samples})
    return PAGE.format(
        about=about(results),
        goals=_goal_table(results),
        tokens=" or ".join(map(str, tokens)),
        rates=_rate_table(results.rates),
        visits=_visit_table(results),
        files=_file_table(results),
    )


def goal_lines(results: Results) -> str:
    """The goals for the terminal."""
    lines = ((one.model, one.what, one.goal, one.measured, _met(one)) for one in compared(results))
    return "\n".join("  ".join(line) for line in lines)


def compared(results: Results) -> Iterator[Compared]:
    """Every goal, model by model."""
    for model in results.models:
        name, encoding = model.split()
        for what in ("decode", "prompt"):
            for threads in (1, 2):
                words = f"{what}, {'one thread' if threads == 1 else f'{threads} threads'}"
                both = [
                    results.rate(name, encoding, runner, threads)
                    for runner in ("thimble", "wllama")
                ]
                yield _rates(model, words, what, both)
        starts = [_one(results.starts, runner, model) for runner in ("thimble", "wllama")]
        seconds = [[s["firstToken"] / 1000 for s in start.samples] for start in starts if start]
        yield _less(model, "navigation to first token", "s", seconds, _missing(starts))
        memory = [_one(results.memory, runner, model) for runner in ("thimble", "wllama")]
        bytes_ = [[peak / 1e6 for peak in one.peak_bytes] for one in memory if one]
        yield _less(model, "memory at most", "MB", bytes_, _missing(memory))


def _one(found: Sequence[Found], runner: str, model: str) -> Found | None:
    for one in found:
        name = one.model if isinstance(one, Start) else f"{one.model} {one.encoding}"
        if (one.runner, name) == (runner, model):
            return one
    return None


def _missing(both: Sequence[Rate | Start | Memory | None]) -> str:
    """Why there is nothing to compare, or nothing."""
    for one in both:
        if one is None:
            return "not measured"
        if one.missing is not None:
            return f"{runner_name(one.runner)}: {one.missing}"
    return ""


def _rates(model: str, words: str, what: str, both: Sequence[Rate | None]) -> Compared:
    goal = f"≥ {TIMES:g} × wllama"
    values = [_each(rate, what) for rate in both if rate]
    missing = _missing(both)
    if missing or not all(values):
        return Compared(model, words, goal, missing or "no sample", None)
    ratio, told = _quotient(values, "tokens/s")
    return Compared(model, words, goal, told, ratio >= TIMES)


def _each(rate: Rate, what: str) -> list[float]:
    """Tokens a second of every round."""
    if what == "decode":
        return [1000 * (s["tokens"] - 1) / s["decodeMs"] for s in rate.samples]
    return [1000 * s["promptTokens"] / s["promptMs"] for s in rate.samples]


def _less(
    model: str, what: str, unit: str, values: Sequence[list[float]], missing: str
) -> Compared:
    goal = "≤ 1 × wllama"
    if missing or not all(values):
        return Compared(model, what, goal, missing or "no sample", None)
    ratio, told = _quotient(values, unit)
    return Compared(model, what, goal, told, ratio <= 1)


def _quotient(values: Sequence[list[float]], unit: str) -> tuple[float, str]:
    """Ours over theirs: the medians', and each round's."""
    ours, theirs = (statistics.median(one) for one in values)
    rounds = [a / b for a, b in zip(*values, strict=False)]
    words = f"{ours / theirs:.2f} × ({min(rounds):.2f}–{max(rounds):.2f}); "
    return ours / theirs, words + f"{number(ours)} and {number(theirs)} {unit}"


def _met(one: Compared) -> str:
    return "?" if one.met is None else "yes" if one.met else "no"


def _goal_table(results: Results) -> str:
    rows = [(one.model, one.what, one.goal, one.measured, _met(one)) for one in compared(results)]
    return _table(("model", "", "goal", "measured", "met"), rows)


def _rate_table(rates: Sequence[Rate]) -> str:
    rows = []
    for rate in rates:
        left = (f"{rate.model} {rate.encoding}", runner_name(rate.runner), str(rate.threads))
        cells = (spread(rate.decode), spread(rate.prompt))
        rows.append((*left, *(cells if rate.missing is None else (rate.missing, ""))))
    return _table(("model", "runner", "threads", "decode, tokens/s", "prompt, tokens/s"), rows)


def _visit_table(results: Results) -> str:
    rows = []
    for start, memory in zip(results.starts, results.memory, strict=True):
        cells = (spread(start.seconds, "{:.2f}"), spread(memory.megabytes))
        told = cells if start.missing is None else (start.missing, "")
        rows.append((start.model, runner_name(start.runner), *told))
    return _table(("model", "runner", "first token, s", "memory at most, MB"), rows)


def _file_table(results: Results) -> str:
    rows = []
    for model, facts in results.models.items():
        parts = ", ".join(f"{name} {100 * part:.0f} %" for name, part in facts["encodings"].items())
        rows.append((model, f"{facts['parameters']:,}", number(facts["bytes"] / 1e6), parts))
    return _table(("model", "parameters", "MB", "weights"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |" for line in lines)
