"""What the tests of the page share: one visitor a module, and what bars anyone from the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Worker, expect

from tests.browser.api import api as api
from tests.browser.api import elsewhere as elsewhere
from tests.browser.api import fresh_api as fresh_api
from tests.browser.api import host_page as host_page
from tests.browser.widget import element as element
from tests.browser.widget import other_site as other_site
from tests.browser.widget import quiet as quiet
from tests.conftest import ROOT

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 40_000
"""Starting Python takes seconds, and half a minute on a small and busy machine."""

expect.set_options(timeout=PATIENCE_MS)

BOOM = "() => { setTimeout(() => { throw new Error('boom') }) }"


@pytest.fixture(scope="module")
def bare_page(chromium: Browser, server: str) -> Iterator[Page]:
    """A page of the site without any script of its own, whose tests share an engine."""
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(f"{server}/healthz")
    yield page
    context.close()


@pytest.fixture(scope="module")
def visitor(chromium: Browser, server: str) -> Iterator[BrowserContext]:
    """Whoever uses the page for all tests of a module that need no fresh profile."""
    made = new_visitor(chromium, server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def visit(visitor: BrowserContext) -> Page:
    """The visitor's page, not sent anywhere yet."""
    return visitor.new_page()


def new_visitor(chromium: Browser, server: str) -> BrowserContext:
    """Somebody who has never been here, and lets the page use the clipboard."""
    made = chromium.new_context(
        base_url=server,
        permissions=["clipboard-read", "clipboard-write"],
        reduced_motion="reduce",
    )
    made.set_default_timeout(PATIENCE_MS)
    return made


def turn_to(page: Page, title: str) -> None:
    """Show a panel as a visitor does, and wait until it stands there: a panel that was shown before
    still has in it what it had then."""
    link = page.locator("nav").get_by_role("link", name=title, exact=True)
    link.click()
    expect(link).to_have_attribute("aria-current", "page")


# So that the room ends half-way, and is not known to before.
ROOM_FOR_ALL = "StorageManager.prototype.estimate = async () => ({ quota: 1e12, usage: 0 });"


def short_of_room(context: BrowserContext, server: str, room: int, *, half_way: bool) -> Page:
    """The page where storage has so many bytes left, which it knows of, or only finds out."""
    page = context.new_page()
    if half_way:
        page.route("**/save-model.*.js", lambda route: route.fulfill(
            response=(answer := route.fetch()), body=ROOM_FOR_ALL + answer.text(),
        ))  # fmt: skip
    page.goto("/")
    expect(page.locator("#metrics")).to_be_visible()
    usage = page.evaluate("async () => (await navigator.storage.estimate()).usage")
    devtools = context.new_cdp_session(page)
    quota = {"origin": server, "quotaSize": usage + room}
    devtools.send("Storage.overrideQuotaForOrigin", quota)
    return page


def kill_engine(page: Page) -> None:
    """Let the engine's worker die of an error; the worker that makes a snapshot may go with it."""
    engine, *others = page.workers
    for worker in others:
        with suppress(Error):  # it ends by itself when it is done
            worker.evaluate(BOOM)
    engine.evaluate(BOOM)


# The engine takes a breath between two batches of tokens, by a message to itself that is null.
REST = """() => {
  const { postMessage } = MessagePort.prototype;
  MessagePort.prototype.postMessage = function (message, ...others) {
    if (message !== null) return postMessage.call(this, message, ...others);
    setTimeout(() => postMessage.call(this, null), 500);
  };
  globalThis.restNoMore = () => { MessagePort.prototype.postMessage = postMessage; };
}"""


@contextmanager
def resting(page: Page) -> Iterator[None]:
    """Let the page's engines rest long between two batches: what a test does while something is
    written then comes before its end, however quick the model is and however slow the test."""
    workers: list[Worker] = []
    for worker in page.workers:
        with suppress(Error):  # the one that makes a snapshot ends by itself
            worker.evaluate(REST)
            workers.append(worker)
    assert workers, "the page has no engine yet"
    yield
    for worker in workers:
        with suppress(Error):
            worker.evaluate("() => restNoMore()")


# What is drawn to fit is drawn again in the frame after a change of width.
TOO_WIDE = """async () => {
  const { documentElement: root } = document;
  for (let frame = 0; frame < 60 && root.scrollWidth > root.clientWidth; frame += 1) {
    await new Promise((next) => setTimeout(next, 50));
  }
  if (root.scrollWidth <= root.clientWidth) return [];
  const out = [...document.querySelectorAll("body *")].filter(
    (one) => one.checkVisibility() && one.getBoundingClientRect().right > root.clientWidth);
  const which = out.map((one) => one.outerHTML.slice(0, 99));
  return [`${root.scrollWidth} of ${root.clientWidth} pixels`, ...which];
}"""


def too_wide(page: Page) -> list[str]:
    """What makes a page wider than its window, or nothing."""
    return list(page.evaluate(TOO_WIDE))


def violations(page: Page, within: str = "html") -> list[str]:
    """What axe-core finds to be serious or critical in a part of the page."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # no script tag: the policy forbids it
    found = page.evaluate(
        """async (within) => (await axe.run(within)).violations.map((one) => ({
          id: one.id, impact: one.impact, nodes: one.nodes.map((node) => node.html) }))""",
        within,
    )
    return [json.dumps(one) for one in found if one["impact"] in ("serious", "critical")]
