"""Changes inside a model, the probes and the tour, for `tools/screens.py`."""

from __future__ import annotations

from typing import Protocol

from playwright.sync_api import Page, expect


class Shot(Protocol):
    def __call__(self, state: str, place: str = "body") -> None: ...


VIEWS = "#lens-tabs"


def lens_change(page: Page, address: str, shot: Shot) -> None:
    """A head off and a text steered, what they cost, and the sign of it in Write."""
    page.goto(f"{address}/#panel=lens&view=change")
    expect(page.locator("#change-next tbody tr").first).to_be_visible(timeout=120_000)
    shot("change-none", VIEWS)
    page.locator("#change-layer").fill("4")
    page.locator("#change-unit").fill("1")
    page.locator("#change-add").click()
    expect(page.locator("#change-list li")).to_have_count(1)
    page.locator("#change-kind").select_option("steer")
    page.locator("#change-layer").fill("3")
    page.locator("#change-add").click()
    expect(page.locator("#change-list li")).to_have_count(2)
    expect(page.locator("#change-next-words")).to_contain_text("bits of KL divergence")
    expect(page.locator("#change-next[aria-busy=false]")).to_be_visible()
    page.locator("#change-write").click()
    expect(page.locator("#change-both")).to_be_visible()
    shot("change-two", VIEWS)
    page.locator("#change-list").get_by_role("button", name="Remove: layer 3").click()
    expect(page.locator("#change-list li")).to_have_count(1)
    page.locator("#effect-count").fill("4")
    page.locator("#effect-start").click()
    expect(page.locator("#effect-words")).to_contain_text("predicted worse")
    page.locator("#change-all").click()
    expect(page.locator("#change-all")).to_have_text("Switch all on")
    page.locator("#rank-start").click()
    expect(page.locator("#effect-words")).to_contain_text("Ranking.")
    shot("change-ranking", "#change-write")
    expect(page.locator("#rank-found")).to_be_visible(timeout=240_000)
    shot("change-ranked", "#change-write")
    page.locator("#change-layer").fill("99")
    page.locator("#change-add").click()
    expect(page.locator("#change-notice")).to_be_visible()
    shot("change-refused", VIEWS)
    page.locator("#change-all").click()
    page.goto(f"{address}/#panel=write")
    expect(page.locator("[data-panel=write] [data-changes]")).to_be_visible()
    shot("change-in-write")


def lens_probes(page: Page, address: str, shot: Shot) -> None:
    """Patterns of all heads, and maps of a pair of texts."""
    page.goto(f"{address}/#panel=lens&view=probes")
    page.locator("#probe-start").click(timeout=120_000)
    expect(page.locator("#probe-maps table")).to_have_count(3, timeout=120_000)
    shot("probes-scored", VIEWS)
    page.locator("#grid-start").click()
    expect(page.locator("#grid-map table")).to_be_visible()
    shot("probes-heads", "#probe-maps")
    page.locator("#grid-site").select_option("hook_resid_pre")
    page.locator("#grid-start").click()
    expect(page.locator("#grid-map .cells-corner")).to_have_text("Token")
    shot("probes-tokens", "#grid-clean")


def lens_tour(page: Page, address: str, shot: Shot) -> None:
    """A question, and what was measured."""
    page.goto(f"{address}/#panel=lens&view=tour")
    for name in ("expects", "depth", "copies", "off", "previous", "repeats", "worth"):
        step = page.locator(f"[data-step={name}]")
        step.get_by_role("radio").nth(1).check(timeout=120_000)
        if name == "expects":
            shot("tour-question", VIEWS)
        step.locator(".tour-run").click()
        expect(page.locator("#tour-verdict")).to_be_visible(timeout=240_000)
        phone = (page.viewport_size or {"width": 0})["width"] < 500
        shot(f"tour-{name}", "#tour-found" if phone else VIEWS)
        if name != "worth":
            page.locator("#tour-next").click()
