"""One element `<thimble-lm>`: attributes, methods, keys, what it says where something is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import resting
from .elsewhere import Elsewhere
from .widget import TOOLS


def test_attributes_are_properties(element: Any) -> None:
    page = element(prompt="A dog", max_tokens=5, temperature=0.5, top_p=0.9, seed=7, readonly="")
    names = """["model", "defaultPrompt", "loading", "reveal", "poster", "readOnly", "maxTokens",
      "temperature", "topP", "seed"]"""
    read = f"() => {names}.map((name) => all()[0][name])"
    assert page.evaluate(read) == [
        None, "A dog", "lazy", "manual", None, True, 5, 0.5, 0.9, 7,
    ]  # fmt: skip
    attributes = page.evaluate("""async () => {
      const [element] = all();
      Object.assign(element, { model: "story", defaultPrompt: "A cat", loading: "eager",
        reveal: "auto", poster: "p.png", readOnly: false, maxTokens: 6, temperature: 1,
        topP: null, seed: 8 });
      await element.updateComplete;
      const said = Object.fromEntries(
        element.getAttributeNames().map((name) => [name, element.getAttribute(name)]));
      element.setAttribute("loading", "sometimes");
      return [said, element.loading];
    }""")
    assert attributes == [
        {"model": "story", "prompt": "A cat", "loading": "eager", "reveal": "auto",
         "poster": "p.png", "max-tokens": "6", "temperature": "1", "seed": "8"},
        "lazy",
    ]  # fmt: skip


def test_frameworks_may_assign_what_their_templates_say(element: Any) -> None:
    page = element(prompt="A fox", seed=3, max_tokens=5)
    alone = page.evaluate("() => all()[0].prompt()")
    page = element()
    attribute, texts, left = page.evaluate("""async () => {
      const [element] = all();
      // As React, Vue and Preact do with the attributes of a tag whose property is there.
      Object.assign(element, { prompt: "A fox", seed: "3", maxTokens: "5", model: undefined });
      const texts = [await element.prompt(), await element.prompt("A fox")];
      const attribute = element.getAttribute("prompt");
      Object.assign(element, { prompt: undefined, seed: undefined, reveal: "sometimes" });
      await element.updateComplete;
      return [attribute, texts, [element.getAttribute("prompt"), element.seed, element.reveal]];
    }""")
    assert attribute == "A fox"
    assert texts == [alone, alone]
    assert left == [None, None, "auto"]


def test_a_prompt_may_be_assigned_before_the_element_is_defined(
    page: Page, other_site: Elsewhere, server: str
) -> None:
    early = "<script>all()[0].prompt = 'Early'</script>"
    script = f'<script type="module" src="{server}/widget.js"></script>'
    page.goto(other_site.page(f'<thimble-lm reveal="manual"></thimble-lm>{TOOLS}{early}{script}'))
    page.wait_for_function("() => all()[0].shadowRoot")
    assert page.evaluate("() => [all()[0].defaultPrompt, typeof all()[0].prompt]") == [
        "Early",
        "function",
    ]
    expect(page.get_by_label("How does it begin?")).to_have_value("Early")


def test_keys_that_are_typed_in_it_do_not_reach_the_page(element: Any) -> None:
    page = element(readonly="")
    page = element()
    page.evaluate("""() => {
      globalThis.deck = [];
      for (const type of ["keydown", "keypress", "keyup"]) {
        document.addEventListener(type, ({ key }) => deck.push(key));
      }
    }""")
    field = page.get_by_label("How does it begin?")
    field.press_sequentially("f b é")
    for key in ("Space", "ArrowLeft", "PageDown", "Backspace", "Enter"):
        field.press(key)
    assert page.evaluate("() => deck") == []
    field.press("Control+k")  # the page's own
    field.press("F8")
    assert {"k", "F8"} <= set(page.evaluate("() => deck"))
    page.evaluate("() => deck.length = 0")
    button = page.get_by_role("button", name="Write")
    button.focus()
    page.evaluate(
        "() => all()[0].shadowRoot.querySelector('button').addEventListener("
        "'click', (event) => event.stopImmediatePropagation(), { capture: true })"
    )
    button.press("Space")
    assert page.evaluate("() => deck") == []
    button.press("ArrowRight")
    assert "ArrowRight" in page.evaluate("() => deck")


def test_methods_write_stop_and_clear(element: Any) -> None:
    page = element(seed=2, max_tokens=20)
    first, second, state = page.evaluate("""async () => {
      const [element] = all();
      const first = await element.prompt("A bird");
      element.setAttribute("prompt", "A bird");
      return [first, await element.prompt(), element.state];
    }""")
    assert first == second != ""
    assert state == "finished"
    with resting(page):
        text, reason, shown = page.evaluate("""async () => {
          const [element] = all();
          element.maxTokens = 100000;
          element.temperature = 1;
          element.heard.length = 0;
          const writing = element.prompt("Once");
          await new Promise((done) => element.addEventListener("token", done, { once: true }));
          await element.stop();
          const text = await writing;
          return [text, element.heard.at(-1), [element.state, element.text]];
        }""")
    assert text
    assert reason[0] == "finish"
    assert reason[1]["reason"] == "stopped"
    assert reason[1]["text"] == text
    assert shown == ["stopped", text]
    after = page.evaluate("""async () => {
      const [element] = all();
      const writing = element.prompt("Once");
      await element.clear();
      await writing;
      await element.updateComplete;
      return [element.state, element.text,
        element.shadowRoot.querySelector("textarea").value];
    }""")
    assert after == ["ready", "", "A bird"]


def test_the_last_of_several_prompts_is_written(element: Any) -> None:
    page = element(seed=2, max_tokens=12)
    results, alone = page.evaluate("""async () => {
      const [element] = all();
      const results = await Promise.all(["A", "B", "The dog"].map((text) => element.prompt(text)));
      return [results, await element.prompt("The dog")];
    }""")
    assert results[2] == alone
    assert results[:2] == ["", ""]


def test_a_visitor_writes_with_the_keyboard(element: Any) -> None:
    page = element(prompt="A dog", max_tokens=100_000, temperature=1)
    page.evaluate("() => all()[0].prompt('A')")  # now the engine is there
    field = page.get_by_label("How does it begin?")
    field.fill("A small boat")
    with resting(page):
        field.press("Control+Enter")
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        page.wait_for_function("() => all()[0].state === 'writing' && all()[0].text")
        field.press("Escape")
        expect(page.get_by_role("button", name="Write")).to_be_visible()
    assert page.evaluate("() => all()[0].state") == "stopped"
    expect(page.locator("thimble-lm").get_by_role("region")).to_contain_text("A small boat")
    link = page.get_by_role("link", name="Thimble").get_attribute("href")
    assert "#prompt=A+small+boat" in (link or "")


@pytest.mark.parametrize(
    ("attributes", "name", "words"),
    [
        ({"temperature": "hot"}, "OptionError", 'temperature="hot"'),
        ({"max_tokens": ""}, "OptionError", 'max-tokens=""'),
        ({"max_tokens": "-3"}, "OptionError", "-3"),
        ({"top_p": "7"}, "OptionError", "7"),
        ({"model": "nobody"}, "OptionError", 'there is no model "nobody"; this site has story'),
        ({"prompt": "a word and another " * 1500}, "ContextError", "tokens"),
    ],
)
def test_what_is_wrong_is_told_and_shown(
    element: Any, attributes: dict[str, str], name: str, words: str
) -> None:
    page = element(**attributes)
    page.get_by_role("button", name="Write").click()
    told = page.evaluate("() => ended(all()[0])")
    assert told[0] == "error"
    assert told[1]["name"] == name
    assert words in told[1]["message"]
    expect(page.get_by_role("alert")).to_contain_text(words, ignore_case=True)
    assert page.evaluate("() => all()[0].state") == "failed"


def test_a_prompt_that_fails_rejects_and_the_next_one_does_not(element: Any) -> None:
    page = element(temperature="hot", max_tokens=3)
    found = page.evaluate("""async () => {
      const [element] = all();
      const failed = await element.prompt("A").catch(({ name, message }) => name + message);
      element.temperature = 0;
      return [failed, await element.prompt("A"), element.state];
    }""")
    assert found[0].startswith("OptionError")
    assert found[1]
    assert found[2] == "finished"


def test_an_element_of_a_fixed_height_shows_the_end_of_its_text(element: Any) -> None:
    page = element(style="height: 16rem; width: 20rem", seed=1, max_tokens=100)
    sizes = page.evaluate("""async () => {
      const [element] = all();
      await element.prompt("Once upon a time");
      await element.updateComplete;
      const text = element.shadowRoot.querySelector(".text");
      const foot = element.shadowRoot.querySelector(".foot").getBoundingClientRect();
      return [text.scrollHeight - text.clientHeight, text.scrollTop,
        element.getBoundingClientRect().bottom - foot.bottom];
    }""")
    assert sizes[0] > 100
    assert sizes[1] == pytest.approx(sizes[0], abs=2)
    assert sizes[2] >= 0
