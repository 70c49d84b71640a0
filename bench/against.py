"""Decode and prompt rates beside another commit's: `python -m bench.against COMMIT`.

The other commit's engine is taken out of the history and built under build/bench/against/. Both run
natively on one thread, each in a process of its own, in turns, so that what else the machine does
meets both. Of two large models the one that is loaded first reads up to 5 % slower, wherever its
pages come to lie: so all is measured twice, with each engine first. The figure is the geometric
mean of both ratios of medians, ours over theirs. `--keep` writes docs/bench/against.json and a
table of it, against.txt.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import machine, models, own_models
from bench.browser import NativeRunner
from bench.own_models import File
from bench.site import FOLDER, MODELS, BenchError
from tools.fingerprint import ROOT

BEFORE_THE_PLAN = "a9e9ca7^"
ROUNDS = 15
OWN = "135M"
TOKENS = {"0.26M": 512, "15M": 96, "110M": 16, OWN: 16}
PROMPT_TOKENS = 96
OUT = ROOT / "docs" / "bench" / "against.json"
GOAL = 0.99
BEGINS = """What a plan that is data costs in speed
=======================================

Rates of this engine over those of the one before its forward pass became a plan (docs/plan.md),
commit {against}: natively, on one thread, in turns, medians of {rounds} rounds with each of the
engines loaded first.

    {command}
    {made}, {cpu}, {cores} cores, load {load}

"""
LINES = """
Lines of kernels: {theirs:,} then, {ours:,} now, where fewer were hoped for. One pass took the place
of five; new are the way back through every operation, experts, scans, convolutions, pooling, 14
more encodings, constraints with counts, and keys and values of three types.
"""
ENDS = """
The goal is {goal}. What falls short is small: a program begins each of its operations by itself,
where the old pass ran on; every call into the kernels checks its arguments, which may not exceed
32 bits in a page; and scales of Q4_0 are kept in half precision since, which costs 0.26M a
little, as its weights are all in the cache, and gives larger models memory and speed.
"""


def engine_of(commit: str) -> tuple[str, Path]:
    """The commit's hash, and a folder with its package, built."""
    named = subprocess.run(
        ["git", "rev-parse", "--short", "--verify", f"{commit}^{{commit}}"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if named.returncode:
        raise BenchError(f"{commit} is no commit of this clone (a shallow one has only the last)")
    short = named.stdout.strip()
    folder = FOLDER / "against" / short
    package = folder / "pyodide_pkg"
    if not any(package.glob("thimble/_kernels.*")):
        folder.mkdir(parents=True, exist_ok=True)
        tree = subprocess.run(
            ["git", "archive", short, "pyodide_pkg"], cwd=ROOT, capture_output=True, check=True
        )
        subprocess.run(["tar", "-x"], cwd=folder, input=tree.stdout, check=True)
        build = "import build_kernels as b; b.build(b.target(), b.HERE / 'thimble')"
        subprocess.run([sys.executable, "-c", build], cwd=package, env=_from(package), check=True)
    return short, package


def _from(package: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(package)}


def files() -> list[File]:
    """The bench's models, and SmolLM2's shape, in the encodings that both kinds have."""
    plain = [
        File(
            shape.name, encoding.name, shape.parameters, TOKENS[shape.name], {},
            functools.partial(models.ensure, shape=shape, encoding=encoding),
            functools.partial(_prompt, shape.vocab),
        )
        for shape in models.SHAPES.values()
        for encoding in models.ENCODINGS.values()
    ]  # fmt: skip
    own = [file for file in own_models.files() if file.name == OWN]
    return plain + [file for file in own if file.encoding in models.ENCODINGS]


def _prompt(vocab: int, count: int) -> tuple[str, list[int]]:
    text, ids = models.prompt(vocab)
    return text, ids[:count]


def measure(file: File, sides: dict[str, Path], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Tokens a second of every round: of prompts and of decoding, by sides, the first of which
    loads the model first."""
    path = file.ensure(MODELS)
    prompt, tokens = file.prompt(PROMPT_TOKENS), TOKENS[file.name]
    runners = {
        side: NativeRunner(sys.executable, "thimble", path, 1, environment=_from(package))
        for side, package in sides.items()
    }
    found: dict[str, dict[str, list[float]]] = {
        what: {side: [] for side in sides} for what in ("prompt", "decode")
    }
    try:
        for side, runner in runners.items():
            if runner.missing:
                raise BenchError(f"{side} cannot run {path.name}: {runner.missing}")
            runner.generate(prompt, 4)
        for turn in range(rounds):
            for side in sorted(runners, reverse=bool(turn % 2)):
                one = runners[side].generate(prompt, tokens)
                found["prompt"][side].append(1000 * one["promptTokens"] / one["promptMs"])
                found["decode"][side].append(1000 * (one["tokens"] - 1) / one["decodeMs"])
    finally:
        for runner in runners.values():
            runner.close()
    return found


def lines_of(package: Path) -> int:
    """Of the kernels in a package."""
    files = [*package.glob("kernels/*.c"), *package.glob("kernels/*.h")]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def table(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The page of text."""
    cpu, cores = about["machine"]["cpu"], about["machine"]["cores"]
    lines = [f"    {'model':<12} {'decode':>7} {'prompt':>7}"]
    for row in rows:
        decode, prompt = row["ratios"]["decode"], row["ratios"]["prompt"]
        lines.append(f"    {row['model']:<12} {decode:7.3f} {prompt:7.3f}")
    text = BEGINS.format(**about, cpu=cpu, cores=cores) + "\n".join(lines) + "\n"
    text += LINES.format(**about["lines"])
    short = any(ratio < GOAL for row in rows for ratio in row["ratios"].values())
    return text + ENDS.format(goal=GOAL) if short else text


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.against", description=__doc__)
    parser.add_argument("commit", nargs="?", default=BEFORE_THE_PLAN)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", metavar="NAME", help="models whose name and encoding have this")
    parser.add_argument("--keep", action="store_true", help="write docs/bench/against.*")
    options = parser.parse_args(arguments)
    try:
        short, package = engine_of(options.commit)
        rows: list[dict[str, Any]] = []
        for file in files():
            name = f"{file.name} {file.encoding}"
            if options.only and options.only not in name:
                continue
            sides = {"ours": ROOT / "pyodide_pkg", "theirs": package}
            turned = dict(reversed(sides.items()))
            found = [measure(file, order, options.rounds) for order in (sides, turned)]
            ratios = {
                what: statistics.geometric_mean(
                    statistics.median(one[what]["ours"]) / statistics.median(one[what]["theirs"])
                    for one in found
                )
                for what in ("prompt", "decode")
            }
            said = ", ".join(f"{what} {ratio:.3f}" for what, ratio in ratios.items())
            print(f"{name}: {said} × {short}", flush=True)
            rows.append({"model": name, "ratios": ratios, "tokens_per_s": found})
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.keep:
        about = {
            "made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
            "command": " ".join(["python -m bench.against", *arguments]),
            "against": short,
            "machine": machine.describe(),
            "load": round(os.getloadavg()[0], 1),
            "rounds": options.rounds,
            "lines": {"ours": lines_of(ROOT / "pyodide_pkg"), "theirs": lines_of(package)},
        }
        OUT.write_text(json.dumps({**about, "models": rows}, indent=1) + "\n", encoding="utf-8")
        OUT.with_suffix(".txt").write_text(table(about, rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
