"""React and Vue as Vite builds them, in a browser: what their templates say reaches the element."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_npm_package import Quiet
from tests.test_npm_clients import build, clients, needs_clients
from tests.test_npm_package import archive, project

__all__ = ("archive", "clients", "project")


@pytest.fixture(params=["react", "vue"])
def example(request: pytest.FixtureRequest, clients: Path, server: str) -> Iterator[str]:
    """The example on an origin of its own."""
    out = build(clients, request.param, server)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(out))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()


@needs_clients
def test_attributes_properties_and_events_work_in_frameworks(page: Page, example: str) -> None:
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(example)
    expect(page.locator("output")).to_have_text(re.compile(r"\w{3}"))
    told = page.evaluate("""() => {
      const element = document.querySelector("thimble-lm");
      return [element.defaultPrompt, element.maxTokens, element.seed, element.model, element.text];
    }""")
    assert told[:4] == ["Once upon a time", 12, 7, "story"]
    assert page.locator("output").inner_text().strip() == told[4].strip()
    assert complaints == []
