"""A constraint on the answer, set beside the other settings of Write."""

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
from tests.test_constrain_schema import HOSTILE


@pytest.fixture(scope="module")
def writer(visit: Page) -> Page:
    """A page with its settings open."""
    open_ready(visit, "/#prompt=A+hero:&max_tokens=300&seed=1")
    visit.get_by_role("button", name="Settings").click()
    return visit


def choose(page: Page, words: str, example: str | None = None) -> str:
    """Ask for a constraint, by one of its examples; what it is, written down."""
    page.get_by_label("Constraint", exact=True).select_option(words)
    if example:
        page.get_by_role("group", name="Example constraints").get_by_text(example).click()
    return page.get_by_label("Constraint source").input_value()


def write(page: Page) -> str:
    page.get_by_role("button", name="Write", exact=True).click()
    return finish(page)


@pytest.mark.parametrize("example", [None, "Some words"])
def test_an_answer_is_json_that_fits_its_schema(writer: Page, example: str | None) -> None:
    schema = json.loads(choose(writer, "JSON Schema", example))
    for _ in range(3):
        answer = json.loads(write(writer))
        jsonschema.validate(answer, schema)
    expect(writer.locator("#constraint-digest")).to_have_text("constraint: JSON")


def test_an_answer_is_what_an_expression_matches(writer: Page) -> None:
    for example in ("An answer", "A day"):
        expression = choose(writer, "Regular expression", example)
        assert re.fullmatch(expression, write(writer))


def test_an_answer_is_what_a_grammar_allows(writer: Page) -> None:
    source = choose(writer, "Grammar (GBNF)", "A list")
    assert source.startswith("root ::=")
    assert re.fullmatch(r"(- [a-z]{1,10}( [a-z]{1,10}){1,5}\n){3}", write(writer))
    choose(writer, "Grammar (GBNF)", "A dialogue")
    said = r'("[A-Z][a-z ,]{8,40}!" said (Tim|Lily|the dog)\.\n){3}'
    assert re.fullmatch(said, write(writer))


def test_what_is_cut_off_goes_on_in_its_constraint(writer: Page) -> None:
    choose(writer, "Grammar (GBNF)", "A list")
    writer.locator("#max_tokens").fill("4")
    half = write(writer)
    writer.locator("#max_tokens").fill("300")
    writer.get_by_role("button", name="Continue").click()
    expect(writer.locator("#outcome")).to_contain_text("The end")
    assert written(writer).startswith(half)
    assert re.fullmatch(r"(- [a-z]{1,10}( [a-z]{1,10}){1,5}\n){3}", written(writer))


def test_a_constraint_that_is_none_is_refused_where_it_is_wrong(writer: Page) -> None:
    for words, source, told in (
        ("JSON Schema", '{"type": "objekt"}', "objekt"),
        ("JSON Schema", "{", "JSON"),
        ("Regular expression", "(a", "character 1"),
        ("Grammar (GBNF)", "root ::= nobody", "nobody"),
    ):
        choose(writer, words)
        writer.get_by_label("Constraint source").fill(source)
        writer.get_by_role("button", name="Write", exact=True).click()
        expect(writer.locator("#notice-words")).to_contain_text(told)
    choose_nothing = writer.get_by_label("Constraint", exact=True)
    choose_nothing.select_option("Any text")
    assert write(writer)
    expect(writer.locator("#notice")).to_be_hidden()
    expect(writer.get_by_label("Constraint source")).to_be_hidden()


# Stop is pressed in the frame behind Write, while the worker reads the constraint.
WRITE_AND_STOP = """
const frame = () => new Promise(requestAnimationFrame);
let frames = 0;
document.getElementById("write").click();
while (document.getElementById("stop").hidden) await frame();
document.getElementById("stop").click();
while (!document.getElementById("outcome").textContent) {
  await frame();
  frames += 1;
}
return frames;
"""


def test_work_at_a_hostile_constraint_is_stopped_while_the_page_goes_on(writer: Page) -> None:
    choose(writer, "JSON Schema")
    source = writer.get_by_label("Constraint source")
    source.fill(json.dumps(HOSTILE["an expression that explodes"]))
    writer.get_by_role("button", name="Write", exact=True).click()
    expect(writer.locator("#notice-words")).to_contain_text("#: this needs more than")
    source.fill(
        json.dumps({"$ref": "#/$defs/a", "$defs": {"a": HOSTILE["an expression that explodes"]}})
    )
    writer.evaluate(f"async () => {{ {WRITE_AND_STOP} }}")
    expect(writer.locator("#outcome")).to_have_text(re.compile(r"Stopped after \d+ tokens?\."))
    expect(writer.locator("#notice")).to_be_hidden()
    source.fill('{"enum": ["a", "b"]}')
    assert json.loads(write(writer)) in ("a", "b")


def test_a_link_brings_the_constraint(writer: Page, context: BrowserContext) -> None:
    source = choose(writer, "JSON Schema", None)
    if "hero" not in source:  # what stood there was the visitor's own
        source = choose(writer, "JSON Schema", "A hero")
    writer.get_by_text("How the JSON is written").click()
    writer.get_by_label("White space").select_option("free")
    text = write(writer)
    writer.get_by_role("button", name="Copy link").click()
    expect(writer.locator("#announce")).to_have_text("Copied")
    page = writer.context.new_page()
    open_ready(page, writer.evaluate("() => navigator.clipboard.readText()"))
    assert page.locator("#constraint-source").input_value() == source
    assert page.locator("#json-whitespace").input_value() == "free"
    expect(page.locator("#written")).to_be_empty()  # nothing runs by itself
    assert write(page) == text
    page.close()
    writer.get_by_label("White space").select_option("compact")


def test_talk_and_step_keep_to_the_constraint(writer: Page, tmp_path: Path) -> None:
    choose(writer, "Regular expression", "An answer")
    turn_to(writer, "Talk")
    anyway = writer.get_by_role("button", name="Talk anyway")
    anyway.click()
    field = writer.get_by_role("textbox", name="Your message", exact=True)
    field.fill("Is the cat happy?")
    field.press("Enter")
    answer = writer.locator(".turn.models .turn-text").last
    expect(answer).to_have_text(re.compile(r"^(Yes|No), because [a-z ]{10,60}\.$"))
    turn_to(writer, "Step")
    expect(writer.locator("#step-constraint")).to_have_text("constraint: regular expression")
    writer.get_by_role("button", name="Start over").click()
    tokens = writer.locator("#step-view .token:not(.given)")
    words = writer.locator("#step-draw-words")
    expect(tokens).to_have_count(0)
    expect(words).to_contain_text(re.compile(r"The constraint allows \d+ tokens?"))
    forbidden = writer.locator("#step-stages tr.dropped", has_text="out: the constraint")
    expect(forbidden.first).to_be_visible()
    forbidden.first.get_by_role("button").click()
    expect(writer.locator("#step-force")).to_be_disabled()
    writer.keyboard.press("F10")
    expect(tokens).to_have_count(1)
    writer.keyboard.press("F8")
    expect(writer.locator("#step-outcome")).to_contain_text("the constrained text is complete")
    text = "".join(tokens.all_text_contents())
    assert re.fullmatch(r"(Yes|No), because [a-z ]{10,60}\.", text)
    # Any text may follow; what is whole is not gone on with. The file brings the constraint back.
    with writer.expect_download() as download:
        writer.get_by_role("button", name="Export run").click()
    file = tmp_path / "shape.run.json"
    download.value.save_as(file)
    turn_to(writer, "Write")
    writer.get_by_label("Constraint", exact=True).select_option("Any text")
    turn_to(writer, "Step")
    expect(writer.locator("#step-step")).to_be_enabled()
    expect(words).not_to_contain_text("The constraint allows")
    writer.locator("#step-file").set_input_files(file)
    expect(writer.locator("#step-outcome")).to_contain_text("bit for bit the same")
    assert "".join(tokens.all_text_contents()) == text
    expect(writer.locator("#step-constraint")).to_have_text("constraint: regular expression")
    expect(writer.locator("#step-step")).to_be_disabled()
    turn_to(writer, "Write")
    assert writer.locator("#written").text_content() == text
    writer.get_by_role("button", name="Copy link").click()
    expect(writer.locator("#announce")).to_have_text("Copied")
    link = writer.evaluate("() => navigator.clipboard.readText()")
    carried = parse_qs(urlsplit(link).fragment)
    assert carried["regex"] == [writer.get_by_label("Constraint source").input_value()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_bars_anyone(writer: Page, scheme: str) -> None:
    choose(writer, "Grammar (GBNF)")
    writer.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for width in (360, 1440):
        writer.set_viewport_size({"width": width, "height": 800})
        assert too_wide(writer) == []
        assert violations(writer, "[data-panel=write]") == []
