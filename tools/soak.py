"""Long use of the engine: ten thousand texts, a thousand sessions, hours of training.

    make soak                                                  # all of it
    python -m tools.soak --scale 0.01 [--wasm] [--save FILE]

Everything goes through `Engine.call`, as from the page's worker. Memory is read twenty times in
each phase; it is flat where the last quarter's most is at most 2 MiB and 2 % above the first
quarter's. Natively memory is what the process holds; with `--wasm` the same runs under Node in
Pyodide with the page's kernels, and memory is the whole of WebAssembly's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from thimble.browser import Engine

ROOT = Path(__file__).resolve().parent.parent
LOOKS = 20
"""Readings of memory in a phase."""
SPARE = 2 << 20
RECIPE = {"dim": 32, "n_layers": 2, "n_heads": 2, "n_kv_heads": 1, "vocab_size": 256,
          "context": 64, "micro_tokens": 512, "steps": 200, "warmup_steps": 5}  # fmt: skip
OPTIONS: tuple[dict[str, Any], ...] = (
    {"max_tokens": 5, "seed": 1},
    {"max_tokens": 5, "temperature": 0, "logprobs": True, "top_logprobs": 5},
    {"max_tokens": 5, "grammar": {"kind": "regex", "source": "[a-z ]+\\."}},
    {"max_tokens": 5, "repetition_penalty": 1.3, "mirostat": 2, "stop": ["."]},
)


class Worker:
    """The engine, as the worker has it."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.engine = Engine()
        self.files = files

    def ask(self, method: str, *arguments: object) -> Any:
        answer = json.loads(self.engine.call(method, *arguments))
        assert "error" not in answer, answer
        return answer["value"]

    def load(self, name: str) -> None:
        data = self.files[name]
        number = self.ask("begin_load", name, len(data), None)
        for at in range(0, len(data), 1 << 18):
            self.ask("feed", number, data[at : at + (1 << 18)])
        self.ask("finish", number)

    def write(self, session: int, number: int) -> None:
        """One text, of settings and a prompt that change."""
        options = OPTIONS[number % len(OPTIONS)]
        prompt = f"Once {number} " * (1 + number % 7)
        self.ask("start", session, prompt, json.dumps(options))
        while self.ask("run", session, 50)["finish_reason"] is None:
            pass


def generations(worker: Worker, count: float) -> Iterator[float]:
    """Texts in one session."""
    session = worker.ask("open", "small", "{}")
    for number in range(round(count)):
        worker.write(session, number)
        yield (number + 1) / count
    worker.ask("destroy", session)


def sessions(worker: Worker, count: float) -> Iterator[float]:
    """Sessions, each copied and used."""
    for number in range(round(count)):
        session = worker.ask("open", "small", "{}")
        worker.write(session, number)
        copy = worker.ask("clone", session)
        worker.write(copy, number + 1)
        worker.ask("destroy", session)
        worker.ask("destroy", copy)
        yield (number + 1) / count


def switches(worker: Worker, count: float) -> Iterator[float]:
    """Models in place of each other, each used once."""
    for number in range(round(count)):
        name = ("large", "other")[number % 2]
        worker.load(name)
        session = worker.ask("open", name, "{}")
        worker.write(session, number)
        worker.ask("destroy", session)
        worker.ask("drop", name)
        yield (number + 1) / count


def training(worker: Worker, seconds: float) -> Iterator[float]:
    """Trainings one after another, each looked at, kept and exported."""
    text = worker.files["text"].decode()
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        about = json.dumps({"title": "soak"})
        sampling = json.dumps({"prompts": ["The"], "tokens": 8})
        worker.ask("train.begin", json.dumps(RECIPE), text, sampling, about)
        while not worker.ask("train.run", 200)["done"]:
            yield min(0.999, (time.monotonic() - began) / seconds)
            if time.monotonic() - began > seconds:
                break
        worker.ask("train.checkpoint")
        worker.ask("train.export", "q8_0")
        yield min(0.999, passed / seconds)
    yield 1.0


PHASES: dict[str, tuple[Callable[[Worker, float], Iterator[float]], float]] = {
    "generations": (generations, 10_000),
    "sessions": (sessions, 1_000),
    "model switches": (switches, 200),
    "seconds of training": (training, 3_600),
}


def soak(
    files: dict[str, bytes], counts: dict[str, float], memory: Callable[[], int]
) -> list[dict[str, Any]]:
    """Run all phases; what each did, and its memory in bytes."""
    worker = Worker(files)
    worker.load("small")
    told = []
    for name, (phase, _) in PHASES.items():
        count = counts[name]
        seen: list[int] = []
        began = time.monotonic()
        for share in phase(worker, count):
            if share * LOOKS >= len(seen) + 1:
                gc.collect()
                seen.append(memory())
        quarter = len(seen) // 4
        first, last = max(seen[:quarter]), max(seen[-quarter:])
        told.append({
            "phase": name, "count": round(count), "first_quarter": first,
            "last_quarter": last, "flat": last <= first * 1.02 + SPARE,
            "seconds": round(time.monotonic() - began),
        })  # fmt: skip
    return told


def resident() -> int:
    """Bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def files_of(folder: Path) -> dict[str, bytes]:
    """Three of the shipped models, and a text to train on, from a folder that has them."""
    names = {"small": "names.gguf", "large": "story.gguf", "other": "story-small.gguf"}
    files = {name: (folder / file).read_bytes() for name, file in names.items()}
    cards = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md")))
    return files | {"text": "\n\n".join(cards).encode()}


def in_wasm(counts: dict[str, float]) -> list[dict[str, Any]]:
    """The same in Pyodide under Node."""
    from tests.in_pyodide import run

    code = f"""
import types, pathlib, json, pyodide_js
soak = types.ModuleType("soak")
soak.__file__ = "/mounted1/tools/soak.py"
exec(pathlib.Path("/mounted1/tools/soak.py").read_text(), soak.__dict__)
files = soak.files_of(pathlib.Path("/mounted1/web/models"))
json.dumps(soak.soak(files, {counts!r}, lambda: pyodide_js._module.HEAPU8.length))
"""
    told: list[dict[str, Any]] = run(code, folder=ROOT, kernels=True, timeout=None)
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the whole")
    parser.add_argument("--training", type=float, help="seconds of it, whatever the scale")
    parser.add_argument("--wasm", action="store_true", help="in Pyodide, with the page's kernels")
    parser.add_argument("--save", type=Path, help="a file for the figures, as JSON")
    options = parser.parse_args()
    counts = {name: max(LOOKS, whole * options.scale) for name, (_, whole) in PHASES.items()}
    counts["seconds of training"] = options.training or counts["seconds of training"]
    if options.wasm:
        told = in_wasm(counts)
    else:
        told = soak(files_of(ROOT / "web" / "models"), counts, resident)
    for one in told:
        seen = f"{one['first_quarter']:,} bytes, then {one['last_quarter']:,}"
        words = "flat" if one["flat"] else "GROWING"
        print(f"{one['count']:,} {one['phase']} in {one['seconds']:,} s: {seen}: {words}")
    if options.save:
        options.save.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0 if all(one["flat"] for one in told) else 1


if __name__ == "__main__":
    sys.exit(main())
