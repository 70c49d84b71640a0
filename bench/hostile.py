"""What a link's hostile constraint can do to the page: `python -m bench.hostile`, which writes
docs/bench/hostile.txt.

Each source is brought to an open page by a link, Write is pressed, and Stop half a second later; a
second time it is let go on for a while. Told are the longest time in which the page's main thread
answered nothing, from the link on; how long it took from Stop until the page could be used again;
how the engine's memory grew (WebAssembly, with its kernels'), and the process's resident memory.
"""

from __future__ import annotations

import argparse
import datetime
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, Worker, sync_playwright

from bench import machine
from bench.browser import launched, renderer_processes
from tools.fingerprint import ROOT

OUT = ROOT / "docs" / "bench" / "hostile.txt"
STOP_AFTER_MS = 500
FREE_MS = 20_000
"""How long a source may go on unless it ends by itself."""
TOKENS = 60
MEGABYTE = 1 << 20
GOALS = (100, 64)
"""Milliseconds until the page answers; megabytes."""


def _nested(depth: int, least: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema, "minItems": least}
    return schema


SOURCES: dict[str, tuple[str, str]] = {
    "any text": ("regex", "[^]*"),
    "schema: expressions that explode": (
        "json_schema",
        json.dumps({"allOf": [{"pattern": f"^(.*a.{{{i}}})*$"} for i in range(2, 14)],
                    "type": "string"}),
    ),
    "schema: 60 lists in each other": ("json_schema", json.dumps(_nested(60, 3))),
    "schema: 3,000 in each other": ("json_schema", '{"items":' * 3000 + "{}" + "}" * 3000),
    "expression: (?:a?){1000}a{1000}": ("regex", "(?:a?){1000}a{1000}"),
    "expression: 285 characters": (
        "regex",
        "(?:" + "|".join(f".*{chr(97 + i)}.{{9}}" for i in range(26)) + ")(?:.{0,99}e.{0,99}){9}",
    ),
    "expression: counts in counts": ("regex", "(?:(?:(?:.{0,9}e?){0,9}){0,9}){0,9}z"),
    "GBNF: read in every way": ("gbnf", 'root ::= a{500}\na ::= b b b | b\nb ::= [a-z ]*'),
    "Lark: sums without brackets": (
        "lark", 'start: e\ne: e e | e e e | "a"~0..40 | /[a-z ]{0,300}/ | ' + " | ".join(
            f'e "{chr(97 + i)}" e' for i in range(26)),
    ),
}  # fmt: skip

# The memories that WebAssembly has are found where they are made.
WATCH_MEMORY = """
globalThis.memories = [];
WebAssembly.Memory = class extends WebAssembly.Memory {
  constructor(...given) { super(...given); memories.push(this); }
};
for (const name of ["instantiate", "instantiateStreaming"]) {
  const before = WebAssembly[name];
  WebAssembly[name] = async (...given) => {
    const made = await before.apply(WebAssembly, given);
    for (const one of Object.values((made.instance ?? made).exports ?? {})) {
      if (one instanceof Object.getPrototypeOf(WebAssembly.Memory)) memories.push(one);
    }
    return made;
  };
}
"""
MEMORY = """() => [...new Set((globalThis.memories ?? []).map((one) => one.buffer))]
  .reduce((sum, one) => sum + one.byteLength, 0)"""
WATCH_GAPS = """() => {
  globalThis.gap = 0;
  let before = performance.now();
  const { port1, port2 } = new MessageChannel();
  const look = () => {
    const now = performance.now();
    globalThis.gap = Math.max(globalThis.gap, now - before);
    before = now;
  };
  clearInterval(globalThis.looking);
  globalThis.looking = setInterval(look, 4);
}"""
# The link is followed, Write pressed, and Stop if it still goes on; then when it can be used again.
FOLLOW = """async ([fragment, stopAfter]) => {
  const the = (id) => document.getElementById(id);
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  location.hash = fragment;
  const kind = new URLSearchParams(fragment).keys().next().value;
  await wait(50);
  the("write").click();
  const begun = performance.now();
  while (the("stop").hidden && performance.now() - begun < 1000) await wait(5);
  while (!the("stop").hidden && performance.now() - begun < stopAfter) await wait(5);
  const stopped = the("stop").hidden ? 0 : performance.now();
  const went = performance.now() - begun;
  if (stopped) the("stop").click();
  while (the("write").hidden || the("write").disabled) await wait(5);
  const notice = the("notice").hidden ? "" : the("notice-words").textContent;
  return { went, stop: stopped ? performance.now() - stopped : null,
           said: notice || the("outcome").textContent };
}"""


@dataclass(slots=True)
class Found:
    """Of one source: what was seen until Stop, and when it was let go on."""

    name: str
    gap_ms: float
    stop_ms: float | None
    wasm_bytes: int
    resident_bytes: int
    said: str


@contextmanager
def served() -> Iterator[str]:
    """The built site's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "server.py", "--port", str(port)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/healthz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _status(process: int, name: str) -> int:
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def engine(page: Page) -> Worker:
    """The worker whose memories were seen."""
    return max(page.workers, key=lambda one: one.evaluate(MEMORY))


def measure(browser: Browser, address: str, name: str) -> Found:
    """Bring one source to a fresh page, twice."""
    before = renderer_processes(browser)
    context = browser.new_context(base_url=address, service_workers="block")
    context.set_default_timeout(180_000)
    page = context.new_page()
    page.route("**/assets/worker*.js", lambda route: route.fulfill(
        response=(answer := route.fetch()), body=WATCH_MEMORY + answer.text()
    ))  # fmt: skip
    page.goto("/")
    page.wait_for_selector("#metrics", state="visible")
    kind, source = SOURCES[name]
    link = {kind: source, "prompt": "Once", "max_tokens": TOKENS, "seed": 1}
    fragment = urlencode(link)
    pages = renderer_processes(browser) - before
    process = max(pages, key=lambda one: _status(one, "VmRSS"))
    wasm, resident = engine(page).evaluate(MEMORY), _status(process, "VmRSS")
    Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")  # the peak from here on
    page.evaluate(WATCH_GAPS)
    first = page.evaluate(FOLLOW, [fragment, STOP_AFTER_MS])
    second = page.evaluate(FOLLOW, [f"{fragment}&seed=2", FREE_MS])
    stops = [one["stop"] for one in (first, second) if one["stop"] is not None]
    found = Found(
        name, page.evaluate("() => gap"), max(stops, default=None),
        engine(page).evaluate(MEMORY) - wasm,
        max(0, _status(process, "VmHWM") - resident), second["said"],
    )  # fmt: skip
    context.close()
    return found


def report(found: list[Found], about: str) -> str:
    """The page in docs/bench."""
    lines = [
        f"By `python -m bench.hostile`, {about}. Goals: the page answers within {GOALS[0]} ms, "
        f"Stop works, memory grows by at most {GOALS[1]} MB.", "",
        "|source, by a link|longest gap, ms|Stop, ms|WebAssembly, MB|resident, MB|in the end|",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in found:
        stop = "" if one.stop_ms is None else f"{one.stop_ms:.0f}"
        said = one.said.replace("|", "\\|").strip()
        lines.append(
            f"|{one.name}|{one.gap_ms:.0f}|{stop}|{one.wasm_bytes / MEGABYTE:.1f}"
            f"|{one.resident_bytes / MEGABYTE:.0f}|{said[:90]}|"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write docs/bench/hostile.txt anew")
    options = parser.parse_args()
    with served() as address, sync_playwright() as playwright, launched(playwright) as browser:
        found = []
        for name in SOURCES:
            found.append(measure(browser, address, name))
            print(found[-1], flush=True)
        version = browser.version
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    about = f"{day}, Chromium {version}, {machine.cpu_name()}, load {machine.load()}"
    text = report(found, about)
    print(text)
    if options.keep:
        OUT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
