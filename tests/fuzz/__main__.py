"""Every fuzzer, for as many inputs as one likes, in processes that may die of them.

    make fuzz                                                  # a million
    PYTHONPATH=pyodide_pkg python -m tests.fuzz --runs 20000 --seed 3 --jobs 2
    PYTHONPATH=pyodide_pkg python -m tests.fuzz --kind model --first 4711 --runs 1

Input i of a seed is always the same. A finding is an error that is no `ThimbleError`, a crash, more
than a second of processor time, or memory beyond twice the input (of a grammar: beyond the multiple
that `KINDS` names) and what is right for nothing; its files are put into build/fuzz.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.campaign import Report, run
from tests.fuzz.registry import KINDS


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz everything that reads files of others.")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--kind", choices=list(KINDS), help="this kind of input only")
    options = parser.parse_args()
    began = time.monotonic()

    def tell(report: Report) -> None:
        seconds = time.monotonic() - began
        print(f"{report.done:,} inputs, {seconds:.0f} s, {len(report.findings)} findings",
              file=sys.stderr, flush=True)  # fmt: skip

    report = run(
        range(options.first, options.first + options.runs), seed=options.seed,
        jobs=options.jobs, kind=options.kind, saved=Path("build/fuzz"), tell=tell,
    )  # fmt: skip
    report.show(time.monotonic() - began)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
