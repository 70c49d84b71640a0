"""The shape of the answer, chosen beside the other settings of Write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import too_wide, turn_to, violations
from tests.browser.test_page import finish, open_ready, written


@pytest.fixture(scope="module")
def shaper(visit: Page) -> Page:
    """A page with its settings open."""
    open_ready(visit, "/#prompt=A+hero:&max_tokens=300&seed=1")
    visit.get_by_role("button", name="Settings").click()
    return visit


def choose(page: Page, words: str, example: str | None = None) -> str:
    """Ask for a shape, by one of its examples; what it is, written down."""
    page.get_by_label("Shape of the answer").select_option(words)
    if example:
        page.get_by_role("group", name="Examples of shapes").get_by_text(example).click()
    return page.get_by_label("The shape, written down").input_value()


def write(page: Page) -> str:
    page.get_by_role("button", name="Write", exact=True).click()
    return finish(page)


@pytest.mark.parametrize("example", [None, "Some words"])
def test_an_answer_is_json_that_fits_its_schema(shaper: Page, example: str | None) -> None:
    schema = json.loads(choose(shaper, "JSON that fits a schema", example))
    for _ in range(3):
        answer = json.loads(write(shaper))
        jsonschema.validate(answer, schema)
    expect(shaper.locator("#shape-digest")).to_have_text("in shape: JSON")


def test_an_answer_is_what_an_expression_matches(shaper: Page) -> None:
    for example in ("An answer", "A day"):
        expression = choose(shaper, "What a regular expression matches", example)
        assert re.fullmatch(expression, write(shaper))


def test_an_answer_is_what_a_grammar_allows(shaper: Page) -> None:
    source = choose(shaper, "What a grammar (GBNF) allows", "A list")
    assert source.startswith("root ::=")
    assert re.fullmatch(r"(- [a-z]{1,10}( [a-z]{1,10}){1,5}\n){3}", write(shaper))
    choose(shaper, "What a grammar (GBNF) allows", "A dialogue")
    said = r'("[A-Z][a-z ,]{8,40}!" said (Tim|Lily|the dog)\.\n){3}'
    assert re.fullmatch(said, write(shaper))


def test_what_is_cut_off_goes_on_in_its_shape(shaper: Page) -> None:
    choose(shaper, "What a grammar (GBNF) allows", "A list")
    shaper.locator("#max_tokens").fill("4")
    half = write(shaper)
    shaper.locator("#max_tokens").fill("300")
    shaper.get_by_role("button", name="Continue").click()
    expect(shaper.locator("#outcome")).to_contain_text("The end")
    assert written(shaper).startswith(half)
    assert re.fullmatch(r"(- [a-z]{1,10}( [a-z]{1,10}){1,5}\n){3}", written(shaper))


def test_a_shape_that_is_none_is_refused_where_it_is_wrong(shaper: Page) -> None:
    for words, source, told in (
        ("JSON that fits a schema", '{"type": "objekt"}', "objekt"),
        ("JSON that fits a schema", "{", "JSON"),
        ("What a regular expression matches", "(a", "character 1"),
        ("What a grammar (GBNF) allows", "root ::= nobody", "nobody"),
    ):
        choose(shaper, words)
        shaper.get_by_label("The shape, written down").fill(source)
        shaper.get_by_role("button", name="Write", exact=True).click()
        expect(shaper.locator("#notice-words")).to_contain_text(told)
    choose_nothing = shaper.get_by_label("Shape of the answer")
    choose_nothing.select_option("Any text")
    assert write(shaper)
    expect(shaper.locator("#notice")).to_be_hidden()
    expect(shaper.get_by_label("The shape, written down")).to_be_hidden()


def test_a_link_brings_the_shape(shaper: Page, context: BrowserContext) -> None:
    shape = choose(shaper, "JSON that fits a schema", None)
    if "hero" not in shape:  # what stood there was the visitor's own
        shape = choose(shaper, "JSON that fits a schema", "A hero")
    text = write(shaper)
    shaper.get_by_role("button", name="Copy link").click()
    expect(shaper.locator("#announce")).to_have_text("Copied")
    page = shaper.context.new_page()
    open_ready(page, shaper.evaluate("() => navigator.clipboard.readText()"))
    assert page.locator("#shape-source").input_value() == shape
    expect(page.locator("#written")).to_be_empty()  # nothing runs by itself
    assert write(page) == text
    page.close()


def test_talk_and_step_keep_to_the_shape(shaper: Page, tmp_path: Path) -> None:
    choose(shaper, "What a regular expression matches", "An answer")
    turn_to(shaper, "Talk")
    anyway = shaper.get_by_role("button", name="Talk anyway")
    anyway.click()
    field = shaper.get_by_role("textbox", name="Your message", exact=True)
    field.fill("Is the cat happy?")
    field.press("Enter")
    answer = shaper.locator(".turn.models .turn-text").last
    expect(answer).to_have_text(re.compile(r"^(Yes|No), because [a-z ]{10,60}\.$"))
    turn_to(shaper, "Step")
    expect(shaper.locator("#step-shape")).to_have_text("in shape: expression")
    shaper.get_by_role("button", name="Begin anew").click()
    tokens = shaper.locator("#step-view .token:not(.given)")
    words = shaper.locator("#step-draw-words")
    expect(tokens).to_have_count(0)
    expect(words).to_contain_text(re.compile(r"The shape lets \d+ tokens? come"))
    forbidden = shaper.locator("#step-stages tr.dropped", has_text="out: the shape")
    expect(forbidden.first).to_be_visible()
    forbidden.first.get_by_role("button").click()
    expect(shaper.locator("#step-force")).to_be_disabled()
    shaper.keyboard.press("F10")
    expect(tokens).to_have_count(1)
    shaper.keyboard.press("F8")
    expect(shaper.locator("#step-outcome")).to_contain_text("the shape is complete")
    text = "".join(tokens.all_text_contents())
    assert re.fullmatch(r"(Yes|No), because [a-z ]{10,60}\.", text)
    # Any text may follow; what is whole is not gone on with. The file brings the shape back.
    with shaper.expect_download() as download:
        shaper.get_by_role("button", name="Export run").click()
    file = tmp_path / "shape.run.json"
    download.value.save_as(file)
    turn_to(shaper, "Write")
    shaper.get_by_label("Shape of the answer").select_option("Any text")
    turn_to(shaper, "Step")
    expect(shaper.locator("#step-step")).to_be_enabled()
    expect(words).not_to_contain_text("The shape lets")
    shaper.locator("#step-file").set_input_files(file)
    expect(shaper.locator("#step-outcome")).to_contain_text("the same, to the bit")
    assert "".join(tokens.all_text_contents()) == text
    expect(shaper.locator("#step-shape")).to_have_text("in shape: expression")
    expect(shaper.locator("#step-step")).to_be_disabled()
    turn_to(shaper, "Write")
    assert shaper.locator("#written").text_content() == text
    shaper.get_by_role("button", name="Copy link").click()
    expect(shaper.locator("#announce")).to_have_text("Copied")
    link = shaper.evaluate("() => navigator.clipboard.readText()")
    carried = parse_qs(urlsplit(link).fragment)
    assert carried["regex"] == [shaper.get_by_label("The shape, written down").input_value()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_bars_anyone(shaper: Page, scheme: str) -> None:
    choose(shaper, "What a grammar (GBNF) allows")
    shaper.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for width in (360, 1440):
        shaper.set_viewport_size({"width": width, "height": 800})
        assert too_wide(shaper) == []
        assert violations(shaper, "[data-panel=write]") == []
