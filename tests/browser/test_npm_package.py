"""A bundle of the npm package on somebody's page, with the site on another origin."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.test_npm_package import archive, bundle, project

__all__ = ("archive", "project")

PAGE = '<!doctype html><title>Mine</title><script type="module" src="/out/app.js"></script>'

APP = """
import { Thimble } from "thimble-lm";
import "thimble-lm/widget";

Thimble.configure({ site: "%s" });
const element = document.createElement("thimble-lm");
element.setAttribute("max-tokens", "12");
element.setAttribute("loading", "eager");
document.body.append(element);
const session = await Thimble.create();
const text = await session.prompt("Once upon a time", { seed: 7, max_tokens: 12 });
const finished = new Promise((resolve, reject) => {
  element.addEventListener("finish", resolve, { once: true });
  element.addEventListener("error", (event) => reject(event.detail), { once: true });
});
await element.prompt("Once upon a time");
await finished;
globalThis.answer = { text };
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A test's output is for what went wrong."""


@pytest.fixture
def app(project: Path, server: str) -> Iterator[str]:
    """The bundled application on an origin of its own."""
    (project / "app.ts").write_text(APP % server)
    bundle(project, "app.ts")
    (project / "index.html").write_text(PAGE)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(project))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()


def test_api_and_element_write_from_one_engine(page: Page, app: str) -> None:
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(app)
    page.wait_for_function("() => globalThis.answer")
    assert complaints == []
    assert len(page.evaluate("() => globalThis.answer.text")) > 10
    engines = [worker for worker in page.workers if "thread" not in worker.url]
    assert len(engines) <= 2  # the engine, and the one that makes the snapshot for the next visit
