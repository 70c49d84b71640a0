"""The element `<thimble-lm>` on pages of another origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import CHROMIUM_FLAGS
from tools import browsers

from .conftest import PATIENCE_MS, resting
from .elsewhere import Elsewhere, serving

BEFORE = 12_000
"""Bytes with brotli that may come before an element is seen or asked."""
MORE = 5 * 2**20
"""Bytes of memory that one more element on a page may take."""

# Functions for the pages' scripts: hear(element) gathers the events, ended(element) waits.
TOOLS = """<script>
  const NAMES = ["load", "progress", "token", "finish", "error"];
  const hear = (element) => {
    element.heard = [];
    for (const name of NAMES) {
      element.addEventListener(name, ({ detail }) => element.heard.push([name, detail]));
    }
    return element;
  };
  const ended = (element) => new Promise((resolve) => {
    const look = () => element.heard?.findLast(([name]) => name === "finish" || name === "error");
    if (look()) return resolve(look());
    for (const name of ["finish", "error"]) {
      element.addEventListener(name, ({ detail }) => resolve([name, detail]), { once: true });
    }
  });
  const all = () => [...document.querySelectorAll("thimble-lm")];
  all().forEach(hear);
</script>"""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    with serving() as place:
        yield place


def tag(server: str, attributes: str = "", *, count: int = 1) -> str:
    """What a page's author writes, and our ears."""
    element = f"<thimble-lm {attributes}></thimble-lm>"
    return (
        f'<meta charset="utf-8">{element * count}{TOOLS}'
        f'<script type="module" src="{server}/widget.js"></script>'
    )


@pytest.fixture(scope="module")
def quiet(chromium: Browser, elsewhere: Elsewhere, server: str) -> Iterator[Page]:
    """A page for the tests that put their own elements into it; they share its engine."""
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(elsewhere.page(tag(server, count=0)))
    page.evaluate("() => customElements.whenDefined('thimble-lm').then(() => 1)")
    yield page
    context.close()


def test_the_tag_alone_writes_a_text(page: Page, elsewhere: Elsewhere, server: str) -> None:
    said: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.context.on("request", lambda request: requests.append(request.url))
    attributes = 'model="story" prompt="Once upon a time" seed="3" max-tokens="40"'
    page.goto(elsewhere.page(tag(server, attributes)))
    name, detail = page.evaluate("() => ended(all()[0])")
    assert name == "finish"
    heard = page.evaluate("() => all()[0].heard")
    names = [name for name, _ in heard]
    assert list(dict.fromkeys(names)) == ["progress", "load", "token", "finish"]
    tokens = [detail for name, detail in heard if name == "token"]
    assert "".join(token["text"] for token in tokens) == detail["text"]
    assert len(tokens) == detail["tokens"] <= 40
    assert all(token["logprob"] <= 0 and token["entropy"] >= 0 for token in tokens)
    assert (detail["prompt"], detail["seed"]) == ("Once upon a time", 3)
    loaded = [detail["loaded"] for name, detail in heard if name == "progress"]
    assert loaded == sorted(loaded)
    assert loaded[-1] == 1
    assert next(detail for name, detail in heard if name == "load")["model"]["name"] == "story"
    expect(page.locator("thimble-lm")).to_contain_text("Once upon a time" + detail["text"])
    assert page.locator("thimble-lm").evaluate("(element) => element.text") == detail["text"]
    origins = {url.split("/", 3)[2] for url in requests if url.startswith("http")}
    assert origins == {server.split("/")[2], elsewhere.origin.split("/")[2]}
    assert page.context.cookies() == []
    assert said == []


@pytest.mark.parametrize("attributes", ['prompt="A"', 'prompt="A" reveal="manual"'])
def test_little_comes_before_an_element_is_seen_or_asked(
    page: Page, elsewhere: Elsewhere, server: str, attributes: str
) -> None:
    came: list[tuple[str, int]] = []
    page.context.on(
        "requestfinished",
        lambda request: came.append((request.url, request.sizes()["responseBodySize"])),
    )
    manual = "manual" in attributes
    above = "" if manual else '<div style="height: 3000px"></div>'
    page.goto(elsewhere.page(above + tag(server, attributes)), wait_until="networkidle")
    page.evaluate("() => customElements.whenDefined('thimble-lm').then(() => 1)")
    page.wait_for_load_state("networkidle")
    ours = [(url, size) for url, size in came if url.startswith(server)]
    assert [url for url, _ in ours] == [f"{server}/widget.js"]
    assert 0 < sum(size for _, size in ours) <= BEFORE
    assert page.evaluate("() => all()[0].state") == "idle"
    if manual:
        page.get_by_role("button", name="Write").click()
    else:
        page.locator("thimble-lm").scroll_into_view_if_needed()
    page.evaluate("() => ended(all()[0])")
    assert [url for url, _ in came if url.endswith(".gguf")]


def test_an_eager_element_gets_ready_and_waits(
    page: Page, elsewhere: Elsewhere, server: str
) -> None:
    poster = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
    attributes = f'prompt="A dog" loading="eager" reveal="manual" poster="{poster}"'
    page.goto(elsewhere.page('<div style="height: 3000px"></div>' + tag(server, attributes)))
    page.evaluate("() => new Promise((done) => all()[0].addEventListener('load', () => done()))")
    element = page.locator("thimble-lm")
    expect(element.locator("img")).to_have_attribute("src", poster)
    assert element.evaluate("(element) => [element.state, element.text]") == ["ready", ""]
    element.get_by_role("button", name="Write").click()
    page.evaluate("() => ended(all()[0])")
    expect(element.locator("img")).to_have_count(0)
    expect(element).to_contain_text("A dog")


def test_ten_elements_share_one_engine(page: Page, elsewhere: Elsewhere, server: str) -> None:
    page.add_init_script("""
      globalThis.workers = 0;
      globalThis.Worker = class extends Worker {
        constructor(...given) { super(...given); globalThis.workers += 1; }
      };
    """)
    downloads: list[str] = []
    page.context.on("request", lambda request: downloads.append(request.url))
    page.goto(elsewhere.page(tag(server, 'prompt="A cat" seed="5" max-tokens="30"', count=10)))
    results = page.evaluate("() => Promise.all(all().map((element) => {"
                            "element.loading = 'eager'; return ended(element); }))")  # fmt: skip
    texts = {detail["text"] for name, detail in results if name == "finish"}
    assert len(results) == 10
    assert len(texts) == 1
    assert texts != {""}
    assert page.evaluate("() => workers") == 1
    assert len([url for url in downloads if url.endswith(".gguf")]) == 1


def test_one_more_element_takes_little_memory(
    chromium: Browser, elsewhere: Elsewhere, server: str
) -> None:
    # Only an isolated page may ask what it takes, and without the flag it waits for the collector.
    # The answer leaves out what WebAssembly has in a worker, whose growth is counted there.
    flags = [*CHROMIUM_FLAGS, "--no-sandbox", "--enable-blink-features=ForceEagerMeasureMemory"]
    browser = chromium.browser_type.launch(executable_path=browsers.find("chromium"), args=flags)
    try:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(
            elsewhere.page(
                tag(server, 'prompt="Once upon a time" loading="eager"'),
                Cross_Origin_Opener_Policy="same-origin",
                Cross_Origin_Embedder_Policy="require-corp",
            )
        )
        page.evaluate("() => ended(all()[0])")
        worker = page.workers[0]  # and maybe the one that makes the snapshot
        worker.evaluate("""() => {
          const { grow } = WebAssembly.Memory.prototype;
          globalThis.grown = 0;
          WebAssembly.Memory.prototype.grow = function (pages) {
            grown += pages * 65536;
            return grow.call(this, pages);
          };
        }""")
        one, ten = page.evaluate("""async () => {
          const measure = async () => (await performance.measureUserAgentSpecificMemory()).bytes;
          const one = await measure();
          for (let count = 1; count < 10; count++) {
            const element = hear(document.createElement("thimble-lm"));
            document.body.append(element);
            await element.prompt("Once upon a time");
          }
          return [one, await measure()];
        }""")
        grown = worker.evaluate("() => grown")
    finally:
        browser.close()
    assert grown > 0
    assert (grown + ten - one) / 9 <= MORE


MADE = """(attributes) => {
  for (const element of all()) element.remove();
  const element = hear(document.createElement("thimble-lm"));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  document.body.append(element);
}"""


@pytest.fixture
def element(quiet: Page) -> Any:
    """Puts one element with these attributes into the quiet page."""

    def made(**attributes: object) -> Page:
        named = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
        quiet.evaluate(MADE, {"reveal": "manual", **named})
        return quiet

    return made


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
    page: Page, elsewhere: Elsewhere, server: str
) -> None:
    early = "<script>all()[0].prompt = 'Early'</script>"
    script = f'<script type="module" src="{server}/widget.js"></script>'
    page.goto(elsewhere.page(f'<thimble-lm reveal="manual"></thimble-lm>{TOOLS}{early}{script}'))
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


@pytest.mark.parametrize("prompt", ["Once", None], ids=["writing", "getting ready"])
def test_a_model_that_is_changed_while_one_loads_takes_its_place(
    page: Page, elsewhere: Elsewhere, server: str, prompt: str | None
) -> None:
    attributes = "" if prompt is None else f'prompt="{prompt}" max-tokens="4"'
    page.goto(elsewhere.page(tag(server, f'loading="eager" model="story" {attributes}')))
    page.wait_for_function("() => all()[0].state === 'loading'")
    heard, state = page.evaluate(
        """async (wanted) => {
      const [element] = all();
      const there = new Promise((done) => element.addEventListener(wanted, done));
      element.setAttribute("model", "names");
      await there;
      await new Promise((done) => setTimeout(done, 50));
      const heard = element.heard.filter(([name]) => name !== "progress" && name !== "token");
      return [heard.map(([name, { model }]) => [name, model?.name]), element.state];
    }""",
        "load" if prompt is None else "finish",
    )
    loaded = [["load", "names"]]
    assert heard == (loaded if prompt is None else [*loaded, ["finish", None]])
    assert state == ("ready" if prompt is None else "finished")


def test_the_engine_goes_with_the_last_element_and_comes_again(
    page: Page, elsewhere: Elsewhere, server: str
) -> None:
    page.goto(elsewhere.page(tag(server, 'model="names" prompt="a" max-tokens="3"', count=2)))
    page.evaluate("() => Promise.all(all().map(ended)).then(() => 1)")
    assert any("worker" in worker.url or "blob:" in worker.url for worker in page.workers)
    page.evaluate("() => { globalThis.first = all()[0]; for (const one of all()) one.remove(); }")
    for _ in range(400):
        if not page.workers:
            break
        page.wait_for_timeout(100)
    assert page.workers == []
    assert page.evaluate("() => { document.body.append(first); return first.prompt('b'); }") != ""


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


def test_moving_an_element_does_not_stop_it_and_removing_frees_its_session(
    page: Page, elsewhere: Elsewhere, server: str
) -> None:
    page.add_init_script("""
      globalThis.asked = [];
      const { postMessage } = Worker.prototype;
      Worker.prototype.postMessage = function (message, ...rest) {
        if (message?.path) asked.push(message.path.join("."));
        return postMessage.call(this, message, ...rest);
      };
    """)
    attributes = 'prompt="Once" seed="4" max-tokens="80"'
    page.goto(elsewhere.page("<section></section>" + tag(server, attributes)))
    moved, alone, count = page.evaluate("""async () => {
      const [element] = all();
      const count = (name) => asked.filter((path) => path === name).length;
      await new Promise((done) => element.addEventListener("token", done, { once: true }));
      document.querySelector("section").append(element);
      const [, { text: moved, reason }] = await ended(element);
      const before = [count("open"), count("destroy"), reason];
      element.remove();
      await new Promise((done) => setTimeout(done, 50));
      const after = [count("open"), count("destroy")];
      document.body.append(element);
      return [moved, await element.prompt(), [before, after, count("open")]];
    }""")
    assert moved == alone != ""
    assert count[0][:2] == [1, 0]
    assert count[0][2] in ("stop", "length")
    assert count[1:] == [[1, 1], 2]


def test_an_element_that_goes_while_it_writes_is_stopped(element: Any) -> None:
    page = element(prompt="Once", max_tokens=100_000, temperature=1)
    page.evaluate("""async () => {
      const [element] = all();
      await element.prompt(); // now the engine is there
      element.heard.length = 0;
    }""")
    with resting(page):
        detail = page.evaluate("""async () => {
          const [element] = all();
          element.prompt();
          await new Promise((done) => element.addEventListener("token", done, { once: true }));
          element.remove();
          return (await ended(element))[1];
        }""")
    assert detail["reason"] == "stopped"
    assert detail["text"]


def test_a_page_themes_it_and_nothing_else_of_the_page_reaches_in(
    page: Page, elsewhere: Elsewhere, server: str
) -> None:
    style = """<style>
      html { font-size: 6px; color-scheme: dark; }
      body { --thimble-accent: rgb(1, 2, 3); letter-spacing: 1em; }
      button { background: red !important; min-height: 300px; }
      thimble-lm { --thimble-sheet: rgb(4, 5, 6); }
      thimble-lm::part(button) { border-radius: 9px; }
    </style>"""
    page.goto(elsewhere.page(style + tag(server, 'prompt="A" reveal="manual"')))
    expect(page.get_by_role("button", name="Write")).to_be_visible()
    found = page.evaluate("""() => {
      const root = all()[0].shadowRoot;
      const look = (name) => getComputedStyle(root.querySelector(name));
      const button = look("button");
      return [button.backgroundColor, button.borderRadius, button.minHeight, button.fontSize,
        look(".sheet").backgroundColor, look(".status").letterSpacing, look(".status").color];
    }""")
    assert found[:6] == ["rgb(1, 2, 3)", "9px", "40px", "15px", "rgb(4, 5, 6)", "normal"]
    lightness = float(found[6].removeprefix("oklch(").split()[0])
    assert lightness > 0.6  # light ink: the page is dark


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
