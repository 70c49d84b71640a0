"""What a visit costs a server or a CDN: requests and bytes, counted while a browser makes it.

    python -m tools.visit_report

Serves `build/site` with the application, counts what goes out, and lets Chromium open the page,
write a text, and come again. Counting at the server misses nothing, whether the page, its worker or
its service worker asked. Writes `docs/deploy/visits.json` and tables in `docs/deploy/README.md`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import server
from tools import browsers
from tools.fingerprint import BUILD, ROOT
from tools.load_test import copy_of_site
from tools.marked import put_between

SITE = BUILD / "site"
DOCS = ROOT / "docs" / "deploy"
QUIET = 3.0
"""Seconds without a request after which a visit has all that it wants."""
TIMEOUT_MS = 120_000


@dataclass(slots=True)
class Answer:
    """One answer, as it went out."""

    path: str
    status: int = 0
    head: int = 0
    """Bytes of the headers in HTTP/1.1; HTTP/2 packs them."""
    body: int = 0


@dataclass
class Counter:
    """An application around another one that counts what it answers."""

    app: ASGIApp
    answers: list[Answer] = field(default_factory=list)
    last: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = Answer(scope["path"])
        self.answers.append(answer)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.head = sum(len(name) + len(value) + 4 for name, value in message["headers"])
            else:
                answer.body += len(message.get("body", b""))
            self.last = time.monotonic()
            await send(message)

        await self.app(scope, receive, counted)

    def settle(self) -> None:
        """Wait until nothing has been asked for a while."""
        self.last = time.monotonic()
        while time.monotonic() - self.last < QUIET:
            time.sleep(0.1)

    def take(self) -> dict[str, Any]:
        """What has been answered since the last time."""
        answers, self.answers = self.answers, []
        model = sum(answer.body for answer in answers if answer.path.endswith(".gguf"))
        return {
            "requests": len(answers),
            "not_modified": sum(answer.status == 304 for answer in answers),
            "body_bytes": sum(answer.body for answer in answers),
            "model_bytes": model,
            "header_bytes": sum(answer.head for answer in answers),
            "failed": sorted(answer.path for answer in answers if answer.status >= 400),
        }


@contextmanager
def serving(counter: Counter) -> Iterator[str]:
    """The counted application on a port of its own."""
    config = uvicorn.Config(counter, port=0, log_level="warning", server_header=False)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    running.should_exit = True
    thread.join(timeout=10)


def write_a_text(context: BrowserContext, address: str) -> Page:
    """Open the page and let it write; it stays open."""
    page = context.new_page()
    page.goto(address)
    page.get_by_role("button", name="Write").click()
    outcome = page.locator("#outcome")
    expect(outcome).to_contain_text(re.compile("token"), timeout=TIMEOUT_MS)
    return page


def visits(browser: Browser, address: str, counter: Counter) -> dict[str, Any]:
    """A visitor's first visit, and the second."""
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    page = write_a_text(context, address)
    first = counter.take()
    page.evaluate("() => navigator.serviceWorker.ready.then(() => null)")
    counter.settle()
    later = counter.take()
    page.close()
    write_a_text(context, address)
    counter.settle()
    again = counter.take()
    context.close()
    return {"first_text": first, "kept_for_offline": later, "second_visit": again}


KINDS = (
    ("", "the page"),
    ("assets/…", "everything below it: scripts, styles, Pyodide, engine, models"),
    ("build.json", "which of them is which"),
    ("thimble.js", "the API"),
    ("widget.js", "the element"),
    ("task-widget.js", "a task's element"),
    ("service-worker.js", "what works offline"),
    ("embed/…", "the page inside an iframe"),
    ("models.json", "the models, for programs"),
    ("oembed?url=…", "oEmbed's answer"),
    ("healthz", "whether the server is well"),
)


def caching(address: str, site: Path) -> dict[str, str]:
    """What the server says of caching, for each kind of address that it has."""
    build = json.loads((site / "build.json").read_text(encoding="utf-8"))
    real = {
        "assets/…": build["assets"]["page.js"],
        "embed/…": f"embed/{build['models'][0]['name']}/",
        "oembed?url=…": f"oembed?url={address}",
    }
    found = {}
    for kind, _ in KINDS:
        try:
            with urllib.request.urlopen(address + real.get(kind, kind), timeout=10) as answer:
                found[kind] = answer.headers["Cache-Control"]
        except urllib.error.HTTPError:
            continue
    return found


NAMES = {
    "first_text": "first visit, until a text is written",
    "kept_for_offline": "after that, to keep all of it for offline use",
    "second_visit": "second visit, with another text",
}


def visits_table(result: dict[str, Any]) -> str:
    lines = [
        "| | requests | of them not modified | bodies | of them the model | headers |",
        "|---|---|---|---|---|---|",
    ]
    for key, name in NAMES.items():
        row = result[key]
        sizes = (f"{row[part] / 1000:,.0f} KB" for part in
                 ("body_bytes", "model_bytes", "header_bytes"))  # fmt: skip
        counts = f"{row['requests']} | {row['not_modified']}"
        lines.append(f"| {name} | {counts} | {' | '.join(sizes)} |")
    return "\n".join(lines)


def caching_table(found: dict[str, str]) -> str:
    lines = ["| address | what | `Cache-Control` |", "|---|---|---|"]
    for kind, what in KINDS:
        if kind in found:
            lines.append(f"| `/{kind}` | {what} | `{found[kind]}` |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="print and write nothing down")
    options = parser.parse_args(arguments)
    if not (SITE / "build.json").is_file():
        parser.error(f"there is no built site in {SITE}: run `make site`")
    found = browsers.find("chromium")
    if found is None:
        parser.error(browsers.HELP)
    with copy_of_site() as site, sync_playwright() as playwright:
        counter = Counter(server.create_app(site))
        flags = ["--disable-gpu", "--no-sandbox", "--force-prefers-reduced-motion"]
        with serving(counter) as address:
            browser = playwright.chromium.launch(executable_path=found, args=flags)
            result = visits(browser, address, counter)
            browser.close()
            headers = caching(address, site)
    print(visits_table(result), caching_table(headers), sep="\n\n")
    failed = [path for key in NAMES for path in result[key]["failed"]]
    if failed:
        print(f"these did not come: {', '.join(failed)}", file=sys.stderr)
        return 1
    if not options.quick:
        text = json.dumps({**result, "caching": headers}, indent=1, ensure_ascii=False) + "\n"
        (DOCS / "visits.json").write_text(text, encoding="utf-8")
        put_between(DOCS / "README.md", "visits", visits_table(result))
        put_between(DOCS / "README.md", "caching", caching_table(headers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
