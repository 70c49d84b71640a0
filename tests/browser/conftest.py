"""What the tests of the page share: one visitor a module, and what bars anyone from the page."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import ROOT

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 60_000
"""Starting Python takes seconds, more on a busy machine."""

expect.set_options(timeout=PATIENCE_MS)


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


def kill_engine(page: Page) -> None:
    """Let the engine's worker die of an error; the worker that makes a snapshot may go with it."""
    for worker in page.workers:
        worker.evaluate("() => { setTimeout(() => { throw new Error('boom') }) }")


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
