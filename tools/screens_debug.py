"""The Step panel's states, for `tools/screens.py`."""

from __future__ import annotations

from typing import Protocol

from playwright.sync_api import Page, expect


class Shot(Protocol):
    def __call__(self, state: str, place: str = "body") -> None: ...


SHEET = "[data-panel=debug] .sheet"


def debug(page: Page, address: str, shot: Shot) -> None:
    """From the empty panel to two branches side by side."""
    page.goto(f"{address}/#panel=debug")
    step = page.locator("#debug-step")
    expect(step).to_be_enabled(timeout=120_000)
    shot("step-ready")
    tokens = page.locator("#debug-view .token:not(.given)")
    for at in range(24):
        step.click()
        expect(tokens).to_have_count(at + 1)
    shot("step-stepped", SHEET)

    page.locator("#debug-stop-value").fill("friend")
    page.get_by_role("button", name="Add").click()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#debug-outcome")).to_contain_text("Stopped before")
    shot("step-breakpoint", SHEET)
    page.locator("#debug-stops input").uncheck()

    tokens.nth(5).click()
    expect(page.locator("#debug-draw-title")).to_contain_text("Token 6")
    shot("step-token", SHEET)
    page.locator(".token-card .choice").nth(1).click()
    expect(page.locator("#debug-branches li")).to_have_count(2)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#debug-outcome")).to_contain_text("token")
    page.get_by_role("button", name="Compare Branch 1").click()
    expect(page.locator("#debug-comparison")).to_be_visible()
    shot("step-branches", "#debug-branches-title")

    page.get_by_role("button", name="Begin anew").click()
    expect(tokens).to_have_count(0)
    for at in range(6):
        step.click()
        expect(tokens).to_have_count(at + 1)
    page.locator("#debug-stages .choice").first.click()
    page.get_by_role("button", name="Ban", exact=True).click()
    expect(page.locator("#debug-stages")).to_contain_text("banned")
    page.locator("#debug-stages .choice").nth(4).click()
    page.locator("#debug-logit").fill("9")
    page.locator("#debug-logit").press("Enter")
    expect(page.locator("#debug-stages .edited")).to_have_count(2)
    shot("step-edited", "#debug-draw-title")

    page.locator("#debug-file").set_input_files(
        {"name": "run.json", "mimeType": "application/json", "buffer": b"{}"}
    )
    expect(page.locator("#debug-notice")).to_be_visible()
    shot("step-refused", SHEET)
