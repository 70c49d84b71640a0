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

    def strange(self, address: str) -> list[str]:
        """What was asked for anywhere but below the address."""
        asked = (url for url in self.addresses if urlsplit(url).scheme in ("http", "https"))
        return [url for url in asked if not url.startswith(address)]

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


class Host:
    """`python -m http.server` in a folder that holds the export two folders down."""

    def __init__(self, root: Path) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/some/project/"
        log = root.parent / "pages.log"
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command, cwd=root, stdout=output, stderr=subprocess.STDOUT
            )
        wait_for(self.address, self._process, log)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


@pytest.fixture(scope="module")
def host(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    root = tmp_path_factory.mktemp("pages")
    assert main(["export", str(root / "some" / "project"), "--site", str(site)]) == 0
    made = Host(root)
    yield made
    made.end()


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(reduced_motion="reduce")
    context.set_default_timeout(BROWSER_TIMEOUT_MS)
    yield context.new_page()
    context.close()


# The page and its model are kept: from here on no network is needed.
ALL_KEPT = """async () => {
  const { active } = await navigator.serviceWorker.ready;
  while (active.state !== "activated") await new Promise((next) => setTimeout(next, 50));
  const { models } = await (await fetch("models.json")).json();
  const model = new URL(models[0].url, location.href);
  while (!(await caches.match(model))) await new Promise((next) => setTimeout(next, 50));
}"""

WRITE = """async () => {
  const element = document.querySelector("thimble-lm");
  await customElements.whenDefined("thimble-lm");
  const finished = new Promise((resolve, reject) => {
    element.addEventListener("finish", ({ detail }) => resolve(detail.text), { once: true });
    element.addEventListener("error", ({ detail }) => reject(detail.message), { once: true });
  });
  await element.prompt("Once upon a time");
  return finished;
}"""


def test_the_embed_page_writes_from_a_plain_file_server(visitor: Page, host: Host) -> None:
    log = Log(visitor)
    visitor.goto(f"{host.address}embed/story/?max-tokens=20")
    expect(visitor.locator("thimble-lm")).to_be_visible()
    assert len(visitor.evaluate(WRITE)) > 20
    assert (log.failed, log.complaints) == ([], [])
    assert log.strange(host.address) == []


def test_the_page_writes_from_a_plain_file_server_and_then_without_it(
    visitor: Page, host: Host
) -> None:
    log = Log(visitor)
    visitor.goto(host.address)
    first = write(visitor)
    assert len(first) > 20
    visitor.evaluate(ALL_KEPT)
    assert (log.failed, log.complaints) == ([], [])
    assert f"{host.address}build.json" in log.addresses
    host.end()
    visitor.reload()
    assert write(visitor) == first
    visitor.goto(f"{host.address}#panel=embed")
    visitor.get_by_text("Frame", exact=True).click()
    frame = visitor.frame_locator("#embed-preview iframe")
    frame.get_by_role("button", name="Write").click()
    expect(frame.get_by_role("status")).to_contain_text("tokens")
    assert log.complaints == []
    assert log.strange(host.address) == []


def write(page: Page) -> str:
    """What the page writes with the seed that it begins with."""
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text(re.compile("token"))
    return page.locator("#written").text_content() or ""
