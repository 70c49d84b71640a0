"""The views of the Lens panel, for `tools/screens.py`."""

from __future__ import annotations

from typing import Protocol

from playwright.sync_api import Page, expect


class Shot(Protocol):
    def __call__(self, state: str, place: str = "body") -> None: ...


PANEL = "[data-panel=lens] .lens-strip"
VIEWS = {
    "attention": "#lens-looks table",
    "logits": "#lens-way table",
    "parts": "#lens-parts-list table",
    "neurons": "#lens-promotes table",
    "nearest": "#lens-nearest-list table",
    "weights": "#lens-moved-chart canvas",
}
"""Each view, and what is there when it is drawn."""


def lens(page: Page, address: str, shot: Shot) -> None:
    """The panel as it opens, then each view, and what is refused."""
    page.goto(f"{address}/#panel=lens&view=attention&layer=4&head=1")
    expect(page.locator("#lens-looks table")).to_be_visible(timeout=120_000)
    shot("lens")
    for view, there in VIEWS.items():
        page.locator(f"#lens-tab-{view}").click()
        expect(page.locator(there)).to_be_visible()
        expect(page.locator("#lens-outcome")).to_be_empty()
        shot(f"lens-{view}", PANEL)
    page.locator("#lens-text").fill("cat " * 600)
    page.locator("#lens-go").click()
    expect(page.locator("#lens-notice")).to_be_visible()
    shot("lens-failed", "[data-panel=lens] .sheet")
