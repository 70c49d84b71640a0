"""Talking with a model that has a chat template, and with one that has none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.browser.conftest import resting, too_wide, violations
from tests.conftest import serving
from tests.tiny_models import SPECS, make

TINY = make(replace(SPECS["q8_0-tied"], n_ctx=192, seed=31))
"""Random, with a template; what it says means nothing."""


@pytest.fixture(scope="module")
def talk(visit: Page) -> Page:
    """A page on the panel, with the tiny model opened from a file."""
    visit.goto("/#max_tokens=9&talk_max_tokens=16&talk_seed=3&talk_temperature=0.8&panel=talk")
    expect(visit.locator("#talk-model")).to_contain_text("a plain transcript")
    return visit


def open_tiny(page: Page) -> None:
    file: FilePayload = {"name": "tiny.gguf", "mimeType": "", "buffer": TINY}
    page.set_input_files("#model-file", [file])
    expect(page.locator("#talk-model")).to_have_text("tiny · its own chat template")


def say(page: Page, text: str) -> str:
    """Say something; what was answered."""
    field = page.get_by_role("textbox", name="Your message", exact=True)
    field.fill(text)
    field.press("Enter")
    return answered(page)


def answered(page: Page) -> str:
    expect(page.locator("#talk-outcome")).to_have_text(re.compile("^(Answered|Cut|The context)"))
    return page.locator(".turn.models .turn-text").last.inner_text()


def number(page: Page, name: str) -> int:
    return int(page.locator(f"#talk-{name}").inner_text().split("/")[0].replace(",", ""))


# Every answer of the worker's that has text has this one, once.
SPEAK = """(() => {
  const text = TEXT;
  const hear = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
  Object.defineProperty(MessagePort.prototype, "onmessage", { ...hear, set(handler) {
    let said = false;
    hear.set.call(this, handler && ((event) => {
      const { batch } = event.data ?? {};
      if (batch?.text === undefined) return handler.call(this, event);
      const data = { ...event.data, batch: { ...batch, text: said ? "" : text } };
      said = true;
      handler.call(this, new MessageEvent("message", { data }));
    }));
  } });
})()"""


# Sends what is in the field, and stops as soon as there is a first word of the answer.
SEND_AND_STOP = """() => {
  const turns = document.getElementById("talk-turns");
  const watch = new MutationObserver(() => {
    if (!turns.querySelector(".models .turn-text")?.textContent) return;
    watch.disconnect();
    document.getElementById("talk-stop").click();
  });
  watch.observe(turns, { childList: true, subtree: true, characterData: true });
  document.getElementById("talk_max_tokens").value = 400;
  document.getElementById("talk-form").requestSubmit();
  document.getElementById("talk_max_tokens").value = 16;
}"""


def test_a_model_without_a_template_says_so_and_can_be_talked_to_and_stopped(talk: Page) -> None:
    expect(talk.locator("#talk-plain-words")).to_contain_text("story has no chat template")
    expect(talk.get_by_role("button", name="Send")).to_be_disabled()
    talk.get_by_role("button", name="Talk anyway").click()
    talk.get_by_role("textbox", name="Your message", exact=True).fill("Tell me of a cat.")
    with resting(talk):
        talk.evaluate(SEND_AND_STOP)
        expect(talk.locator("#talk-outcome")).to_have_text(re.compile("^Stopped after"))
    assert talk.locator(".turn.models .turn-text").inner_text()
    talk.get_by_role("button", name="New conversation").click()
    expect(talk.locator(".turn")).to_have_count(0)
    talk.get_by_role("button", name="Bring back the conversation before").click()
    expect(talk.locator(".turn")).to_have_count(2)
    talk.get_by_role("button", name="New conversation").click()
    expect(talk.locator(".turn")).to_have_count(0)


def test_a_chat_model_of_the_site_is_two_clicks_away(
    chromium: Browser, site: Path, tmp_path: Path
) -> None:
    """As `make play` serves SmolLM2: behind the site's own, fetched when somebody wants it."""
    (tmp_path / "chatty.gguf").write_bytes(TINY)
    with serving("--models", str(tmp_path)) as address:
        context = chromium.new_context(base_url=address, reduced_motion="reduce")
        page = context.new_page()
        fetched: list[str] = []
        page.on("request", lambda request: fetched.append(request.url))
        page.goto("/#talk_max_tokens=16&panel=talk")
        expect(page.locator("#talk-model")).to_contain_text("story")
        assert not any("chatty" in url for url in fetched)
        page.get_by_role("button", name=re.compile(r"^Load .*, \d+\.\d MB$")).click()
        expect(page.locator("#talk-model")).to_have_text("chatty · its own chat template")
        assert say(page, "Hello.")
        context.close()


def test_a_conversation_goes_on_without_computing_anew(talk: Page) -> None:
    open_tiny(talk)
    talk.get_by_role("button", name="System prompt").click()
    talk.locator("#talk-system-text").fill("Be brief.")
    say(talk, "Who was sad?")
    assert number(talk, "reused") == 0
    asked = number(talk, "read")
    say(talk, "Why?")
    assert number(talk, "reused") >= asked - 5
    assert 0 < number(talk, "read") < number(talk, "reused") + asked
    expect(talk.locator(".turn")).to_have_count(4)
    assert "sad" not in talk.url


def test_its_settings_are_its_own_and_an_answer_that_is_cut_off_continues(talk: Page) -> None:
    assert talk.locator("#max_tokens").input_value() == "9"
    talk.get_by_role("button", name="Settings").click()
    length = talk.get_by_role("spinbutton", name="Length")
    assert length.input_value() == "16"
    assert talk.get_by_role("spinbutton", name="Temperature").input_value() == "0.8"
    assert talk.get_by_role("spinbutton", name="Repetition penalty").input_value() == "1.1"
    expect(talk.locator("#talk-outcome")).to_have_text("Cut off at 16 tokens.")
    talk.get_by_role("button", name="Continue").click()
    expect(talk.locator("#talk-outcome")).to_have_text("Cut off at 32 tokens.")
    continued = talk.locator(".turn.models .turn-text").last.inner_text()
    length.fill("32")
    talk.get_by_role("button", name="Edit").last.click()
    talk.keyboard.press("Enter")
    assert answered(talk) == continued
    length.fill("16")
    talk.get_by_role("button", name="Settings").click()


def test_an_edit_and_another_answer_stand_beside_what_was_there(talk: Page) -> None:
    first = talk.locator(".turn.models .turn-text").first.inner_text()
    talk.get_by_role("button", name="Edit").first.click()
    field = talk.get_by_role("textbox", name="Edit your message")
    expect(field).to_be_focused()
    field.press("Escape")
    talk.get_by_role("button", name="Edit").first.click()
    field.press("Enter")  # the same again gives the same again
    assert answered(talk) == first
    expect(talk.locator(".turn")).to_have_count(2)
    assert number(talk, "read") == 1
    talk.get_by_role("button", name="Another answer").click()
    expect(talk.locator(".turn.models .turn-text")).not_to_have_text(first)
    answered(talk)
    talk.get_by_role("button", name="Edit").first.click()
    field.fill("Who was happy?")
    talk.get_by_role("button", name="Resend").click()
    answered(talk)
    assert number(talk, "reused") > 5
    talk.locator(".turn.models").get_by_role("button", name="Copy").click()
    expect(talk.locator("#talk-outcome")).to_have_text("Copied.")
    # Arrows lead back to what was there: another version of the question, with its own answers.
    shown = talk.locator(".turn-versions")
    expect(shown).to_have_text(re.compile(r"3 / 3"))
    talk.get_by_role("button", name="Version before").click()
    expect(shown).to_have_count(2)
    expect(talk.locator(".turn-versions").last).to_contain_text("2 / 2")
    talk.get_by_role("button", name="Version before").last.click()
    expect(talk.locator(".turn.models .turn-text")).to_have_text(first)
    talk.get_by_role("button", name="Next version").first.click()
    expect(talk.locator(".turn.yours .turn-text")).to_have_text("Who was happy?")
    expect(talk.locator(".turn-facts").last).to_contain_text(
        re.compile("first token after .* tokens/s")
    )


def test_a_conversation_goes_on_past_the_context_and_the_page_says_so(talk: Page) -> None:
    turns, unread = talk.locator(".turn"), talk.locator(".turn.unread")
    expect(unread).to_have_count(0)
    for _ in range(5):
        before = turns.count()
        say(talk, "a b c " * 8)
        expect(turns).to_have_count(before + 2)
        assert number(talk, "context") <= 192
    expect(talk.locator(".turn-shift")).to_contain_text("longer than its context of 192 tokens")
    assert 0 < unread.count() < turns.count() - 1
    expect(talk.locator("#talk-notice")).to_be_hidden()
    # A message that is too long by itself is refused, and stays to be edited.
    field = talk.get_by_role("textbox", name="Your message", exact=True)
    field.fill("d e f " * 60)
    field.press("Enter")
    expect(talk.locator("#talk-notice-words")).to_contain_text("context holds 192")
    expect(talk.locator("#talk-notice-words")).to_contain_text("Shorten your message")


HOSTILE = """# Plan

Some **bold** and *slanted*: `x < y`.

- one
  1. inner

| a | b |
|---|--:|
| 1 | 2 |

```js
alert(1) // <b>
```

<img src=x onerror="window.ran=1"><script>window.ran=1</script><style>*{display:none}</style>

![p](https://evil.example/p.png) [go](javascript:window.ran=1) [data](data:text/html,x)
[site](https://evil.example/a"onclick=x) <iframe src="https://evil.example/"></iframe>

$x^2$ costs $5 and $6. $\\href{javascript:window.ran=1}{y}$
$\\includegraphics{https://evil.example/q.png}$ $\\htmlStyle{color:red}{z}$

[ref]: javascript:window.ran=1
[ref] &lt;b&gt;

"""


def open_saved(page: Page) -> None:
    page.reload()
    page.get_by_role("button", name="Load tiny, 0.").click()
    expect(page.locator("#talk-model")).to_have_text("tiny · its own chat template")


def test_a_chat_model_that_is_saved_here_is_offered_after_a_reload(talk: Page) -> None:
    open_saved(talk)
    assert say(talk, "Who was sad?")


def test_an_answer_is_markdown_that_runs_and_loads_nothing(talk: Page) -> None:
    """The worker's answer is put in place of the model's; the page then shows what it would say."""
    asked: list[str] = []
    talk.on("request", lambda request: asked.append(request.url))
    talk.add_init_script(SPEAK.replace("TEXT", json.dumps(HOSTILE)))
    open_saved(talk)
    asked.clear()
    say(talk, "Who?")
    text = talk.locator(".turn.models .turn-text").last
    assert text.locator("strong").inner_text() == "bold"
    assert text.locator("em").inner_text() == "slanted"
    assert text.locator("ul ol > li").inner_text() == "inner"
    assert text.locator("td").all_inner_texts() == ["1", "2"]
    assert text.locator("pre").inner_text() == "alert(1) // <b>"
    expect(text.locator("pre .code-comment")).to_have_text("// <b>")
    expect(text.locator("math msup")).to_have_text("x2")
    assert "costs $5 and $6." in text.inner_text()
    assert text.locator("[href^=javascript], [style]").count() == 0
    text.get_by_role("button", name="Copy code").click()
    expect(talk.locator("#talk-outcome")).to_have_text("Copied.")
    assert text.locator("img, script, style, iframe, object, [onclick], [onerror]").count() == 0
    links = text.locator("a")
    assert {link.get_attribute("rel") for link in links.all()} == {"noopener noreferrer nofollow"}
    assert all(str(link.get_attribute("href")).startswith("https://") for link in links.all())
    assert "(https://evil.example/a" in text.inner_text()
    assert "![p](https://evil.example/p.png)" in text.inner_text()
    assert not talk.evaluate("window.ran") and not any("evil" in url for url in asked)


def test_the_page_follows_the_answer_until_the_reader_scrolls_up(talk: Page) -> None:
    talk.set_viewport_size({"width": 360, "height": 640})
    for _ in range(4):
        say(talk, "Who?")
        box = talk.locator("#talk-text").bounding_box()
        assert box and box["y"] + box["height"] < 640
        below = "document.getElementById('talk-sheet').getBoundingClientRect().bottom - innerHeight"
        assert talk.evaluate(below) < 2
    talk.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    box = talk.locator("#talk-text").bounding_box()
    assert box and box["y"] + box["height"] < 640
    # Focus that goes back through the turns never lies under the field.
    talk.evaluate("scrollTo({ top: document.body.scrollHeight, behavior: 'instant' })")
    copy = talk.locator(".turn.models").first.get_by_role("button", name="Copy", exact=True)
    copy.focus()
    box, form = copy.bounding_box(), talk.locator("#talk-form").bounding_box()
    assert box and form and box["y"] >= 0 and box["y"] + box["height"] <= form["y"]


def test_it_is_reached_by_everybody(talk: Page) -> None:
    for scheme in ("light", "dark"):
        talk.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(talk, "[data-panel=talk]") == []
    for width in (360, 1440):
        talk.set_viewport_size({"width": width, "height": 800})
        assert too_wide(talk) == []
