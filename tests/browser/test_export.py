"""The exported folder below a sub-path of Python's plain file server, in a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.conftest import BROWSER_TIMEOUT_MS, free_port, wait_for
from thimble.cli import main


class Log:
    """What a page asked for, and what did not come."""

    def __init__(self, page: Page) -> None:
        self.addresses: list[str] = []
        self.failed: list[str] = []
        self.complaints: list[str] = []
        page.context.on("request", lambda request: self.addresses.append(request.url))
        page.context.on("requestfailed", self._failed)
        page.context.on("response", lambda response: self._status(response.status, response.url))
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _failed(self, request: Request) -> None:
        self.failed.append(f"{request.url}: {request.failure}")

    def _status(self, status: int, url: str) -> None:
        if status >= 400:
            self.failed.append(f"{url}: {status}")

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@pytest.fixture(scope="module")
def below(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python -m http.server` in a folder that holds the export two folders down."""
    root = tmp_path_factory.mktemp("pages")
    assert main(["export", str(root / "some" / "project"), "--site", str(site)]) == 0
    port = free_port()
    address = f"http://127.0.0.1:{port}/some/project/"
    log = root.parent / "pages.log"
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=root, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(address, process, log)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(BROWSER_TIMEOUT_MS)
    yield context.new_page()
    context.close()


def test_the_page_writes_from_a_plain_file_server_below_a_sub_path(
    visitor: Page, below: str
) -> None:
    log = Log(visitor)
    visitor.goto(below)
    visitor.get_by_role("button", name="Write").click()
    expect(visitor.locator("#outcome")).to_contain_text(re.compile("token"), timeout=60_000)
    assert len(visitor.locator("#written").text_content() or "") > 20
    assert log.failed == []
    assert log.complaints == []
    foreign = [url for url in log.addresses if urlsplit(url).scheme in ("http", "https")
               and not url.startswith(below)]  # fmt: skip
    assert foreign == []
    assert f"{below}build.json" in log.addresses


def test_the_embed_page_writes_there_too(visitor: Page, below: str) -> None:
    log = Log(visitor)
    visitor.goto(f"{below}embed/story/?prompt=Once%20upon%20a%20time&max-tokens=20")
    widget = visitor.locator("thimble-lm")
    expect(widget).to_be_visible()
    text = visitor.evaluate("""async () => {
      const element = document.querySelector("thimble-lm");
      await customElements.whenDefined("thimble-lm");
      const finished = new Promise((resolve, reject) => {
        element.addEventListener("finish", resolve, { once: true });
        element.addEventListener("error", (event) => reject(event.detail?.error), { once: true });
      });
      await element.prompt("Once upon a time");
      await finished;
      return element.text ?? element.shadowRoot.textContent;
    }""")
    assert len(text) > 20
    assert (log.failed, log.complaints) == ([], [])
    assert not [url for url in log.addresses if url.startswith("http") and below not in url]
