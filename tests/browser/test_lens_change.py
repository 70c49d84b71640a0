"""Changing the model inside, and measuring what that does, as a visitor does it."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

import thimble
from tests.browser.conftest import violations
from tests.browser.test_page import finish, open_ready
from tests.conftest import ROOT
from thimble import lens

PAIR = [f"Once upon a time, there was a girl named {name}. The dog liked the girl named"
        for name in ("Lucy", "Lily")]  # fmt: skip
SHORT = "One day a cat saw a dog.\nThe dog ran to the cat.\n"


@pytest.fixture(scope="module")
def changer(visit: Page) -> Page:
    """One page with its engine, for all of these tests."""
    open_ready(visit)
    return visit


@pytest.fixture(scope="module")
def copier() -> tuple[int, int]:
    """The head that the shipped model carries names with, found natively."""
    model = thimble.load(ROOT / "web" / "models" / "story.gguf")
    answer, against = (
        model.tokenizer.encode(f" {name}", add_special=False)[0] for name in ("Lucy", "Lily")
    )
    grid = lens.patch_grid(model, PAIR[0], PAIR[1], answer, against=against, site="attn.hook_z")
    cells = (
        (row, column) for row in range(len(grid.values)) for column in range(len(grid.values[0]))
    )
    return max(cells, key=lambda at: grid.values[at[0]][at[1]])


def open_view(page: Page, view: str) -> None:
    page.goto(f"/#panel=lens&view={view}")
    expect(page.locator(f"#lens-{view}")).to_be_visible()
    expect(page.locator("#lens-tokens .token").first).to_be_visible()  # the field has its text
    expect(page.locator("#lens-outcome")).to_have_text("")


def add_head(page: Page, head: tuple[int, int]) -> None:
    page.locator("#change-layer").fill(str(head[0]))
    page.locator("#change-unit").fill(str(head[1]))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#change-list li")).to_have_count(1)


def numbers(cells: Locator) -> list[str]:
    return [text.strip() for text in cells.all_text_contents()]


def write(page: Page) -> str:
    """What Write makes of the pair's first prompt, greedily."""
    page.goto(
        "/#" + "&".join(("panel=play", f"prompt={PAIR[0]}", "temperature=0", "max_tokens=20"))
    )
    page.locator("#write").click()
    return finish(page)


def test_a_head_that_is_off_is_felt_in_every_panel_until_it_is_on_again(
    changer: Page, copier: tuple[int, int]
) -> None:
    page = changer
    before = write(page)
    open_view(page, "change")
    page.locator("#lens-text").fill(PAIR[0])
    page.locator("#lens-go").click()
    expect(page.locator("#change-next tbody th").first).to_have_text("“␣Lucy”")
    expect(page.locator("#change-next tbody td.after, #change-next .after")).to_have_count(0)
    add_head(page, copier)
    expect(page.locator("#change-next-words")).to_contain_text("bits away")
    lucy = numbers(page.locator("#change-next tbody tr").first.locator("td"))
    was, now = (float(text.split()[0]) for text in lucy)
    assert was > 2 * now
    assert not violations(page, "[data-panel=lens]")

    after = write(page)
    assert after != before
    for panel in ("play", "debug", "read"):
        page.goto(f"/#panel={panel}")
        words = page.locator(f"[data-panel={panel}] [data-changes-words]")
        expect(words).to_have_text(
            f"The model is changed inside: layer {copier[0]}, head {copier[1]} off."
        )
    assert page.locator("[data-panel=ensemble] [data-changes-words]").text_content()
    page.goto("/#panel=play")
    page.locator("#copy-link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    assert f"change=head%3A{copier[0]}%3A{copier[1]}%3Azero" in link

    page.locator("[data-panel=play] [data-changes]").get_by_role("button").click()
    expect(page.locator("[data-panel=play] [data-changes]")).to_be_hidden()
    assert write(page) == before


def test_a_link_brings_its_changes(changer: Page, copier: tuple[int, int]) -> None:
    page = changer.context.new_page()
    page.goto(f"/#panel=play&change=head:{copier[0]}:{copier[1]}:zero&change=-mlp:0::mean")
    words = page.locator("[data-panel=play] [data-changes-words]")
    expect(words).to_have_text(re.compile(rf"layer {copier[0]}, head {copier[1]} off\.$"))
    page.goto("/#panel=play&change=heart:1")
    expect(page.locator("[data-panel=play] [data-changes-words]")).to_contain_text("head")
    open_view(page, "change")
    expect(page.locator("#change-notice-words")).to_contain_text("“heart:1” is none of head, mlp")
    expect(page.locator("#change-list li")).to_have_count(2)
    page.close()


def test_what_the_model_does_not_have_is_refused(changer: Page) -> None:
    open_view(changer, "change")
    changer.locator("#change-layer").fill("77")
    changer.get_by_role("button", name="Add", exact=True).click()
    expect(changer.locator("#change-notice-words")).to_contain_text("There is no layer 77")


def test_heads_are_ranked_and_a_ranking_is_cancelled(changer: Page) -> None:
    open_view(changer, "change")
    changer.locator("#rank-start").click()
    changer.locator("#effect-cancel").click()
    expect(changer.locator("#effect-words")).to_have_text("Cancelled.")
    expect(changer.locator("#rank-found")).to_be_hidden()
    changer.get_by_text("The texts", exact=True).click()
    changer.locator("#effect-text").fill(SHORT)
    changer.locator("#rank-start").click()
    expect(changer.locator("#rank-found")).to_be_visible()
    model = thimble.load(ROOT / "web" / "models" / "story.gguf")
    best = lens.rank_heads(model, SHORT.splitlines()).heads[0]
    row = changer.locator("#rank-bars tbody tr").first
    expect(row.locator("th")).to_have_text(f"Layer {best.layer}, head {best.head}")
    expect(row.locator("td")).to_contain_text(f"{best.change:+.4f}")


def test_patterns_are_the_lens_s_and_go_into_the_report(changer: Page) -> None:
    open_view(changer, "probes")
    changer.locator("#probe-start").click()
    expect(changer.locator("#probe-maps table")).to_have_count(3)
    model = thimble.load(ROOT / "web" / "models" / "story.gguf")
    layer, head, score = lens.detect_heads(model).best("previous_token")
    best = f"previous token layer {layer}, head {head} with {score:.2f}"
    expect(changer.locator("#probe-words")).to_contain_text(best)
    changer.locator("#grid-start").click()
    expect(changer.locator("#grid-words")).to_contain_text("“␣Lucy” is ahead of “␣Lily”")
    assert not violations(changer, "[data-panel=lens]")
    with changer.expect_download() as saved:
        changer.get_by_role("button", name="Download JSON").click()
    report = json.loads(saved.value.path().read_text(encoding="utf-8"))
    assert report["probes"]["previous_token"][layer][head] == pytest.approx(score)
    assert report["grid"]["answer"] == " Lucy"
    changer.get_by_role("button", name="Copy as text").click()
    expect(changer.locator("#report-words")).to_have_text("The report is copied.")
    assert f"L{layer}H{head}  {score:.3f}" in changer.evaluate("navigator.clipboard.readText()")


def test_a_step_of_the_tour_is_measured_after_a_guess(
    changer: Page, copier: tuple[int, int]
) -> None:
    changer.set_viewport_size({"width": 360, "height": 740})
    open_view(changer, "tour")
    expect(changer.locator("#tour-place")).to_have_text("Experiment 1 of 7")
    for _ in range(2):
        changer.get_by_role("button", name="Next").click()
    step = changer.locator("[data-step=copies]")
    run = step.get_by_role("button", name="Run the experiment")
    expect(run).to_be_disabled()
    step.get_by_role("radio").first.check()
    run.click()
    expect(changer.locator("#tour-words")).to_contain_text(f"layer {copier[0]}, head {copier[1]}")
    third = step.locator(".tour-choice").nth(3 * copier[0] // 6)
    expect(third).to_have_class(re.compile("right"))
    assert not violations(changer, "[data-panel=lens]")
    width = changer.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
