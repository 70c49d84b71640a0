"""How fast it trains: `make bench-training`, which writes docs/bench/training.md and its JSON.

In Chromium, one thread: training's matrix products beside what the processor multiplies and adds in
registers, and whole steps as the training panel makes them. Natively, one thread each: steps of our
kernels and of PyTorch by the same recipe, in turns, in a process of its own each.
"""

from __future__ import annotations

import datetime
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from playwright.sync_api import sync_playwright

from bench import machine, measure, site
from bench.browser import RunnerPage, Server, launched
from bench.goals import number
from bench.results import Results, Spread
from tools.fingerprint import ROOT

RUNS = 5
WIDTHS = (128, 256)
SIZES = (0.37, 1.3, 2.8)
"""Of the dial, about the millions of parameters."""
RECIPE = {"context": 128, "micro_tokens": 2048, "steps": 100_000, "separator": "\n"}
GOALS = {"products": 25.0, "page": 8000.0, "native": 1.0}
"""GFLOP/s at every width; tokens a second at 0.37M; times PyTorch at every size."""
STEPS = 6
"""Of a native round, the first two unmeasured."""
OUT = ROOT / "docs" / "bench"


def sample_text() -> str:
    """Words of letters drawn evenly, a line each: speed does not depend on them."""
    dice = random.Random(1)
    words = ("".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(20_000))
    return "\n".join(words)


def recipe(size: float, backend: str = "thimble") -> str:
    return json.dumps({**RECIPE, "size": size, "backend": backend})


def in_page() -> dict[str, Any]:
    """Products (multiply-adds a second), steps (seconds) and the register's limit in Chromium."""
    build = site.assemble([])
    server = Server()
    results = Results()
    try:
        with sync_playwright() as playwright, launched(playwright) as browser:
            measure.measure_limits(results, browser, server, RUNS)
            measure.tell("products")
            page = RunnerPage(browser, server.address, "wllama", 2)
            products = {width: page.train_products(width, RUNS) for width in WIDTHS}
            page.close()
            page = RunnerPage(browser, server.address, "thimble", 1)
            steps: dict[float, list[float]] = {}
            for size in SIZES:
                measure.tell(f"steps in the page, {size}M")
                page.train_step(recipe(size), sample_text())
                steps[size] = [page.train_step(recipe(size), sample_text()) for _ in range(RUNS)]
            page.close()
            versions = machine.versions(build, browser.version)
    finally:
        server.close()
    floats = results.limit("page", "floats")
    return {
        "products": products,
        "steps": steps,
        "floats": floats.median if floats else None,
        "versions": versions,
    }


def native_rounds(size: float) -> dict[str, list[float]]:
    """Tokens a second of both, a value a round."""
    found: dict[str, list[float]] = {"thimble": [], "torch": []}
    for run in range(RUNS):
        order = list(found) if run % 2 else list(found)[::-1]
        for backend in order:
            command = [sys.executable, "-m", "bench.training", backend, str(size)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found[backend].append(float(done.stdout))
    return found


def native_rate(backend: str, size: float) -> float:
    """Tokens a second of one trainer, on one thread: the median step."""
    from thimble.train.recipe import Recipe
    from thimble.train.trainer import Trainer

    kind: type[Trainer] = Trainer
    if backend == "torch":
        from thimble.train.torch_trainer import TorchTrainer

        kind = TorchTrainer
    chosen = Recipe.from_dict(json.loads(recipe(size, backend)))
    trainer = kind(chosen, sample_text(), threads=1)
    reports = [trainer.step() for _ in range(STEPS)][2:]
    trainer.close()
    return statistics.median(report.tokens / report.seconds for report in reports)


def rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Every goal with what was measured."""
    limit = found["page"]["floats"]
    made = []
    for width, values in found["page"]["products"].items():
        rate = statistics.median(values)
        share = f", {100 * rate / limit:.0f}% of what registers allow" if limit else ""
        made.append(
            _row(
                f"products {width} wide, Chromium, one thread",
                f"≥ {GOALS['products']:g} GFLOP/s",
                f"{_spread([2e-9 * value for value in values])} GFLOP/s{share}",
                2e-9 * rate / GOALS["products"],
            )
        )
    tokens = RECIPE["micro_tokens"]
    for size, seconds in found["page"]["steps"].items():
        rates = [tokens / each for each in seconds]
        first = float(size) == SIZES[0]
        goal = f"≥ {GOALS['page']:,.0f} tokens/s" if first else "–"
        reached = statistics.median(rates) / GOALS["page"] if first else None
        words = f"{_spread(rates)} tokens/s"
        made.append(_row(f"training {size}M, Chromium, one thread", goal, words, reached))
    for size, both in found["native"].items():
        ours, theirs = both["thimble"], both["torch"]
        ratio = statistics.median(ours) / statistics.median(theirs)
        words = f"{ratio:.2f} × ({_spread(ours)} and {_spread(theirs)} tokens/s)"
        what = f"training {size}M natively, one thread"
        made.append(_row(what, f"≥ {GOALS['native']:g} × PyTorch", words, ratio))
    return made


def _row(what: str, goal: str, words: str, reached: float | None) -> tuple[str, str, str, str]:
    return what, goal, words, "" if reached is None else "yes" if reached >= 1 else "no"


def _spread(values: Sequence[float]) -> str:
    found = Spread.of(list(values))
    assert found is not None
    return f"{number(found.median)} ({number(found.low)}–{number(found.high)})"


PAGE = """# Training's speed

    make bench-training

{about}

| | goal | measured | met |
|---|---|---|---|
{table}

A product of width n multiplies two n × n float32 matrices; a multiply-add counts as two operations,
never fused. [bench/kernels/probe.c](../../bench/kernels/probe.c) measures what registers allow. A
step is the training panel's: 256 bytes of vocabulary, a context of 128, 2,048 tokens, Muon for the
matrices; forward, backward and update. PyTorch takes the same steps by the same recipe
([training.md](../training.md)), in float32, on one thread, in turns, each in its own process.
"""


def main(arguments: list[str]) -> int:
    if arguments:
        backend, size = arguments
        print(native_rate(backend, float(size)))
        return 0
    found: dict[str, Any] = {
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine.describe(),
        "load": machine.load(),
        "page": in_page(),
        "native": {},
    }
    for dial in SIZES:
        measure.tell(f"natively, {dial}M")
        found["native"][dial] = native_rounds(dial)
    found = json.loads(json.dumps(found))
    (OUT / "training.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    import torch

    what = found["machine"]
    about = (
        f"Made {found['made']} on {what['cpu']}, {what['cores']} cores, {what['system']}; "
        f"{found['load']} processes wanted a core at the beginning. Medians of {RUNS} with lowest "
        f"and highest. Chromium {found['page']['versions']['chromium']}, PyTorch "
        f"{torch.__version__}."
    )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows(found))
    (OUT / "training.md").write_text(PAGE.format(about=about, table=table), encoding="utf-8")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
