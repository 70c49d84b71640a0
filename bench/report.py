"""The figures as tables: on the terminal, and between the marks of docs/bench/README.md.

Everything comes out of the results; no figure is typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.goals import Row, number, rows
from bench.results import Micro, Rate, Results, Spread

Table = list[tuple[str, ...]]

NAMES = {
    "thimble": "Thimble",
    "thimble-details": "Thimble, every token's details",
    "thimble native": "Thimble, native",
    "llama.cpp native": "llama.cpp, native",
    "pyodide": "bare loadPyodide",
    "pyodide-own": "bare loadPyodide, with the site's files",
    "playground": "Thimble's playground",
}
"""How runners are called in tables."""

FLOATS = ("F32", "F16", "BF16")

PLACES = ("kernels", "Python", "calls", "JavaScript", "messages", "garbage collector", "browser")
"""Of a profile; see profile.py."""


def runner_name(runner: str) -> str:
    return NAMES.get(runner, runner)


def goal_table(results: Results) -> Table:
    """Every row of the goals."""
    table: Table = [("", "goal", "measured", "met")]
    for row in rows(results):
        table.append((row.what, row.goal, row.measured, verdict(row)))
    return table


def verdict(row: Row) -> str:
    if row.met is None:
        return row.missing or "?"
    return "yes" if row.met else "no"


def rate_table(results: Results, what: str) -> Table:
    """What every runner reaches on every model, `what` being "decode" or "prompt"."""
    runners = list(dict.fromkeys(rate.runner for rate in results.rates))
    table: Table = [("model", "threads", *map(runner_name, runners))]
    for model, encoding in results.measured():
        of_model = [one for one in results.rates if (one.model, one.encoding) == (model, encoding)]
        for threads in sorted({one.threads for one in of_model}):
            found = {one.runner: one for one in of_model if one.threads == threads}
            cells = (_rate(found[name], what) if name in found else "" for name in runners)
            table.append((f"{model} {encoding}", str(threads), *cells))
    return table


def _rate(rate: Rate, what: str) -> str:
    if not rate.samples or rate.missing is not None:
        return "–"
    return spread(rate.decode if what == "decode" else rate.prompt)


def missing_rates(results: Results) -> str:
    """Why rates are not in the tables: each reason once, with the models."""
    reasons: dict[str, list[str]] = {}
    for rate in results.rates:
        if not rate.samples or rate.missing is not None:
            named = f"{runner_name(rate.runner)}, threads: {rate.threads}"
            why = f"{named}: {rate.missing or 'no sample'}"
            reasons.setdefault(why, []).append(f"{rate.model} {rate.encoding}")
    return "\n".join(f"Not measured: {why} ({', '.join(of)})." for why, of in reasons.items())


def start_table(results: Results) -> Table:
    """Visits: time to the first token, and what came over the wire."""
    table: Table = [("runner", "model", "visit", "first token, s", "received, MB")]
    for start in results.starts:
        left = (runner_name(start.runner), start.model, str(start.visit))
        if start.samples:
            table.append(
                (*left, spread(start.seconds, "{:.2f}"), spread(start.megabytes, "{:.2f}"))
            )
        else:
            table.append((*left, start.missing or "no sample", ""))
    return table


def memory_table(results: Results) -> Table:
    table: Table = [("runner", "model", "peak of the page's process, MB", "over the file, MB")]
    for memory in results.memory:
        left = (runner_name(memory.runner), f"{memory.model} {memory.encoding}".strip())
        size = results.models.get(f"{memory.model} {memory.encoding}", {}).get("bytes", 0)
        found = memory.megabytes
        if found is None:
            table.append((*left, memory.missing or "no sample", ""))
        else:
            over = number(found.median - size / 1e6) if size else "–"
            table.append((*left, spread(found), over))
    return table


LIMITS = {
    "read": "memory read, GB/s",
    "read by two": "read by two threads, GB/s",
    "products": "16-bit multiply-adds, billions/s",
    "floats": "single-precision multiply-adds, billions/s",
}


def limit_table(results: Results) -> Table:
    """The machine's limits, and what they mean for decoding: all weights are read every token."""
    table: Table = [("one thread unless said", *LIMITS.values())]
    for where in ("page", "native"):
        found = [results.limit(where, what) for what in LIMITS]
        cells = [spread(limit and _scaled(limit, 1e-9)) for limit in found]
        if any(found):
            table.append((where, *cells))
    return table


def ceiling_table(results: Results) -> Table:
    """Decode rates beside reading every byte of the file once a token."""
    table: Table = [("model", "reading the file once a token, tokens/s", "Thimble", "of it")]
    read = results.limit("page", "read")
    for model, encoding in results.measured():
        size = results.models.get(f"{model} {encoding}", {}).get("bytes")
        rate = results.rate(model, encoding, "thimble")
        decode = rate.decode if rate else None
        if read and size and decode:
            most = read.median / size
            share = f"{100 * decode.median / most:.0f}%"
            table.append((f"{model} {encoding}", number(most), number(decode.median), share))
    return table


IN_CACHE = 4 << 20
"""Bytes of a matrix up to which its weights need not come from memory each time."""


def micro_table(results: Results) -> Table:
    table: Table = [
        ("", "kernel", "matrix", "tokens", "multiply-adds, billions/s", "limit", "of the limit")
    ]
    for one in results.micro:
        found = Spread.of([value / 1e9 for value in one.values])
        most = roof(results, one)
        if found is None:
            continue
        limit, share = "–", "–"
        if most is not None:
            limit, share = number(most / 1e9), f"{100e9 * found.median / most:.0f}%"
        table.append((
            one.where, one.encoding, f"{one.rows} × {one.cols}", str(one.tokens), spread(found),
            limit, share,
        ))  # fmt: skip
    return table


def roof(results: Results, one: Micro) -> float | None:
    """What the machine allows: its multiplications, and for a matrix that no cache holds, reading
    it once for every `tokens` activations."""
    machine = one.where.partition(",")[0]
    products = results.limit(machine, "floats" if one.encoding in FLOATS else "products")
    read = results.limit(machine, "read")
    if products is None or read is None:
        return None
    if one.bytes <= IN_CACHE:
        return products.median
    return min(products.median, read.median * one.rows * one.cols * one.tokens / one.bytes)


def profile_table(results: Results) -> Table:
    """Where a decoding's time went in Thimble's worker."""
    table: Table = [("model", "µs a token", *PLACES)]
    for one in results.profiles:
        each = 1000 * one.sample["decodeMs"] / max(1, one.sample["tokens"] - 1)
        shares = (f"{100 * one.places.get(name, 0):.1f}%" for name in PLACES)
        table.append((f"{one.model} {one.encoding}", number(each), *shares))
    return table


SAID = {
    "text": "bare text",
    "probabilities": "each token's probability",
    "alternatives": "and its 10 best alternatives",
    "shaded": "and the page shades them",
}


def shading_table(results: Results) -> Table:
    """What it costs to know and to show how expected each token was."""
    table: Table = [("model", "what comes with a token", "tokens/s", "of bare text's time")]
    bare = {one.model: one.decode for one in results.shading if one.way == "text"}
    for one in results.shading:
        decode, first = one.decode, bare.get(one.model)
        more = f"{100 * (first.median / decode.median - 1):+.1f}%" if decode and first else "–"
        table.append((f"{one.model}, {one.tokens} tokens", SAID[one.way], spread(decode), more))
    return table


def stepping_table(results: Results) -> Table:
    """What a step of the debugger costs beside its decode, in milliseconds."""
    heads = ("kernels", "rest of the worker", "page", "interface", "by the clock")
    table: Table = [("model", *(f"{head}, ms" for head in heads))]
    for one in results.stepping:
        parts = [Spread.of(one.kernels), Spread.of(one.worker), Spread.of(one.page)]
        parts += [one.interface, Spread.of(one.wall)]
        table.append((f"{one.model}, {len(one.wall)} steps", *map(spread, parts)))
    return table


def looking_table(results: Results) -> Table:
    """What a look inside costs, in milliseconds."""
    heads = ("by the clock", "kernels", "rest of the worker", "page")
    table: Table = [("model", "tokens", *(f"{head}, ms" for head in heads))]
    for one in results.looking:
        parts = map(Spread.of, (one.wall, one.kernels, one.worker, one.page))
        table.append((one.model, str(one.tokens), *map(spread, parts)))
    return table


def after_looking_table(results: Results) -> Table:
    """What the ranking of all heads takes, and whether decoding knows that somebody has looked."""
    heads = ("ranking, s", "decode, tokens/s", "after a look, tokens/s", "ratio")
    table: Table = [("model", *heads)]
    for one in results.looking:
        if not one.plain:
            continue
        ratios = [after / before for after, before in zip(one.looked, one.plain, strict=True)]
        row = map(spread, map(Spread.of, (one.ranking, one.plain, one.looked)))
        table.append((one.model, *row, spread(Spread.of(ratios), "{:.3f}")))
    return table


LARGEST = 8


def function_table(results: Results) -> Table:
    """The functions that took most of a decoding's time."""
    table: Table = [("model", "where", "function", "of the time")]
    for one in results.profiles:
        for where, name, share in one.functions[:LARGEST]:
            table.append((f"{one.model} {one.encoding}", where, name, f"{100 * share:.1f}%"))
    return table


def spread(found: Spread | None, form: str | None = None) -> str:
    """Median (lowest–highest)."""
    if found is None:
        return "–"
    words = [
        form.format(value) if form else number(value)
        for value in (found.median, found.low, found.high)
    ]
    return f"{words[0]} ({words[1]}–{words[2]})"


def _scaled(found: Spread, by: float) -> Spread:
    return Spread(found.median * by, found.low * by, found.high * by, found.count)


SHOWN = ("Goals", "Decoding, tokens/s")
"""The tables of the page; all of them are on the terminal and in tables.txt."""


def tables(results: Results) -> Iterator[tuple[str, Table]]:
    """All tables that have something in them, with their titles."""
    for title, table in (
        ("Goals", goal_table(results)),
        ("Decoding, tokens/s", rate_table(results, "decode")),
        ("Reading prompts, tokens/s", rate_table(results, "prompt")),
        ("Starting", start_table(results)),
        ("Memory", memory_table(results)),
        ("The machine's limits", limit_table(results)),
        ("Decoding beside reading the file", ceiling_table(results)),
        ("Kernels", micro_table(results)),
        ("Probabilities while decoding", shading_table(results)),
        ("A step of the debugger", stepping_table(results)),
        ("A look inside", looking_table(results)),
        ("All heads ranked; decoding after a look", after_looking_table(results)),
        ("Thimble's worker while decoding", profile_table(results)),
        ("Its largest functions", function_table(results)),
    ):
        if len(table) > 1:
            yield title, table


def text(results: Results) -> str:
    """For the terminal."""
    parts = [about(results)]
    for title, table in tables(results):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in table]
        lines.insert(1, "  ".join("─" * width for width in widths))
        parts.append("\n".join([title, "", *(line.rstrip() for line in lines)]))
    parts.append(missing_rates(results))
    return "\n\n".join(filter(None, parts))


def markdown(results: Results) -> str:
    """For the page in docs/bench."""
    parts = [about(results)]
    for title, table in tables(results):
        if title not in SHOWN:
            continue
        lines = [_row(table[0]), _row(["---"] * len(table[0])), *map(_row, table[1:])]
        parts.append("\n".join([f"### {title}", "", *lines]))
    return "\n\n".join(parts)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"


def about(results: Results) -> str:
    """What the figures belong to, in one paragraph."""
    facts = results.about
    machine, versions = facts["machine"], facts["versions"]
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    loads = [one for one in facts["load"] if one is not None]
    busy = f"; between {min(loads):g} and {max(loads):g} processes wanted a core" if loads else ""
    return (
        f"Made {facts['made']} by `{facts['command']}` on {machine['cpu']}, {machine['cores']} "
        f"cores, {machine['system']}{busy}. Medians with lowest and highest. {named}. "
        f"Kernels {facts['kernels']['sources'][:12]}."
    )


MARKS = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


def write_page(page: Path, results: Results) -> None:
    """Put the tables between the marks of a page that people write the rest of."""
    begin, end = MARKS
    words = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(words):
        raise ValueError(f"{page} has no place for the figures: {begin} … {end}")
    figures = f"{begin}\n\n{markdown(results)}\n\n{end}"
    page.write_text(pattern.sub(lambda _: figures, words), encoding="utf-8")
