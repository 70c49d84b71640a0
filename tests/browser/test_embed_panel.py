"""The panel that writes HTML for other pages: what it writes works there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, too_wide, violations

from .elsewhere import Elsewhere, serving

WRITTEN = """() => new Promise((resolve) => {
  const look = () => {
    const { state, text } = document.querySelector("thimble-lm") ?? {};
    if (state === "finished" || state === "failed") resolve([state, text]);
    else setTimeout(look, 50);
  };
  look();
})"""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    with serving() as place:
        yield place


@pytest.fixture
def builder(visit: Page) -> Page:
    """The panel with its form as at first."""
    visit.goto("/#panel=embed")
    expect(visit.locator("#embed-code")).not_to_be_empty()
    visit.evaluate("""() => {
      const form = document.getElementById("embed-desk");
      form.reset();
      form.dispatchEvent(new Event("input"));
    }""")
    return visit


def snippet(builder: Page) -> str:
    """What the button copies, which is what stands there."""
    builder.get_by_role("button", name="Copy HTML").click()
    expect(builder.locator("#embed-note")).to_have_text("Copied")
    copied: str = builder.evaluate("() => navigator.clipboard.readText()")
    assert copied == builder.locator("#embed-code").text_content()
    return copied


def test_the_shortest_element_is_two_lines(builder: Page, server: str) -> None:
    assert snippet(builder) == (
        f'<script type="module" src="{server}/widget.js"></script>\n'
        '<thimble-lm model="story" prompt="Once upon a time"></thimble-lm>'
    )


@pytest.mark.parametrize("kind", ["Element", "Frame"])
def test_what_it_writes_works_elsewhere(
    builder: Page, page: Page, elsewhere: Elsewhere, kind: str
) -> None:
    prompt = 'A "big" dog & <b>cat</b>'
    builder.get_by_text(kind, exact=True).click()
    builder.locator("#embed-prompt").fill(prompt)
    builder.locator("#embed-length").fill("12")
    builder.locator("#embed-temperature").fill("0")
    builder.locator("#embed-seed").fill("3")
    builder.locator("#embed-readonly").check()
    code = snippet(builder)
    page.goto(elsewhere.page(f'<meta charset="utf-8">{code}'))
    place = page.main_frame
    if kind == "Frame":
        place = page.frames[1]
        place.wait_for_selector("thimble-lm")
    state, text = place.evaluate(WRITTEN)
    assert state == "finished"
    assert text
    expect(place.locator("thimble-lm .text")).to_have_text(prompt + text, use_inner_text=False)
    expect(place.locator("thimble-lm textarea")).to_have_count(0)
    found = place.evaluate("""() => {
      const { defaultPrompt, maxTokens, temperature, seed } = document.querySelector("thimble-lm");
      return [defaultPrompt, maxTokens, temperature, seed];
    }""")
    assert found == [prompt, 12, 0, 3]


def test_the_preview_is_the_element_with_the_engine_of_the_page(builder: Page) -> None:
    builder.locator("#embed-prompt").fill("A small boat")
    builder.locator("#embed-length").fill("10")
    preview = builder.locator("#embed-preview thimble-lm")
    expect(preview.locator("textarea")).to_have_value("A small boat")
    preview.get_by_role("button", name="Write").click()
    expect(preview.get_by_role("status")).to_contain_text("10 tokens")
    # The one that makes the snapshot may be at work, and ends by itself.
    for _ in range(PATIENCE_MS // 100):
        if len(engines := [worker for worker in builder.workers if "/worker." in worker.url]) == 1:
            break
        builder.wait_for_timeout(100)
    assert len(engines) == 1


def test_a_number_out_of_range_is_told_and_left_out(builder: Page) -> None:
    builder.locator("#embed-length").fill("-3")
    expect(builder.locator("#embed-note")).to_have_text(
        "Length: -3 is not a number from 1 to 100000."
    )
    assert "max-tokens" not in (builder.locator("#embed-code").text_content() or "")


def test_the_panel_tells_which_directives_a_policy_needs(builder: Page, server: str) -> None:
    builder.get_by_text("What the host page needs").click()
    expect(builder.locator("#embed-policy")).to_have_text(
        f"script-src {server} 'wasm-unsafe-eval'; worker-src blob: {server}; connect-src {server}"
    )


@pytest.mark.parametrize("width", [360, 1440])
def test_everybody_can_use_the_panel(builder: Page, width: int) -> None:
    builder.set_viewport_size({"width": width, "height": 800})
    assert too_wide(builder) == []
    assert violations(builder) == []
