"""The states of the panel of claims, for `tools/screens.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tools.screens import Shot

REPORT = "#ledger-report-title"


def ledger(page: Page, address: str, shot: Shot) -> None:
    """Before anything was measured, while it is, and when all is."""
    page.goto(f"{address}/#panel=ledger")
    run = page.get_by_role("button", name="Measure all")
    expect(run).to_be_enabled()
    shot("claims")
    expect(page.locator("#metrics")).not_to_have_attribute("hidden", "", timeout=120_000)
    run.click()
    expect(page.locator("#ledger-words")).to_contain_text("2 of 11", timeout=300_000)
    shot("claims-measuring")
    expect(run).to_be_visible(timeout=300_000)
    shot("claims-measured")
    shot("claims-latency", "[data-claim=latency].claim")
    shot("claims-ensemble", "[data-claim=ensemble].claim")
    shot("claims-report", REPORT)
    page.route("**/*.gguf", lambda route: route.abort())
    page.locator("[data-claim=deploy] button.measure").click()
    expect(page.locator("[data-claim=deploy] .claim-failed")).to_be_visible()
    shot("claims-failed", "[data-claim=deploy].claim")
