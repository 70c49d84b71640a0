"""The page docs/bench/own-models.md, from what own-models.json holds; no figure is typed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.goals import number
from bench.own_models import SHAPES
from bench.report import about, runner_name, spread
from bench.results import Memory, Rate, Results, Spread, Start

Found = TypeVar("Found", Start, Memory)

TIMES = 4.0
"""How many times wllama's rate ours is to be."""
TIMES_ALONE = 5.0
"""The same of writing on one thread."""

PAGE = """# Models of 135M to 0.5B parameters

    make bench-own

{about}

SmolLM2 is SmolLM2-135M-Instruct. The others have random weights in its shapes (llama: 30 layers,
576 wide, 49,152 tokens), Qwen2.5-0.5B's (qwen2: 24 layers, 896 wide, 151,936 tokens, biases) and
LFM2-350M's (lfm2: 16 layers, 1,024 wide, 10 with convolutions), tied embeddings, and a byte-level
vocabulary ([own_models.py](../../bench/own_models.py)). Rows that are no multiple of 256 values,
most here, are Q5_0 in a Q4_K file and IQ4_NL in IQ4_XS, as llama.cpp's quantizer makes them; 576
fill no blocks of Q1_0. Thimble and [wllama](https://github.com/ngxson/wllama) load the
same file in one Chromium and take turns: a prompt of 64 tokens is read afresh, then {tokens} are
written greedily.
For the first token, a new Chromium with an empty profile opens a page with the runner on one
thread, which loads the file over the loopback interface and writes. Memory is the peak resident
size of the page's process (`VmHWM`), browser included.

Thimble over wllama, the ratio of the medians; bold where the goal is missed, which is 4 for 350M on
one thread, too:

{goals}

Rounds, rates, seconds, megabytes and files: [tables](own-models.txt). Samples:
[own-models.json](own-models.json).
"""

TABLES = """{about}

Thimble over wllama: the ratio of the medians, in brackets the lowest and highest of a round

{ratios}

Rates

{rates}

First token and memory

{visits}

Files

{files}
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
        about=about(results), goals=_goal_table(results), tokens=" or ".join(map(str, tokens))
    )


def tables(results: Results) -> str:
    """What the page leaves out, as text."""
    return TABLES.format(
        about=about(results),
        ratios=_ratio_table(results),
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
    alone = getattr(SHAPES.get(model.split()[0]), "goal", TIMES_ALONE)
    times = alone if words == "decode, one thread" else TIMES
    goal = f"≥ {times:g} × wllama"
    values = [_each(rate, what) for rate in both if rate]
    missing = _missing(both)
    if missing or not all(values):
        return Compared(model, words, goal, missing or "no sample", None)
    ratio, told = _quotient(values, "tokens/s")
    return Compared(model, words, goal, told, ratio >= times)


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
    """A row a model: ours over theirs, and which goals are missed."""
    found = list(compared(results))
    goals: dict[str, str] = {}
    for one in found:  # of most models, and all of the real one
        goals[one.what] = max(goals.get(one.what, ""), one.goal.removesuffix(" × wllama"))
    rows = []
    for model in results.models:
        cells = (
            one.measured if one.met is None else _ratio(one) for one in found if one.model == model
        )
        rows.append((model, *cells))
    table = _table(("model", *(f"{what}, {goal}" for what, goal in goals.items())), rows)
    return table.replace(" | ", "|").replace("| ", "|").replace(" |", "|")


def _ratio(one: Compared) -> str:
    ratio = one.measured.partition(" ")[0]
    return ratio if one.met else f"**{ratio}**"


def _ratio_table(results: Results) -> str:
    """The same with the lowest and highest of a round."""
    rows = [(one.model, one.what, one.goal, one.measured, _met(one)) for one in compared(results)]
    return _table(("model", "what", "goal", "measured", "met"), rows)


RUNNERS = ("thimble", "wllama")


def _rate_table(rates: Sequence[Rate]) -> str:
    found = {(f"{one.model} {one.encoding}", one.threads, one.runner): one for one in rates}
    rows = []
    for model, threads in dict.fromkeys((model, threads) for model, threads, _ in found):
        each = [found.get((model, threads, runner)) for runner in (*RUNNERS, "thimble native")]
        decode = (_cell(one, one.decode if one else None) for one in each)
        prompt = (_cell(one, one.prompt if one else None) for one in each)
        rows.append((model, str(threads), *decode, *prompt))
    native = "Thimble in CPython: "
    heads = (
        *_heads("decode, tokens/s"), native + "decode, tokens/s",
        *_heads("prompt, tokens/s"), native + "prompt, tokens/s",
    )  # fmt: skip
    return _table(("model", "threads", *heads), rows)


def _visit_table(results: Results) -> str:
    rows = []
    for model in results.models:
        starts = [_one(results.starts, runner, model) for runner in RUNNERS]
        memory = [_one(results.memory, runner, model) for runner in RUNNERS]
        seconds = (_cell(one, one.seconds if one else None, "{:.2f}") for one in starts)
        peaks = (_cell(one, one.megabytes if one else None) for one in memory)
        rows.append((model, *seconds, *peaks))
    heads = (*_heads("first token, s"), *_heads("memory at most, MB"))
    return _table(("model", *heads), rows)


def _heads(what: str) -> list[str]:
    return [f"{runner_name(runner)}: {what}" for runner in RUNNERS]


def _cell(one: Rate | Start | Memory | None, found: Spread | None, form: str | None = None) -> str:
    if one is None:
        return ""
    return spread(found, form) if one.missing is None else one.missing


def _file_table(results: Results) -> str:
    rows = []
    for model, facts in results.models.items():
        parts = ", ".join(f"{name} {100 * part:.0f} %" for name, part in facts["encodings"].items())
        rows.append((model, f"{facts['parameters']:,}", number(facts["bytes"] / 1e6), parts))
    return _table(("model", "parameters", "MB", "weights"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |" for line in lines)
