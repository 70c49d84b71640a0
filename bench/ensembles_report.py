"""The tables of docs/bench/ensembles.md, from what ensembles.json holds."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

WORDS = """{made}, on {cpu}, {cores} cores, by `make ensembles`; kernels {kernels}. Native, one
thread. Methods: [ensembles.md](../ensembles.md). Samples: [ensembles.json](ensembles.json)."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(found: dict[str, Any]) -> str:
    """The whole page; a part that was not measured is not there."""
    words = WORDS.format(
        made=found["made"], kernels=found["kernels"][:12], cpu=found["machine"]["cpu"],
        cores=found["machine"]["cores"],
    )  # fmt: skip
    parts = [part(found[name]) for name, part in PARTS.items() if name in found]
    return "\n".join(["# Ensembles, measured\n", _prose(words), *parts])


def _part(title: str, words: str, rows: str) -> str:
    return f"## {title}\n\n{_prose(words)}\n{rows}\n"


def _prose(words: str) -> str:
    return textwrap.fill(" ".join(words.split()), 100, break_on_hyphens=False) + "\n"


def _stories(found: dict[str, Any]) -> str:
    words = f"""Bits per byte of {found["texts"]:,} held-out stories, {found["bytes"]:,.0f}
        bytes, each on its own and cut at {found["tokens"]} tokens. Gains are over the best
        member, {found["best"]}, with 95 % bootstrap intervals over stories. Pairs: the best one of
        each method; all are in the samples."""
    return _part(
        "Story models that differ by seed", words, _measured(_without_pairs(found["rows"]))
    )


def _without_pairs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, but of each method's pairs only the one that predicts best."""
    pairs = [row for row in rows if len(row.get("members", ())) == 2]
    best: dict[str, dict[str, Any]] = {}
    for row in pairs:
        known = best.get(row["method"])
        if known is None or row["bits_per_byte"] < known["bits_per_byte"]:
            best[row["method"]] = row
    kept = list(best.values())
    return [row for row in rows if row not in pairs or row in kept]


def _mixed(found: dict[str, Any]) -> str:
    words = f"""Weights are fitted to {found["learnt_from"]:,} held-out texts and measured on
        {found["texts"]:,} others, {found["bytes"]:,.0f} bytes, half of each kind. Gains are over
        the better of the two."""
    return _part(
        "A story model and a fairy-tale model, on both kinds of text",
        words,
        _measured(found["rows"]),
    )


def _measured(rows: Sequence[dict[str, Any]]) -> str:
    return table(
        ("", "parameters", "trained, core minutes", "bits per byte", "gain"),
        [
            (
                _name(row), f"{row['parameters']:,}", _minutes(row),
                f"{row['bits_per_byte']:.4f}", _gain(row),
            )
            for row in rows
        ],
    )  # fmt: skip


def _name(row: dict[str, Any]) -> str:
    if row.get("large"):
        return f"{row['name']} (one model as large)"
    if "weights" in row:
        return f"{row['name']} ({', '.join(f'{weight:.2f}' for weight in row['weights'])})"
    if "members" in row:
        return f"{row['method']}: {', '.join(row['members'])}"
    return str(row["name"])


def _minutes(row: dict[str, Any]) -> str:
    return f"{row['core_seconds'] / 60:.1f}" if row.get("core_seconds") else ""


def _gain(row: dict[str, Any]) -> str:
    if "gain" not in row:
        return ""
    gain = row["gain"]
    return f"{gain['percent']:.2f} % ({gain['low']:.2f} to {gain['high']:.2f})"


def _cost(found: dict[str, Any]) -> str:
    single = found["single"]
    rows = []
    for row in found["rows"]:
        k = row["members"]
        times = [ours / one / k for ours, one in zip(row["seconds"], single, strict=True)]
        least = min(row["seconds"]) / min(single) / k
        rows.append((
            f"{row['method']} of {k}", f"{1e6 * statistics.median(row['seconds']):.0f}",
            f"{statistics.median(times):.3f} ({min(times):.3f}–{max(times):.3f})", f"{least:.3f}",
        ))  # fmt: skip
    words = f"""{found["model"]}, {found["parameters"]:,} parameters, {found["tokens"]} tokens
        sampled, processor time in {found["rounds"]} rounds; one member alone takes
        {1e6 * statistics.median(single):.0f} µs. Each round's time is divided by k times that
        round's single member: median and extremes, and the same of the shortest times, which
        other programs disturb least."""
    return _part(
        "What a token costs",
        words,
        table(("", "µs a token", "of k members", "of the shortest"), rows),
    )


def _speculation(found: dict[str, Any]) -> str:
    rows = []
    for row in found["rows"]:
        times = [a / b for a, b in zip(row["alone"], row["drafted"], strict=True)]
        told, cost = row["told"], row["rows_cost"]
        checked, rounds = told["checked"], told["rounds"]
        rows.append((
            f"{row['target']} ({row['parameters'][0]:,})",
            f"{row['draft']} ({row['parameters'][1]:,})",
            f"{1 / statistics.median(row['alone']):,.0f}",
            f"{1 / statistics.median(row['drafted']):,.0f}",
            f"{statistics.median(times):.2f} ({min(times):.2f}–{max(times):.2f})",
            f"{100 * told['accepted'] / checked:.0f} %" if checked else "",
            f"{1 + told['accepted'] / rounds:.2f}" if rounds else "",
            f"{statistics.median(row['draft_alone']) / statistics.median(row['alone']):.2f}",
            ", ".join(f"{cost[count]:.1f}" for count in ("2", "4", "8")),
        ))  # fmt: skip
    head = (
        "target", "draft", "alone, tokens/s", "drafted, tokens/s", "times as fast", "accepted",
        "tokens a pass", "a draft's token", "2, 4, 8 tokens together",
    )  # fmt: skip
    words = f"""Greedy, with equal tokens, processor time, {found["rounds"]} rounds. The last two
        columns, in units of one token of the target, say why: a pass over several tokens saves
        only what they share."""
    return _part("Speculative decoding", words, table(head, rows))


PARTS = {"stories": _stories, "mixed": _mixed, "cost": _cost, "speculation": _speculation}
