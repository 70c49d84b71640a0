"""What a newcomer sees first: the model has written, and the claims are below."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE_MS, violations


@pytest.fixture(scope="module")
def newcomer(chromium: Browser, server: str) -> Iterator[Page]:
    """Somebody who minds no motion, for whom the tests' browser writes nothing by itself."""
    context = chromium.new_context(base_url=server, reduced_motion="no-preference")
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def test_the_first_text_writes_itself_and_nothing_jumps(newcomer: Page) -> None:
    newcomer.goto("/")
    place = newcomer.locator(".front")
    before = place.bounding_box()
    expect(newcomer.locator("#outcome")).to_contain_text(re.compile(r"\d+ token|The end"))
    assert newcomer.locator("#written").text_content()
    assert place.bounding_box() == before
    expect(newcomer.get_by_role("button", name="Continue")).to_be_enabled()
    assert violations(newcomer, "[data-panel=write]") == []
    newcomer.get_by_role("link", name="Measure them").click()
    expect(newcomer.get_by_role("heading", level=1, name=re.compile("claims"))).to_be_visible()
    expect(newcomer.get_by_role("button", name="Measure all")).to_be_enabled()


def test_it_waits_for_whoever_comes_by_a_link_or_begins_first(newcomer: Page) -> None:
    newcomer.goto("/#prompt=The+cat")
    newcomer.reload()
    expect(newcomer.locator("#metrics")).to_be_visible()
    expect(newcomer.locator("#empty")).to_be_visible()
    early = newcomer.context.new_page()
    # A key as soon as the page hears of keys, however quick the model is.
    early.add_init_script("""setInterval(() => document.getElementById("prompt")?.dispatchEvent(
      new KeyboardEvent("keydown", { key: "End", bubbles: true })), 1)""")
    early.goto("/")
    expect(early.locator("#metrics")).to_be_visible()
    assert early.locator("#written").text_content() == ""
    early.close()


def test_it_waits_where_less_motion_is_wanted(newcomer: Page) -> None:
    newcomer.emulate_media(reduced_motion="reduce")
    newcomer.goto("about:blank")
    newcomer.goto("/")
    expect(newcomer.locator("#metrics")).to_be_visible()
    expect(newcomer.locator("#empty")).to_be_visible()
    assert newcomer.locator("#written").text_content() == ""


def test_the_model_that_was_chosen_last_is_there_again(newcomer: Page) -> None:
    model = newcomer.locator("#model")
    ready = newcomer.get_by_role("button", name="Copy link")
    newcomer.goto("/")
    first = model.input_value()
    model.select_option("story-small")
    expect(newcomer.locator("#m-context")).to_contain_text("/")
    expect(ready).to_be_enabled()
    newcomer.wait_for_function("() => localStorage.getItem('thimble.model') === 'story-small'")
    newcomer.goto("/#panel=talk&model=story")  # somebody's link is not a choice
    newcomer.reload()
    expect(newcomer.locator("#talk-model")).to_contain_text("story ")
    newcomer.goto("/")
    newcomer.reload()
    expect(model).to_have_value("story-small")
    expect(newcomer.locator("#metrics")).to_be_visible()
    newcomer.evaluate("() => localStorage.setItem('thimble.model', 'a model that is gone')")
    newcomer.reload()
    expect(model).to_have_value(first)
