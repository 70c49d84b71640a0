"""What Thimble wants to reach, as rows: a goal, what was measured, and whether it is met.

A row whose figures are missing says why, in the words of whoever found out: nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Rate, Results, Spread, Start

FIRST_VISIT_MB = 7.5
SECOND_VISIT_S = 1.0
MEMORY_FACTOR = 1.15


@dataclass(frozen=True, slots=True)
class Row:
    """One goal."""

    what: str
    goal: str
    measured: str
    """With the medians that it comes from."""
    reached: float | None
    """Measured over goal, or the other way round where less is better: 1 and more is met."""
    missing: str | None = None

    @property
    def met(self) -> bool | None:
        return None if self.reached is None else self.reached >= 1


def rows(results: Results) -> list[Row]:
    """Every goal, in order."""
    return [
        _against(results, "decode", "15M", "Q8_0", "wllama", 7),
        _against(results, "decode", "15M", "Q8_0", "llama.cpp native", 1),
        _against(results, "decode", "15M", "Q4_0", "wllama", 8),
        _against(results, "decode", "110M", "Q8_0", "wllama", 5),
        _against(results, "decode", "110M", "Q8_0", "llama.cpp native", 0.5),
        _against(results, "decode", "110M", "Q4_0", "wllama", 6),
        *(
            _against(results, "prompt", model, encoding, "wllama", 4)
            for model in ("15M", "110M")
            for encoding in ("Q8_0", "Q4_0")
        ),
        _against(results, "decode", "0.26M", "Q8_0", "wllama", 3),
        _tokens_a_second(results, "0.26M", "Q8_0", 3000),
        _two_threads(results, "110M", "Q8_0", 1.7),
        _first_visit(results),
        _second_visit(results),
        _second_visit_against_wllama(results),
        _bytes(results),
        _memory(results, "110M", "Q8_0"),
    ]


RATES: dict[str, Callable[[Rate], Spread | None]] = {
    "decode": lambda rate: rate.decode,
    "prompt": lambda rate: rate.prompt,
}


def _found(
    results: Results, kind: str, model: str, encoding: str, runner: str, threads: int = 1
) -> tuple[Spread | None, str]:
    """The rate, or why it is not there."""
    rate = results.rate(model, encoding, runner, threads)
    if rate is None:
        return None, "not measured in this run"
    return RATES[kind](rate), rate.missing or "no sample"


def _against(results: Results, kind: str, model: str, encoding: str, peer: str, goal: float) -> Row:
    verb = "decode" if kind == "decode" else "prompt of 128 tokens,"
    what, wanted = f"{verb} {model} {encoding}", f"≥ {goal:g} × {peer}"
    ours, our_reason = _found(results, kind, model, encoding, "thimble")
    theirs, their_reason = _found(results, kind, model, encoding, peer)
    if ours is None or theirs is None:
        name, reason = ("Thimble", our_reason) if ours is None else (peer, their_reason)
        return Row(what, wanted, "–", None, f"{name}: {reason}")
    ratio = ours.median / theirs.median
    words = f"{ratio:.2f} × ({number(ours.median)} and {number(theirs.median)} tokens/s)"
    return Row(what, wanted, words, ratio / goal)


def _tokens_a_second(results: Results, model: str, encoding: str, goal: float) -> Row:
    what, wanted = f"decode {model} {encoding}, as the page receives it", f"≥ {goal:,.0f} tokens/s"
    ours, reason = _found(results, "decode", model, encoding, "thimble")
    if ours is None:
        return Row(what, wanted, "–", None, reason)
    return Row(what, wanted, f"{number(ours.median)} tokens/s", ours.median / goal)


def _two_threads(results: Results, model: str, encoding: str, goal: float) -> Row:
    what, wanted = f"two threads against one, {model} {encoding}", f"≥ {goal:g} ×"
    one, reason_one = _found(results, "decode", model, encoding, "thimble")
    two, reason_two = _found(results, "decode", model, encoding, "thimble", 2)
    if one is None or two is None:
        return Row(what, wanted, "–", None, reason_one if one is None else reason_two)
    ratio = two.median / one.median
    words = f"{ratio:.2f} × ({number(two.median)} and {number(one.median)} tokens/s)"
    return Row(what, wanted, words, ratio / goal)


def _visits(
    results: Results, *wanted: tuple[str, int]
) -> tuple[list[tuple[Start, Spread]], str | None]:
    """The named visits, or why one of them is not there."""
    found = []
    for runner, visit in wanted:
        start = results.start(runner, visit)
        seconds = start.seconds if start else None
        if start is None or seconds is None:
            reason = (start and start.missing) or "not measured in this run"
            return [], f"{runner}: {reason}"
        found.append((start, seconds))
    return found, None


def _first_visit(results: Results) -> Row:
    what = "first visit, navigation to first token"
    wanted = "≤ 1.5 × a bare loadPyodide"
    found, missing = _visits(results, ("thimble", 1), ("pyodide", 1))
    if missing:
        return Row(what, wanted, "–", None, missing)
    (_, ours), (_, bare) = found
    ratio = ours.median / bare.median
    words = f"{ratio:.2f} × ({ours.median:.2f} and {bare.median:.2f} s)"
    return Row(what, wanted, words, 1.5 / ratio)


def _second_visit(results: Results) -> Row:
    what, wanted = "second visit, from cache", f"≤ {SECOND_VISIT_S:.1f} s"
    found, missing = _visits(results, ("thimble", 2))
    if missing:
        return Row(what, wanted, "–", None, missing)
    ((start, ours),) = found
    restored = "with a snapshot" if has_snapshot(start) else "no snapshot yet"
    return Row(what, wanted, f"{ours.median:.2f} s ({restored})", SECOND_VISIT_S / ours.median)


def has_snapshot(start: Start) -> bool:
    """Whether the visits left a snapshot of the interpreter in the browser's storage."""
    return any("snapshot" in name.lower() for one in start.samples for name in one["stored"])


def _second_visit_against_wllama(results: Results) -> Row:
    what, wanted = "second visit, the same model", "≤ 1 × wllama"
    found, missing = _visits(results, ("thimble", 2), ("wllama", 2))
    if missing:
        return Row(what, wanted, "–", None, missing)
    (_, ours), (_, theirs) = found
    ratio = ours.median / theirs.median
    words = f"{ratio:.2f} × ({ours.median:.2f} and {theirs.median:.2f} s)"
    return Row(what, wanted, words, 1 / ratio)


def _bytes(results: Results) -> Row:
    what, wanted = (
        "bytes on the first visit, brotli, default model included",
        (f"≤ {FIRST_VISIT_MB} MB"),
    )
    start = results.start("playground", 1)
    size = start.megabytes if start else None
    if start is None or size is None:
        reason = (start and start.missing) or "not measured in this run"
        return Row(what, wanted, "–", None, reason)
    if start.missing:
        bare = start.samples[0]["without_model"] / 1e6
        return Row(what, wanted, f"{bare:.2f} MB without a model", None, start.missing)
    return Row(what, wanted, f"{size.median:.2f} MB", FIRST_VISIT_MB / size.median)


def _memory(results: Results, model: str, encoding: str) -> Row:
    what = f"peak memory, {model} {encoding}"
    wanted = f"≤ file × {MEMORY_FACTOR} + cache + Pyodide's own"
    ours, bare = results.peak("thimble", model, encoding), results.peak("pyodide")
    facts = results.models.get(f"{model} {encoding}")
    if ours is None or bare is None or facts is None:
        return Row(what, wanted, "–", None, "not measured in this run")
    allowed = (MEMORY_FACTOR * facts["bytes"] + facts["cache_bytes"]) / 1e6 + bare.median
    words = f"{number(ours.median)} MB of {number(allowed)} MB"
    return Row(what, wanted, words, allowed / ours.median)


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
