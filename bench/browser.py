"""Chromium, the site under it, and the pages that measure; pages/types.ts is the other side."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright

from bench.site import BenchError
from tools import browsers
from tools.fingerprint import ROOT

# No first-run pages, no updates and no background traffic beside what is measured.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
START_TIMEOUT_MS = 180_000
SETTLE_MS, SETTLE_ROUNDS = 3000, 8


def chromium() -> str:
    found = browsers.find("chromium")
    if found is None:
        raise BenchError(browsers.HELP)
    return found


def flags() -> list[str]:
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*FLAGS, *(["--no-sandbox"] if root else [])]


class Server:
    """bench/site.py in a process of its own, so that measuring and serving do not share one."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "bench.site", str(port)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        for _ in range(200):
            try:
                self.get("/healthz")
                return
            except OSError:
                time.sleep(0.1)
        self.close()
        raise BenchError("the bench's server did not start")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:
            return json.load(answer)

    def log(self) -> list[dict[str, Any]]:
        """What was asked for since the last time."""
        found: list[dict[str, Any]] = self.get("/bench/log")
        return found

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model in the words of the pages."""

    name: str
    url: str
    onnx: str


CORES = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: %d });"


class RunnerPage:
    """A page that holds one runner, at one number of threads."""

    def __init__(self, browser: Browser, address: str, runner: str, threads: int = 1) -> None:
        self._context = browser.new_context()
        self.page: Page = self._context.new_page()
        query = f"runner={runner}"
        if runner.startswith("thimble"):
            # Thimble takes the threads that a page may have: one without isolation, else as many
            # as the machine says it has cores.
            query += "" if threads > 1 else "&isolated=0"
            self.page.add_init_script(CORES % threads)
        self.page.goto(f"{address}/bench/runner.html?{query}")
        self.page.wait_for_function("window.bench")

    def load(self, model: ModelSpec, threads: int) -> str | None:
        """Load a model; returns why not, where that is known."""
        words: str | None = self.page.evaluate(
            "([model, threads]) => bench.load(model, threads)", [asdict(model), threads]
        )
        return words

    def generate(self, prompt: tuple[str, list[int]], tokens: int) -> dict[str, float]:
        text, ids = prompt
        sample: dict[str, float] = self.page.evaluate(
            "([prompt, tokens]) => bench.generate(prompt, tokens)",
            [{"text": text, "ids": ids}, tokens],
        )
        return sample

    def limits(self, n_bytes: int, rounds: int, repeats: int) -> dict[str, list[float]]:
        found: dict[str, list[float]] = self.page.evaluate(
            "([bytes, rounds, repeats]) => bench.readBytes(bytes, rounds, repeats)",
            [n_bytes, rounds, repeats],
        )
        return found

    def products(self, repeats: int) -> list[dict[str, Any]]:
        """Micro-benchmarks of the kernels."""
        found: list[dict[str, Any]] = self.page.evaluate("(n) => bench.products(n)", repeats)
        return found

    def train_products(self, width: int, repeats: int) -> list[float]:
        """Multiply-adds a second of training's matrix products."""
        words = "([width, n]) => bench.trainProducts(width, n)"
        found: list[float] = self.page.evaluate(words, [width, repeats])
        return found

    def train_step(self, recipe: str, text: str) -> float:
        """Seconds of a training step."""
        words = "([recipe, text]) => bench.trainStep(recipe, text)"
        return float(self.page.evaluate(words, [recipe, text]))

    def close(self) -> None:
        self._context.close()


class PyodidePage:
    """A page with a bare `loadPyodide()` in it: the least that a page with Python takes."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._context = browser.new_context()
        page = self._context.new_page()
        page.goto(f"{address}/bench/start-pyodide.html?isolated=0", timeout=START_TIMEOUT_MS)
        page.evaluate("window.started")

    def close(self) -> None:
        self._context.close()


class NativeRunner:
    """bench/native.py under some Python."""

    def __init__(
        self, python: str, runner: str, path: Path, threads: int,
        environment: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        command = [python, "-m", "bench.native", runner, str(path), str(threads)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        first = self._answer()
        self.missing: str | None = first.get("missing")
        self.version: str | None = first.get("ready")

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"a native runner ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def generate(self, prompt: tuple[str, list[int]], tokens: int) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"prompt": prompt[1], "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait(30)


def reason(error: Exception) -> str:
    """An error's first line, without what the driver says of itself."""
    return str(error).strip().partition("\n")[0].removeprefix("Page.evaluate: ")


@contextlib.contextmanager
def launched(playwright: Playwright) -> Iterator[Browser]:
    """One Chromium for all runners."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=flags())
    try:
        yield browser
    finally:
        browser.close()


def renderer_processes(browser: Browser) -> set[int]:
    """The process ids of the pages that are open."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return {int(one["id"]) for one in found if one["type"] == "renderer"}


def peak_memory(process: int) -> int | None:
    """The most resident bytes that a process ever had; Linux only."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


@dataclass(slots=True)
class Visit:
    """One page load of a start page."""

    sample: dict[str, Any]
    requests: list[dict[str, Any]]


def visits(
    playwright: Playwright, server: Server, page: str, query: str, count: int
) -> Iterator[Visit]:
    """Visit a start page `count` times in a new profile, whose caches lie on the disk as theirs."""
    with tempfile.TemporaryDirectory(prefix="thimble-bench-", ignore_cleanup_errors=True) as folder:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=chromium(), args=flags()
        )
        try:
            for visit in range(1, count + 1):
                server.log()
                tab = context.new_page()
                tab.goto(f"{server.address}/bench/{page}.html?{query}", timeout=START_TIMEOUT_MS)
                sample: dict[str, Any] = tab.evaluate("window.started")
                if visit < count:
                    _settle(tab)
                sample["stored"] = tab.evaluate(STORED)
                yield Visit(sample, server.log())
                tab.close()
        finally:
            context.close()


def _settle(tab: Page) -> None:
    """Wait until nothing more is put into the browser's storage, which goes on behind the page's
    back when the first token is there."""
    before: Any = None
    for _ in range(SETTLE_ROUNDS):
        tab.wait_for_timeout(SETTLE_MS)
        now = tab.evaluate("navigator.storage.estimate().then(({ usage }) => usage)")
        if now == before:
            return
        before = now


def first_visit(playwright: Playwright, server: Server, query: str) -> list[dict[str, Any]]:
    """What the playground and its engine with a model take over the wire, in a new profile.

    The start page asks for whatever the playground's own page has not fetched yet; the bench's own
    files are left out.
    """
    with tempfile.TemporaryDirectory(prefix="thimble-bench-", ignore_cleanup_errors=True) as folder:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=chromium(), args=flags()
        )
        try:
            server.log()
            tab = context.new_page()
            tab.goto(server.address, timeout=START_TIMEOUT_MS)
            tab.wait_for_load_state("networkidle", timeout=START_TIMEOUT_MS)
            tab.goto(f"{server.address}/bench/start-thimble.html?{query}", timeout=START_TIMEOUT_MS)
            tab.evaluate("window.started")
            log = server.log()
        finally:
            context.close()
    return [one for one in log if not one["path"].startswith(("/bench/", "/assets/bench/"))]


STORED = """async () => {
  const names = [];
  for (const cache of await caches.keys()) names.push(`cache ${cache}`);
  for (const { name } of await indexedDB.databases()) names.push(`database ${name}`);
  const root = await navigator.storage.getDirectory();
  async function walk(folder, path) {
    for await (const [name, entry] of folder.entries()) {
      names.push(`file ${path}${name}`);
      if (entry.kind === "directory") await walk(entry, `${path}${name}/`);
    }
  }
  await walk(root, "");
  return names;
}"""
"""What a page has put into the browser's storage, by name."""
