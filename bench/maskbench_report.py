"""What MaskBench found, in tables beside what was published of others."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine import cpu_name, describe

if TYPE_CHECKING:
    from bench.maskbench import Outcome

PEERS = """\
||Thimble|LLGuidance 0.7.10|XGrammar 0.1.17|Outlines 0.2.3|llama.cpp|
|---|---|---|---|---|---|
|right on every instance|{right}|78.8 %|71.8 %|62.4 %|57.5 %|
|schemas with an invalid instance let through|{through}|0|12.1 %|7.3 %|5.7 %|
|compile, p50 / p99|{compile}|1.0 / 18 ms|0.9 / > 900 s|0.6 / 413 s|0.3 / 29 ms|
|mask, mean / p99, µs|{mask}|64 / 533|728 / 5,687|1,858 / 7,184|16,565 / 60,371|"""
NAMED = (
    "$ref", "additionalItems", "additionalProperties", "allOf", "anyOf", "const", "contains",
    "dependencies", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "if", "items",
    "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties",
    "minimum", "multipleOf", "not", "oneOf", "pattern", "patternProperties", "propertyNames",
    "uniqueItems",
)  # fmt: skip


def part(values: Sequence[float], share: float) -> float:
    """The value below which this share of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def report(found: list[Outcome]) -> str:
    """Everything in Markdown."""
    compiled = [one.compile_ms for one in found if one.outcome != "not understood"]
    masks = [us for one in found for us in one.mask_us]
    counts = Counter(one.outcome for one in found)
    share = counts["right"] / max(1, len(found))
    table = PEERS.format(
        right=f"{share:.1%}".replace("%", " %"),
        through=counts["invalid accepted"],
        compile=f"{part(compiled, 0.5):.1f} / {part(compiled, 0.99):.0f} ms",
        mask=f"{sum(masks) / max(1, len(masks)):,.0f} / {part(masks, 0.99):,.0f}",
    )
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
    return "\n\n".join([
        table,
        f"{len(found):,} schemas, {len(masks):,} masks: {listed}. Compile: slowest "
        f"{max(compiled, default=0):,.0f} ms. Mask: p50 {part(masks, 0.5):,.0f} µs, p99.9 "
        f"{part(masks, 0.999) / 1e3:,.1f} ms, slowest {max(masks, default=0) / 1e3:,.0f} ms.",
        _table("source", found, lambda one: [one.source]),
        _table("keyword", found, lambda one: [w for w in one.keywords if w in NAMED]),
    ])  # fmt: skip


def _table(name: str, found: list[Outcome], groups: Callable[[Outcome], Iterable[str]]) -> str:
    totals: Counter[str] = Counter()
    outcomes: Counter[tuple[str, str]] = Counter()
    for one in found:
        for group in groups(one):
            totals[group] += 1
            outcomes[group, one.outcome] += 1
    lines = [f"|{name}|schemas|right, %|not understood|valid refused|invalid accepted|"]
    lines.append("|---|---|---|---|---|---|")
    for group, total in sorted(totals.items(), key=lambda item: -item[1]):
        cells = [
            f"{outcomes[group, one]:,}"
            for one in ("not understood", "valid refused", "invalid accepted")
        ]
        right = f"{100 * outcomes[group, 'right'] / total:.1f}"
        lines.append(f"|{group}|{total:,}|{right}|{'|'.join(cells)}|")
    return "\n".join(lines)


def elsewhere(found: dict[str, list[Outcome]]) -> str:
    """What became of schemas of other collections."""
    named = [(name, one) for name, outcomes in found.items() for one in outcomes]
    names = {id(one): name for name, one in named}
    return _table("collection", [one for _, one in named], lambda one: [names[id(one)]])


def keep(found: list[Outcome], others: dict[str, list[Outcome]], folder: Path) -> None:
    """The tables, and what is not right by name."""
    wrong = [
        {"name": o.name, "outcome": o.outcome, "why": o.why}
        for o in itertools.chain(found, *others.values())
        if o.outcome != "right"
    ]
    (folder / "structured.json").write_text(
        json.dumps({"machine": describe(), "wrong": wrong}, indent=1, ensure_ascii=False) + "\n"
    )
    (folder / "structured.md").write_text(
        f"# MaskBench\n\nBy `python -m bench.maskbench --keep`, one core of an {cpu_name()} that "
        "others used, too; processor time. The others' figures: guidance-ai/jsonschemabench, March "
        "2025, all 11,305 schemas, on a server.\n\n" + report(found) + "\n\n"
        "What pydantic and zod write for a list of features, and the standard's own tests:\n\n"
        + elsewhere(others)
        + "\n"
    )
