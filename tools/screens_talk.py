"""The Talk panel's states, for `tools/screens.py`."""

from __future__ import annotations

from typing import Protocol

from playwright.sync_api import Page, expect


class Shot(Protocol):
    def __call__(self, state: str, place: str = "body") -> None: ...


TALK = "[data-panel=talk] .sheet"


def talk(page: Page, address: str, shot: Shot) -> None:
    """A model that was not made to talk, asked anyway, edited, and with its context full."""
    page.goto(f"{address}/#talk_max_tokens=60&talk_seed=7&panel=talk")
    expect(page.locator("#talk-plain")).to_be_visible(timeout=120_000)
    shot("talk-plain")
    page.get_by_role("button", name="Talk anyway").click()
    field = page.get_by_role("textbox", name="Your message", exact=True)
    outcome = page.locator("#talk-outcome")
    for words in ("Tell me of a cat who lost her hat.", "What did she do then?"):
        field.fill(words)
        field.press("Enter")
        expect(outcome).not_to_have_text("Writing.")
    shot("talk", TALK)
    page.get_by_role("button", name="Edit").last.click()
    shot("talk-edit", TALK)
    page.keyboard.press("Escape")
    field.fill("and then she went to the park with her hat " * 40)
    field.press("Enter")
    expect(page.locator("#talk-notice")).to_be_visible()
    shot("talk-full", "#talk-notice")
