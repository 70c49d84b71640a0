"""The states of the panel of claims, for `tools/screens.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tools.screens import Shot

MEASURED = ("local", "hardware", "latency", "ensemble", "lens", "reproduce")
"""Those that take seconds: the pictures are of every size and scheme."""


def claims(page: Page, address: str, shot: Shot) -> None:
    """Before anything was measured, while it is, when some of it is, and what failed."""
    page.goto(f"{address}/#panel=claims")
    run = page.locator("#claims-run")
    expect(run).to_be_enabled(timeout=120_000)
    shot("claims")
    run.click()
    expect(page.locator("[data-claim=train] .claim-state")).to_contain_text("step", timeout=120_000)
    shot("claims-measuring")
    page.locator("#claims-cancel").click()
    expect(run).to_be_visible(timeout=120_000)
    for claim in MEASURED:
        page.locator(f"[data-claim={claim}] button.measure").click()
        expect(run).to_be_visible(timeout=300_000)
    shot("claims-local", "[data-claim=local].claim")
    shot("claims-latency", "[data-claim=latency].claim")
    shot("claims-ensemble", "[data-claim=ensemble].claim")
    page.route("**/*.gguf", lambda route: route.abort())
    page.locator("[data-claim=deploy] button.measure").click()
    expect(page.locator("[data-claim=deploy] .claim-failed")).to_be_visible()
    shot("claims-failed", "[data-claim=deploy].claim")
    shot("claims-report", "#claims-report-title")


def front(page: Page, address: str, shot: Shot) -> None:
    """What a newcomer sees: the model has written, with the claims below."""
    page.emulate_media(reduced_motion="no-preference")
    page.goto(address)
    expect(page.locator("#outcome")).to_contain_text("token", timeout=120_000)
    shot("front")
    shot("front-claims", ".colophon")
