"""The command: `make bench`, or `python -m bench` with options.

`--only ensembles` and `--only own` are commands of their own, with options of their own:
bench/ensembles.py, bench/own.py.

A full run writes docs/bench/: results.json, chart.svg, tables.txt and the tables of README.md. A
run of a part writes the same files to build/bench/out/ instead, so that what is published is one.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Playwright, sync_playwright

from bench import (
    chart,
    looking,
    machine,
    measure,
    micro,
    models,
    profile,
    report,
    shading,
    site,
    stepping,
)
from bench.browser import Server, launched
from bench.results import Results
from tools.fingerprint import ROOT

DOCS = ROOT / "docs" / "bench"
PARTS = (
    "decode", "prompt", "start", "memory", "native", "micro", "profile", "shading", "stepping",
    "lens",
)  # fmt: skip
QUICK_TOKENS = 48


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", default=",".join(models.SHAPES), metavar="A,B",
        help=f"of {', '.join(models.SHAPES)}",
    )  # fmt: skip
    parser.add_argument("--encodings", default=",".join(models.ENCODINGS), metavar="A,B")
    parser.add_argument("--runs", type=int, default=5, help="measurements of each thing")
    parser.add_argument(
        "--threads", default="1,2", metavar="N,M", help="runners of so many threads"
    )
    parser.add_argument("--quick", action="store_true", help="two short runs, no 110M model")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument(
        "--llama-python", default=os.environ.get("THIMBLE_BENCH_LLAMA"), metavar="PATH",
        help="a Python that has llama-cpp-python; else one is built (THIMBLE_BENCH_LLAMA)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write instead")
    parser.add_argument("--report", type=Path, metavar="JSON", help="measure nothing, report this")
    options = parser.parse_args(arguments)
    if options.quick:
        options.runs = min(options.runs, 2)
        if options.models == ",".join(models.SHAPES):
            options.models = "0.26M,15M"
    options.threads = [int(words) for words in options.threads.split(",")]
    options.shapes = _chosen(parser, "--models", options.models, models.SHAPES)
    options.chosen_encodings = _chosen(parser, "--encodings", options.encodings, models.ENCODINGS)
    return options


def _chosen(
    parser: argparse.ArgumentParser, option: str, words: str, known: dict[str, Any]
) -> list[Any]:
    unknown = [name for name in words.split(",") if name not in known]
    if unknown:
        parser.error(f"{option} knows no {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in words.split(",")]


def main(arguments: list[str]) -> int:
    if arguments[:2] == ["--only", "ensembles"]:
        from bench import ensembles

        return ensembles.main(arguments[2:])
    if arguments[:2] == ["--only", "own"]:
        from bench import own

        return own.main(arguments[2:])
    options = parse(arguments)
    if options.report:
        finish(Results.load(options.report), options.out or options.report.parent)
        return 0
    # Whoever ends the bench from outside ends its browser and its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        results = run(options, arguments)
    except site.BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    whole = not (options.only or options.quick) and options.runs >= 5
    whole = whole and options.threads == [1, 2] and len(options.shapes) == len(models.SHAPES)
    whole = whole and len(options.chosen_encodings) == len(models.ENCODINGS)
    finish(results, options.out or (DOCS if whole else site.FOLDER / "out"))
    return 0


def run(options: argparse.Namespace, arguments: list[str]) -> Results:
    """Measure what was asked for."""
    wanted = _pairs(options)
    # Starting takes the 15M model while the site has no default one.
    stand_in = (models.SHAPES["15M"], models.ENCODINGS["Q8_0"])
    build = site.assemble(wanted if stand_in in wanted else [*wanted, stand_in])
    llama, llama_missing = None, ""
    if options.only in (None, "decode", "prompt", "native"):
        llama, llama_missing = measure.find_llama(options.llama_python)
    results = Results()
    for shape, encoding in wanted:
        size = models.ensure(site.MODELS, shape, encoding).stat().st_size
        results.models[f"{shape.name} {encoding.name}"] = {
            "bytes": size,
            "parameters": shape.parameters,
            "products": shape.products,
            "cache_bytes": shape.cache_bytes,
        }
    server = Server()
    try:
        with sync_playwright() as playwright:
            _measure(options, arguments, results, playwright, server, build, (llama, llama_missing))
    finally:
        server.close()
    return results


def _pairs(options: argparse.Namespace) -> list[tuple[models.Shape, models.Encoding]]:
    return [(s, e) for s in options.shapes for e in options.chosen_encodings]


def _measure(
    options: argparse.Namespace,
    arguments: list[str],
    results: Results,
    playwright: Playwright,
    server: Server,
    build: dict[str, Any],
    llama: tuple[str | None, str],
) -> None:
    def asked(*parts: str) -> bool:
        return options.only is None or options.only in parts

    with launched(playwright) as browser:
        results.about = {
            "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "command": " ".join(["python -m bench", *arguments]),
            "machine": machine.describe(),
            "versions": machine.versions(build, browser.version),
            "kernels": machine.kernel_hashes(),
            "runs": options.runs,
            "load": [machine.load()],
        }
        if asked("native", "decode"):
            measure.measure_limits(results, browser, server, options.runs)
        if asked("decode", "prompt", "native"):
            limit = 2 if options.only == "prompt" else QUICK_TOKENS if options.quick else None
            rates = measure.Rates(
                browser,
                server,
                *llama,
                options.runs,
                limit,
                options.threads,
                options.only == "native",
            )
            for shape, encoding in _pairs(options):
                rates.measure(results, shape, encoding)
                results.about["load"].append(machine.load())
        if asked("micro"):
            if options.only == "micro":
                measure.measure_limits(results, browser, server, options.runs)
            missing = micro.measure_micro(results, browser, server, options.runs)
            if missing:
                results.about["micro_missing"] = missing
        if asked("shading"):
            model = measure.start_model(build)
            if model.get("default"):
                shading.measure_shading(results, browser, server, model, options.runs)
        if asked("stepping"):
            model = measure.start_model(build)
            if model.get("default"):
                stepping.measure_stepping(results, browser, server, model)
        if asked("lens"):
            model = measure.start_model(build)
            if model.get("default"):
                looking.measure_looking(results, browser, server, model)
        if asked("profile"):
            for shape, encoding in _pairs(options):
                measure.tell(f"profile, {shape.name} {encoding.name}")
                profile.measure_profile(results, browser, server, shape, encoding)
        if asked("memory"):
            shapes = [shape for shape in options.shapes if shape.name != "0.26M"]
            measure.measure_memory(results, browser, server, shapes, min(3, options.runs))
    if asked("start"):
        model = measure.start_model(build)
        measure.measure_starts(results, playwright, server, model, options.runs)
        measure.measure_playground(results, playwright, server, model)
        results.about["load"].append(machine.load())


def finish(results: Results, folder: Path) -> None:
    """Print the tables and write the files, all from what the JSON file holds."""
    results.save(folder / "results.json")
    results = Results.load(folder / "results.json")
    words = report.text(results)
    print(words)
    (folder / "tables.txt").write_text(words + "\n", encoding="utf-8")
    (folder / "chart.svg").write_text(chart.chart(results), encoding="utf-8")
    page = folder / "README.md"
    if not page.is_file():
        shutil.copyfile(DOCS / "README.md", page)
    report.write_page(page, results)
    print(f"\nbench: {folder}/results.json, chart.svg, tables.txt, README.md")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
