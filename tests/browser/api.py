"""The public module on somebody else's page: another origin, without any special header."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Page

# Every script below has the module as `Thimble` and gives back plain data.
PRELUDE = """async ([address, argument]) => {
  const { Thimble, ThimbleError } = await import(address);
  const failure = async (promise) => promise.then(
    (value) => `no error but ${JSON.stringify(value)}`,
    (error) => ({ name: error.name, message: error.message,
                  ours: error instanceof ThimbleError, dom: error instanceof DOMException }));
  const collect = async (stream) => {
    const all = [];
    for await (const one of stream) all.push(one);
    return all;
  };
"""


class SomebodysServer(SimpleHTTPRequestHandler):
    """Plain files; one of them comes with the policy that the query names."""

    def end_headers(self) -> None:
        _, _, policy = self.path.partition("?policy=")
        if policy:
            self.send_header("Content-Security-Policy", unquote(policy))
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is for what went wrong."""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another origin: somebody's own page, without any special header."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "index.html").write_text("<!doctype html><title>My page</title>")
    handler = partial(SomebodysServer, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()


@pytest.fixture(scope="module")
def host_page(chromium: Browser, elsewhere: str) -> Iterator[Page]:
    """A page of the other origin; its tests share one worker, as a page's sessions do."""
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(elsewhere)
    yield page
    context.close()


class Api:
    """Runs a script with the module at hand."""

    def __init__(self, page: Page, server: str) -> None:
        self.page = page
        self.address = f"{server}/thimble.js"

    def __call__(self, script: str, argument: object = None) -> Any:
        return self.page.evaluate(PRELUDE + script + "}", [self.address, argument])


@pytest.fixture
def api(host_page: Page, server: str) -> Api:
    return Api(host_page, server)


@pytest.fixture
def fresh_api(page: Page, elsewhere: str, server: str) -> Api:
    """In a page of its own, without an engine yet."""
    page.goto(elsewhere)
    return Api(page, server)
