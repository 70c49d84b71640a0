"""The Read panel's states, and probabilities and latency in Write, for `tools/screens.py`."""

from __future__ import annotations

from typing import Protocol

from playwright.sync_api import Page, expect


class Shot(Protocol):
    def __call__(self, state: str, place: str = "body") -> None: ...


READ = "[data-panel=read] .sheet"
WRITE = "[data-panel=write] .sheet"
LINE = "Once upon a time, there was a cat who sat on the mat and said hello.\n"


def read(page: Page, address: str, shot: Shot) -> None:
    """From the example to a long text, cancelled, and one that is refused."""
    page.goto(f"{address}/#panel=read")
    go = page.locator("#read-go")
    expect(go).to_be_enabled()
    shot("read-ready")
    go.click()
    outcome = page.locator("#read-outcome")
    expect(outcome).to_contain_text("Read by", timeout=120_000)
    expect(page.locator("#read-chart canvas")).to_be_visible()
    shot("read-done")
    page.locator("#read-view .token").nth(14).click()
    shot("read-token", READ)
    page.locator("#read-view .token").nth(14).press("Escape")
    page.locator("#read-list summary").click()
    shot("read-lines", "#read-shown")

    page.evaluate("(text) => (document.getElementById('read-text').value = text)", LINE * 3000)
    go.click()
    expect(page.locator("#read-view .token").nth(60)).to_be_visible()
    shot("read-reading", READ)
    page.locator("#read-cancel").click()
    expect(outcome).to_contain_text("Cancelled after")
    shot("read-cancelled", READ)
    page.locator("#read-text").fill("")
    go.click()
    expect(page.locator("#read-notice")).to_be_visible()
    shot("read-failed", READ)


def seen(page: Page, address: str, shot: Shot) -> None:
    """Write with its probabilities, then with its latency."""
    page.goto(address)
    expect(page.locator("#metrics")).to_be_visible(timeout=120_000)
    page.locator("#shade").check()
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text("token")
    shot("shaded", WRITE)
    page.locator("#shaded .token").nth(12).click()
    shot("shaded-token", WRITE)
    page.keyboard.press("Escape")
    page.locator("#latency > summary").click()
    page.get_by_role("button", name="Measure the limit").click()
    expect(page.locator("#latency .note")).to_contain_text("A token reads")
    expect(page.locator("#latency canvas")).to_be_visible()
    shot("latency", "#latency")
