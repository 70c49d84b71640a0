"""The Step panel's states, for `tools/screens.py`."""

from __future__ import annotations

from typing import Protocol

from playwright.sync_api import Page, expect


class Shot(Protocol):
    def __call__(self, state: str, place: str = "body") -> None: ...


SHEET = "[data-panel=step] .sheet"


def step(page: Page, address: str, shot: Shot) -> None:
    """From the empty panel to two branches side by side."""
    page.goto(f"{address}/#panel=step")
    step = page.locator("#step-step")
    expect(step).to_be_enabled(timeout=120_000)
    shot("step-ready")
    tokens = page.locator("#step-view .token:not(.given)")
    for at in range(24):
        step.click()
        expect(tokens).to_have_count(at + 1)
    shot("step-stepped", SHEET)

    page.locator("#step-stop-value").fill("friend")
    page.get_by_role("button", name="Add").click()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#step-outcome")).to_contain_text("Stopped before")
    shot("step-breakpoint", SHEET)
    page.locator("#step-stops input").uncheck()

    tokens.nth(5).click()
    expect(page.locator("#step-draw-title")).to_contain_text("Token 6")
    shot("step-token", SHEET)
    page.locator(".token-card .choice").nth(1).click()
    expect(page.locator("#step-branches li")).to_have_count(2)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#step-outcome")).to_contain_text("token")
    page.get_by_role("button", name="Compare Branch 1").click()
    expect(page.locator("#step-comparison")).to_be_visible()
    shot("step-branches", "#step-branches-title")

    page.get_by_role("button", name="Start over").click()
    expect(tokens).to_have_count(0)
    for at in range(6):
        step.click()
        expect(tokens).to_have_count(at + 1)
    page.locator("#step-stages .choice").first.click()
    page.get_by_role("button", name="Ban", exact=True).click()
    expect(page.locator("#step-stages")).to_contain_text("banned")
    page.locator("#step-stages .choice").nth(4).click()
    page.locator("#step-logit").fill("9")
    page.locator("#step-logit").press("Enter")
    expect(page.locator("#step-stages .edited")).to_have_count(2)
    shot("step-edited", "#step-draw-title")

    page.locator("#step-file").set_input_files(
        {"name": "run.json", "mimeType": "application/json", "buffer": b"{}"}
    )
    expect(page.locator("#step-notice")).to_be_visible()
    shot("step-refused", SHEET)
