"""What an answer in Talk has beside its words: thoughts, and tools that it calls."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, FilePayload, Page, expect

from tests import tiny_models
from tests.browser.conftest import too_wide, violations
from tests.browser.test_talk import answered, number, say
from tests.tiny_models import SPECS, make

THINKS = """{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}"""

# What the worker tells of an answer, instead of what a random model writes: the parts of each
# generation, in their order; of more there are none.
ANSWERS = """(() => {
  globalThis.answers = [];
  globalThis.asked = [];
  const hear = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
  Object.defineProperty(MessagePort.prototype, "onmessage", { ...hear, set(handler) {
    let mine;
    let said = false;
    hear.set.call(this, handler && ((event) => {
      const { type, batch } = event.data ?? {};
      if (type === "begun") mine = answers.shift();
      if (type !== "batch" || !mine) return handler.call(this, event);
      const finish = batch.finish_reason && mine.finish;
      const data = { type, batch: {
        ...batch, text: "", parts: said ? [] : mine.parts, finish_reason: finish } };
      said = true;
      handler.call(this, new MessageEvent("message", { data }));
    }));
  } });
})()"""


def thinker() -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "CHAT_TEMPLATE", tiny_models.CHAT_TEMPLATE + THINKS)
        return make.__wrapped__(replace(SPECS["q8_0-tied"], n_ctx=4096, seed=31))


def open_model(page: Page, data: bytes, name: str) -> None:
    file: FilePayload = {"name": f"{name}.gguf", "mimeType": "", "buffer": data}
    page.set_input_files("#model-file", [file])
    expect(page.locator("#talk-model")).to_have_text(f"{name} · its own chat template")


def will_say(page: Page, *answers: tuple[list[tuple[str, str]], str]) -> None:
    """Let the next generations bring these parts, and end so."""
    told = [
        {"parts": [[0, kind, text, 0] for kind, text in parts], "finish": finish}
        for parts, finish in answers
    ]
    page.evaluate("(told) => { globalThis.answers = told; }", told)


def call(name: str, **arguments: str) -> tuple[list[tuple[str, str]], str]:
    return [("call", name), ("arguments", json.dumps(arguments))], "tool_calls"


@pytest.fixture(scope="module")
def talk(visitor: BrowserContext) -> Page:
    page = visitor.new_page()
    page.add_init_script(ANSWERS)
    page.add_init_script("localStorage.setItem('thimble.talk.keep', 'yes')")
    page.goto("/#talk_max_tokens=8&talk_seed=3&panel=talk")
    expect(page.locator("#talk-model")).to_contain_text("a plain transcript")
    open_model(page, make(replace(SPECS["q8_0-tied"], n_ctx=4096, seed=32)), "wordy")
    return page


def test_a_thought_is_folded_and_there_is_a_switch_where_the_model_has_thoughts(talk: Page) -> None:
    talk.get_by_role("button", name="Settings").click()
    switch = talk.get_by_role("switch", name="Think before answering")
    expect(switch).to_be_hidden()
    open_model(talk, thinker(), "thinker")
    expect(switch).to_be_checked()
    will_say(talk, ([("reasoning", "A duck <b>is</b> a bird."), ("content", "Yes.")], "stop"))
    say(talk, "Is a duck a bird?")
    thought = talk.locator(".turn-aside").last
    expect(thought.locator("summary")).to_have_text("Thought, 5 words")
    expect(thought.get_by_text("A duck <b>is</b> a bird.")).to_be_hidden()
    thought.locator("summary").click()
    expect(thought.get_by_text("A duck <b>is</b> a bird.")).to_be_visible()
    expect(talk.locator(".turn.models .turn-text").last).to_contain_text("Yes.")
    before = number(talk, "context")
    switch.uncheck()
    talk.get_by_role("button", name="Another answer").click()
    expect(talk.locator(".turn-versions")).to_contain_text("2 / 2")
    answered(talk)
    assert number(talk, "context") > before  # an empty thought stands before the answer


def test_tools_are_off_until_switched_on_and_what_they_say_is_shown_and_kept(talk: Page) -> None:
    for name in ("Calculator", "Clock", "Python", "Search", "Always call one"):
        expect(talk.get_by_role("switch", name=re.compile(f"^{name}"))).not_to_be_checked()
    talk.get_by_role("button", name="New conversation").click()
    talk.get_by_role("switch", name="Calculator").check()
    will_say(talk, call("calculator", formula="6 * 7"), ([("content", "It comes to 42.")], "stop"))
    assert say(talk, "What is 6 * 7?").endswith("It comes to 42.")
    aside = talk.locator(".turn-aside")
    expect(aside.locator("summary")).to_have_text("calculator: called")
    aside.locator("summary").click()
    expect(aside).to_contain_text(re.compile(r"6 \* 7\s+42"))
    will_say(talk, call("clock"), ([("content", "Later.")], "stop"))
    say(talk, "What time is it?")
    expect(aside.last.locator(".turn-result")).to_have_text("Error: there is no tool clock")
    for width in (360, 1440):
        talk.set_viewport_size({"width": width, "height": 800})
        assert too_wide(talk) == []
    for scheme in ("light", "dark"):
        talk.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(talk, "[data-panel=talk]") == []
    talk.reload()
    expect(aside).to_have_count(2)
    expect(talk.locator(".turn.models .turn-text").first).to_contain_text("It comes to 42.")
    expect(talk.get_by_role("switch", name="Calculator", include_hidden=True)).to_be_checked()


def test_python_runs_only_when_the_visitor_says_so(talk: Page) -> None:
    expect(talk.locator("#talk-model")).to_have_text("thinker · its own chat template")
    talk.get_by_role("button", name="Settings").click()
    talk.get_by_role("switch", name=re.compile("^Python")).check()
    aside = talk.locator(".turn-aside").last
    code = "import js\nprint(6 * 7, hasattr(js, 'caches'))"
    will_say(talk, call("python", code=code), ([("content", "No?")], "stop"))
    field = talk.get_by_role("textbox", name="Your message", exact=True)
    field.fill("Run it.")
    field.press("Enter")
    expect(aside.locator("summary")).to_have_text("Python: asks to run")
    expect(aside.locator("pre")).to_have_text(code)
    talk.get_by_role("button", name="Do not run").click()
    assert answered(talk).endswith("No?")
    expect(aside.locator(".turn-result")).to_have_text("The user did not allow this code to run.")
    will_say(talk, call("python", code=code), ([("content", "There.")], "stop"))
    field.fill("Run it all the same.")
    field.press("Enter")
    talk.get_by_role("button", name="Run it").click()
    assert answered(talk).endswith("There.")
    expect(aside.locator(".turn-result")).to_have_text("42 False")  # and it has no storage
    # Endless code is stopped, and the conversation goes on.
    will_say(talk, call("python", code="while True: pass"))
    field.fill("For ever?")
    field.press("Enter")
    talk.get_by_role("button", name="Run it").click()
    talk.get_by_role("button", name="Stop", exact=True).click()
    expect(talk.locator("#talk-stop")).to_be_hidden()
    expect(aside.locator("summary")).to_have_text("Python: was not run")
    will_say(talk, ([("content", "On.")], "stop"))
    assert say(talk, "Go on.").endswith("On.")


def test_texts_are_searched_once_there_are_any(talk: Page) -> None:
    talk.get_by_role("switch", name="Search in your texts").check()
    text = b"The heron waits.\n\n" + b"Filler. " * 150 + b"\n\nThe duck swims at dawn.\n"
    file: FilePayload = {"name": "birds.md", "mimeType": "", "buffer": text}
    talk.set_input_files("#talk-texts-file", [file])
    expect(talk.locator("#talk-texts-list")).to_contain_text("birds.md")
    will_say(talk, call("search", query="When does a DUCK swim?"), ([("content", "Dawn.")], "stop"))
    say(talk, "When?")
    aside = talk.locator(".turn-aside").last
    aside.locator("summary").click()
    expect(aside.locator(".turn-result")).to_have_text(
        re.compile(r"^birds\.md, line \d:\nThe duck swims at dawn\.")
    )


def test_a_small_model_calls_where_it_must_and_its_arguments_fit(
    visitor: BrowserContext, real_model: Path
) -> None:
    page = visitor.new_page()
    page.add_init_script(
        "localStorage.setItem('thimble.talk.tools', '[\"calculator\", \"first\"]')"
    )
    page.goto("/#talk_max_tokens=60&talk_temperature=0&panel=talk")
    expect(page.locator("#talk-model")).to_contain_text("thinker · ")  # the last one
    page.set_input_files("#model-file", [real_model])
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.locator("#talk-model")).to_contain_text(re.compile("^SmolLM2.* · its own"))
    say(page, "What is 1234 * 5678?")
    aside = page.locator(".turn-aside").first
    expect(aside.locator("summary")).to_have_text("calculator: called")
    expect(aside.locator(".turn-result")).to_have_text("7006652", use_inner_text=False)
    # The network is cut, and all goes on: another conversation, and its answer.
    page.context.set_offline(True)
    page.get_by_role("button", name="New conversation").click()
    assert say(page, "What is 2 + 2?")
    page.context.set_offline(False)
