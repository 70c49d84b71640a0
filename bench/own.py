"""Models as people bring them, beside wllama: `make bench-own`, which writes docs/bench/own-models.

SmolLM2 itself, shapes of 135M and 0.5B parameters in up to five encodings, and LFM2-350M's in Q4_0,
on one thread and on two:
decode and prompt rates as the README of the bench has them, with shorter texts, since wllama writes
a few tokens a second. Time to the first token counts from the navigation of a page in a new
Chromium, the file coming from the address beside it; the same visit tells how much memory the
page's process took.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

from bench import machine, own_models, own_report, site
from bench.browser import (
    ModelSpec,
    NativeRunner,
    RunnerPage,
    Server,
    launched,
    peak_memory,
    reason,
    visits,
)
from bench.measure import STARTS, tell
from bench.own_models import File
from bench.results import Memory, Rate, Results, Start
from bench.site import MODELS, BenchError
from tools.fingerprint import ROOT

RUNS = 3
PROMPT_TOKENS = 64
WARM_UP = (8, 4)
"""Tokens of the prompt, and written, before anything counts."""
RUNNERS = ("thimble", "wllama")
NATIVE = "thimble native"
"""Ours in CPython, of which the tables tell, too."""
THREADS = (1, 2)
DOCS = ROOT / "docs" / "bench"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-own", description=(__doc__ or "").splitlines()[0]
    )
    files = own_models.files()
    names = list(dict.fromkeys(file.name for file in files))
    encodings = list(dict.fromkeys(file.encoding for file in files))
    parser.add_argument("--models", default=",".join(names), metavar="A,B")
    parser.add_argument("--encodings", default=",".join(encodings), metavar="A,B")
    parser.add_argument("--runs", type=int, default=RUNS, help="measurements of each thing")
    parser.add_argument("--tokens", type=int, metavar="N", help="write at most so many")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write instead")
    options = parser.parse_args(arguments)
    wanted = _known(parser, "--models", options.models, names)
    kinds = _known(parser, "--encodings", options.encodings, encodings)
    options.chosen = [file for file in files if file.name in wanted and file.encoding in kinds]
    options.everything = options.chosen == files
    return options


def _known(
    parser: argparse.ArgumentParser, option: str, words: str, known: Sequence[str]
) -> list[str]:
    unknown = [name for name in words.split(",") if name not in known]
    if unknown:
        parser.error(f"{option} knows no {', '.join(unknown)}; there are {', '.join(known)}")
    return words.split(",")


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    whole = options.everything and options.runs >= RUNS and options.tokens is None
    try:
        results = run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    results.about["command"] = " ".join(["python -m bench --only own", *arguments])
    folder = options.out or (DOCS if whole else site.FOLDER / "out")
    results.save(folder / "own-models.json")
    results = Results.load(folder / "own-models.json")
    (folder / "own-models.md").write_text(own_report.page(results), encoding="utf-8")
    (folder / "own-models.txt").write_text(own_report.tables(results), encoding="utf-8")
    print(own_report.goal_lines(results))
    print(f"\nbench: {folder}/own-models.json, own-models.md")
    return 0


def run(options: argparse.Namespace) -> Results:
    """Measure what was asked for."""
    files = [(one.ensure(MODELS), one.parameters) for one in options.chosen]
    build = site.assemble([], files)
    results = Results()
    for model, (path, _) in zip(options.chosen, files, strict=True):
        results.models[f"{model.name} {model.encoding}"] = {
            "bytes": path.stat().st_size,
            "parameters": model.parameters,
            "encodings": dict(model.shares),
        }
    server = Server()
    try:
        with sync_playwright() as playwright:
            with launched(playwright) as browser:
                results.about = {
                    "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
                    "machine": machine.describe(),
                    "versions": machine.versions(build, browser.version),
                    "kernels": machine.kernel_hashes(),
                    "runs": options.runs,
                    "load": [machine.load()],
                }
                for model in options.chosen:
                    measure_rates(results, browser, server, model, options.runs, options.tokens)
                    results.about["load"].append(machine.load())
            for model in options.chosen:
                measure_visits(results, playwright, server, model, options.runs)
                results.about["load"].append(machine.load())
    finally:
        server.close()
    return results


# --- rates ---


def measure_rates(
    results: Results, browser: Browser, server: Server, model: File, runs: int, limit: int | None
) -> None:
    """Load one model in all pages and let them take turns."""
    tell(f"{model.name} {model.encoding}")
    tokens = min(model.new_tokens, limit or model.new_tokens)
    pages: list[tuple[Rate, RunnerPage | NativeRunner]] = []
    try:
        for threads in THREADS:
            for runner in (*RUNNERS, NATIVE):
                rate = Rate(model.name, model.encoding, runner, threads)
                results.rates.append(rate)
                try:
                    page = _opened(browser, server, rate, model)
                except (Error, BenchError) as error:
                    rate.missing = reason(error)
                    continue
                pages.append((rate, page))
                _try(rate, _writing(page, model, *WARM_UP))
                rate.samples.clear()
        for run in range(runs):
            # Every round begins with another one.
            at = run % len(pages)
            for rate, page in pages[at:] + pages[:at]:
                _try(rate, _writing(page, model, PROMPT_TOKENS, tokens))
    finally:
        for _, page in pages:
            page.close()


def _opened(browser: Browser, server: Server, rate: Rate, model: File) -> RunnerPage | NativeRunner:
    """What writes, with the model loaded or `rate` told why it is not."""
    if rate.runner == NATIVE:
        native = NativeRunner(sys.executable, "thimble", model.ensure(MODELS), rate.threads)
        rate.missing = native.missing
        return native
    page = RunnerPage(browser, server.address, rate.runner, rate.threads)
    _try(rate, _loading(page, model, rate.threads))
    return page


def _try(rate: Rate, do: Callable[[], dict[str, float] | None]) -> None:
    if rate.missing is not None:
        return
    try:
        sample = do()
    except (Error, BenchError) as error:
        rate.missing = reason(error)
        tell(f"{rate.runner} {rate.model} {rate.encoding}: {rate.missing}")
        return
    if sample is not None:
        rate.samples.append(sample)


def _loading(page: RunnerPage, model: File, threads: int) -> Callable[[], None]:
    def load() -> None:
        why = page.load(_spec(model), threads)
        if why is not None:
            raise BenchError(why)

    return load


def _writing(
    page: RunnerPage | NativeRunner, model: File, read: int, tokens: int
) -> Callable[[], dict[str, float]]:
    def write() -> dict[str, float]:
        sample = page.generate(model.prompt(read), tokens)
        found = (int(sample["promptTokens"]), int(sample["tokens"]))
        if found != (read, tokens):
            raise BenchError(f"asked to read {read} and write {tokens}, it did {found}")
        return sample

    return write


def _spec(model: File) -> ModelSpec:
    path = model.ensure(MODELS)
    return ModelSpec(path.stem, f"/assets/{path.name}", "")


# --- visits ---


def measure_visits(
    results: Results, playwright: Playwright, server: Server, model: File, runs: int
) -> None:
    """First visits, in turns: time to the first token, and the peak of the page's process."""
    spec = _spec(model)
    query = urlencode({"model": spec.name, "url": spec.url})
    found = {}
    for runner in RUNNERS:
        start = Start(runner, f"{model.name} {model.encoding}", 1)
        found[runner] = start, Memory(runner, model.name, model.encoding)
        results.starts.append(start)
        results.memory.append(found[runner][1])
    for run in range(runs):
        tell(f"visit {run + 1} of {runs}, {model.name} {model.encoding}")
        for runner in RUNNERS[:: 1 if run % 2 else -1]:
            start, memory = found[runner]
            page, more = STARTS[runner]
            try:
                for visit in visits(playwright, server, page, query + more, 1):
                    start.samples.append(
                        {**visit.sample, "bytes": sum(one["bytes"] for one in visit.requests)}
                    )
                    peaks = [peak_memory(process) for process in renderers()]
                    memory.peak_bytes += [max(filter(None, peaks))] if any(peaks) else []
            except (Error, BenchError) as error:
                start.missing = memory.missing = reason(error)
                tell(f"{runner}: {start.missing}")
    for _, memory in found.values():
        if not memory.peak_bytes and memory.missing is None:
            memory.missing = "this system does not tell"


def renderers() -> set[int]:
    """The processes of pages that this one, through what it started, has open; Linux only."""
    parents: dict[int, int] = {}
    pages: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            command = (entry / "cmdline").read_bytes()
        except OSError:  # it has ended since
            continue
        parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        if b"--type=renderer" in command:
            pages.add(int(entry.name))
    return {page for page in pages if os.getpid() in _ancestors(page, parents)}


def _ancestors(process: int, parents: dict[int, int]) -> Sequence[int]:
    found = []
    while process in parents:
        process = parents[process]
        found.append(process)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
