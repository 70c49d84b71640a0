"""The states of the Ensemble panel, for `tools/screens.py`.

The members are the site's `member-1` to `member-4` where it has them, else the first two models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tools.screens import Shot

DESK = "#ensemble-desk"
MEASURE = "#measure-title"
OTHERS = "#together-title"


def ensemble(page: Page, address: str, shot: Shot) -> None:
    """From the choice over a text and one token of it to the measured table; then what fails."""
    page.goto(f"{address}/#panel=ensemble")
    load = page.locator("#ensemble-load")
    expect(page.locator("#ensemble-loaded")).not_to_have_text("Waiting for the page’s script")
    shot("ensemble-choice")
    load.click()
    expect(page.locator(DESK)).to_be_visible(timeout=120_000)
    expect(page.locator(".voice .bar-table").first).to_be_visible()
    shot("ensemble-ready")
    page.locator("#ensemble-write").click()
    expect(page.locator("#ensemble-view .token").nth(40)).to_be_visible()
    shot("ensemble-writing", DESK)
    expect(page.locator("#ensemble-outcome")).to_contain_text("token", timeout=120_000)
    page.locator("#ensemble-view .token").nth(12).click()
    expect(page.locator("#ensemble-where")).to_contain_text("token 13")
    shot("ensemble-token", DESK)
    page.locator("#ensemble-view .token").nth(12).press("Escape")
    page.locator("#ensemble-distributions input").first.press("End")
    shot("ensemble-weight", DESK)
    page.locator("#ensemble-reset").click()

    page.locator("#measure-start").click()
    shot("ensemble-measuring", MEASURE)
    expect(page.locator("#measured")).to_be_visible(timeout=300_000)
    shot("ensemble-measured", "#measured")
    page.locator("#measure-text").fill("")
    page.locator("#measure-start").click()
    expect(page.locator("#measure-notice")).to_be_visible()
    shot("ensemble-failed", MEASURE)

    page.locator("#draft-start").click()
    expect(page.locator("#together-words")).to_contain_text("tokens a second", timeout=120_000)
    shot("ensemble-draft", OTHERS)
    page.locator("#choose-start").click()
    expect(page.locator("#together-words")).to_contain_text("most likely", timeout=300_000)
    shot("ensemble-best", OTHERS)

    page.locator("#ensemble-chosen summary").click()
    for box in page.locator("#ensemble-picks input").all()[:8]:
        box.check()
    load.click()
    expect(page.locator("#ensemble-refused")).to_be_visible(timeout=300_000)
    shot("ensemble-refused")
