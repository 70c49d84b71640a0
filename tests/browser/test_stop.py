"""Stop stops any work: what hears nothing loses its worker, and the page goes on with its text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import new_visitor, turn_to
from tests.browser.test_offline import write
from tests.browser.test_python import Panel

# From here on nothing that the engine computes ever ends, and no message reaches the worker. It
# tells that it hangs by a request.
HANG = """
import js, thimble.session, thimble.debug.debugger
def hang(*args, **named):
    asked = js.XMLHttpRequest.new()
    asked.open("GET", "/healthz?hangs", False)
    asked.send()
    while True:
        try:
            while True: pass
        except BaseException:
            pass
for name in ("append", "score", "generate", "sample"):
    setattr(thimble.session.Session, name, hang)
thimble.debug.debugger.Debugger.step = thimble.debug.debugger.Debugger.run = hang
"""


@pytest.fixture
def page(chromium: Browser, server: str) -> Iterator[Page]:
    """A page that has written a text, whose engine then hangs at all that it is asked for."""
    context = new_visitor(chromium, server)
    page = context.new_page()
    panel = Panel(page)
    panel.open("/#prompt=Once upon a time&max_tokens=20&seed=3&panel=python")
    turn_to(page, "Write")
    write(page)
    turn_to(page, "Python")
    panel.run(HANG)
    yield page
    context.close()


def goes_on(page: Page, text: str) -> None:
    """The text is there, can be gone on with, and another one can be written."""
    turn_to(page, "Write")
    expect(page.locator("#written")).to_have_text(text)
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text(re.compile("[Tt]oken"))
    longer = page.locator("#written").text_content() or ""
    assert longer.startswith(text)
    assert len(longer) > len(text)


def written(page: Page) -> str:
    return page.locator("#written").text_content() or ""


def test_writing(page: Page) -> None:
    text = written(page)
    turn_to(page, "Write")
    page.get_by_role("button", name="Write", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).click()
    goes_on(page, text)


def test_what_has_no_stop_of_its_own(page: Page) -> None:
    """The Step panel asks where the text stands as soon as it is shown."""
    text = written(page)
    turn_to(page, "Step")
    page.get_by_role("button", name="Stop and restart it").click()
    expect(page.locator("#busy")).to_be_hidden()
    goes_on(page, text)


def test_reading(page: Page) -> None:
    text = written(page)
    turn_to(page, "Read")
    page.get_by_role("textbox", name="Your text").fill("She saw a zebra.")
    page.locator("#read-go").click()
    page.locator("#read-cancel").click()
    expect(page.locator("#read-outcome")).to_have_text("Cancelled.")
    goes_on(page, text)


def test_talking(page: Page) -> None:
    text = written(page)
    turn_to(page, "Talk")
    page.get_by_role("button", name="Talk anyway").click()
    page.get_by_role("textbox", name="Your message", exact=True).fill("Hello")
    with page.context.expect_event("request", lambda request: "hangs" in request.url):
        page.locator("#talk-send").click()
    page.locator("#talk-stop").click()
    expect(page.locator("#talk-outcome")).to_have_text("Stopped.")
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.locator("#talk-outcome")).to_have_text(re.compile("^(Answered|Cut|The context)"))
    goes_on(page, text)
