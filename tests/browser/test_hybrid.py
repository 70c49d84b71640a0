"""A model that has more state than keys and values, in the page: a text goes back and forth."""

from __future__ import annotations

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.test_lens import look, rows
from tests.browser.test_step import TOKENS, begin, logits_hash, steps, tokens
from tests.browser.test_talk import answered, number, say
from tests.test_session import load
from tests.tiny_folders import converted
from thimble import lens

HYBRIDS = ("lfm2", "granitehybrid")
"""Short convolutions beside attention, and scans beside attention."""
TEXT = "Mia had a little boat"


@pytest.fixture(scope="module", params=HYBRIDS)
def page(request: pytest.FixtureRequest, visit: Page) -> Page:
    """The page with a small random model of such a kind, opened from a file."""
    name: str = request.param
    visit.goto(
        "/#max_tokens=20&talk_max_tokens=12&talk_seed=3&talk_repetition_penalty=1&panel=talk"
    )
    # The model that a visit begins with has to be there: it would come after the file, and stay.
    expect(visit.locator("#talk-model")).to_contain_text("·")
    file: FilePayload = {"name": f"{name}.gguf", "mimeType": "", "buffer": converted(name, "q8_0")}
    visit.set_input_files("#model-file", [file])
    expect(visit.locator("#talk-model")).to_have_text(f"{name} · its own chat template")
    return visit


def test_what_it_writes_can_be_stepped_back_and_branched(page: Page) -> None:
    page.goto("/#max_tokens=20&panel=step&prompt=Mia+had+a+little")
    expect(page.get_by_role("button", name="Start over")).to_be_enabled()
    begin(page)
    hashes = [logits_hash(page)]
    for _ in range(6):
        steps(page, 1)
        hashes.append(logits_hash(page))
    first = tokens(page)
    assert len(set(hashes)) == 7
    for at in (5, 4, 3, 2):
        page.keyboard.press("F9")
        expect(page.locator(TOKENS)).to_have_count(at)
        expect(page.locator("#step-bits")).to_have_text(hashes[at])
    for at in (3, 4, 5, 6):
        steps(page, 1)
        expect(page.locator("#step-bits")).to_have_text(hashes[at])
    assert tokens(page) == first
    page.locator(TOKENS).nth(3).click()
    page.locator(".token-card .choice").nth(2).click()
    branches = page.locator("#step-branches li")
    expect(branches).to_have_count(2)
    steps(page, 2)
    assert tokens(page)[:3] == first[:3] and tokens(page)[3] != first[3]
    page.get_by_role("button", name="Branch 1", exact=True).click()
    expect(page.locator("#step-branches .current")).to_contain_text("Branch 1")
    assert tokens(page) == first
    expect(page.locator("#step-bits")).to_have_text(hashes[6])


def test_a_conversation_is_edited_and_answered_again(page: Page) -> None:
    page.goto("/#talk_max_tokens=12&talk_seed=3&panel=talk")
    if page.locator(".turn").count():  # said to the model before
        page.get_by_role("button", name="New conversation").click()
        expect(page.locator(".turn")).to_have_count(0)
    first = say(page, "Who was sad?")
    asked = number(page, "read")
    say(page, "Why?")
    assert number(page, "reused") >= asked
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_role("textbox", name="Edit your message").press("Enter")
    assert answered(page) == first  # the same again gives the same again
    page.get_by_role("button", name="Another answer").click()
    expect(page.locator(".turn.models .turn-text")).not_to_have_text(first)
    answered(page)
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_role("textbox", name="Edit your message").fill("Who was happy?")
    page.get_by_role("button", name="Resend").click()
    answered(page)
    for _ in range(2):
        page.get_by_role("button", name="Version before").first.click()
    expect(page.locator(".turn.models .turn-text").first).to_have_text(first)


def test_it_is_looked_into(page: Page) -> None:
    for view in ("logits", "parts", "neurons", "nearest", "weights"):
        look(page, view, text=TEXT)
    look(page, "logits", "&at=3", text=TEXT)
    name = page.locator("#talk-model").inner_text().split(" ")[0]
    model = load(converted(name, "q8_0"))
    told = lens.logit_lens(model, TEXT, top=1)
    expect(page.locator("#lens-grid tbody tr")).to_have_count(len(told.cells))
    texts = [model.tokenizer.decode([row[3].top[0][0]], at_start=False) for row in told.cells]
    shown = page.locator("#lens-grid tbody td:nth-of-type(4)").all_inner_texts()
    assert [text.strip() for text in shown[::-1]] == [text.strip() for text in texts]
    look(page, "parts", "&at=3", text=TEXT)
    assert len(rows(page, "#lens-parts-list")) > 4
    look(page, "attention", text=TEXT)
    expect(page.locator("#lens-heads button").first).to_be_visible()
