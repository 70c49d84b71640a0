"""The element `<thimble-lm>` on pages of another origin."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import CHROMIUM_FLAGS
from tools import browsers

from .conftest import PATIENCE_MS, resting
from .elsewhere import Elsewhere
from .widget import tag

BEFORE = 12_000
"""Bytes with brotli that may come before an element is seen or asked."""
MORE = 5 * 2**20
"""Bytes of memory that one more element on a page may take."""


def test_the_tag_alone_writes_a_text(page: Page, other_site: Elsewhere, server: str) -> None:
    said: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.context.on("request", lambda request: requests.append(request.url))
    attributes = 'model="story" prompt="Once upon a time" seed="3" max-tokens="40"'
    page.goto(other_site.page(tag(server, attributes)))
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
    assert origins == {server.split("/")[2], other_site.origin.split("/")[2]}
    assert page.context.cookies() == []
    assert said == []


@pytest.mark.parametrize("attributes", ['prompt="A"', 'prompt="A" reveal="manual"'])
def test_little_comes_before_an_element_is_seen_or_asked(
    page: Page, other_site: Elsewhere, server: str, attributes: str
) -> None:
    came: list[tuple[str, int]] = []
    page.context.on(
        "requestfinished",
        lambda request: came.append((request.url, request.sizes()["responseBodySize"])),
    )
    manual = "manual" in attributes
    above = "" if manual else '<div style="height: 3000px"></div>'
    page.goto(other_site.page(above + tag(server, attributes)), wait_until="networkidle")
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
    page: Page, other_site: Elsewhere, server: str
) -> None:
    poster = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
    attributes = f'prompt="A dog" loading="eager" reveal="manual" poster="{poster}"'
    page.goto(other_site.page('<div style="height: 3000px"></div>' + tag(server, attributes)))
    page.evaluate("() => new Promise((done) => all()[0].addEventListener('load', () => done()))")
    element = page.locator("thimble-lm")
    expect(element.locator("img")).to_have_attribute("src", poster)
    assert element.evaluate("(element) => [element.state, element.text]") == ["ready", ""]
    element.get_by_role("button", name="Write").click()
    page.evaluate("() => ended(all()[0])")
    expect(element.locator("img")).to_have_count(0)
    expect(element).to_contain_text("A dog")


def test_ten_elements_share_one_engine(page: Page, other_site: Elsewhere, server: str) -> None:
    page.add_init_script("""
      globalThis.workers = 0;
      globalThis.Worker = class extends Worker {
        constructor(...given) { super(...given); globalThis.workers += 1; }
      };
    """)
    downloads: list[str] = []
    page.context.on("request", lambda request: downloads.append(request.url))
    page.goto(other_site.page(tag(server, 'prompt="A cat" seed="5" max-tokens="30"', count=10)))
    results = page.evaluate("() => Promise.all(all().map((element) => {"
                            "element.loading = 'eager'; return ended(element); }))")  # fmt: skip
    texts = {detail["text"] for name, detail in results if name == "finish"}
    assert len(results) == 10
    assert len(texts) == 1
    assert texts != {""}
    assert page.evaluate("() => workers") == 1
    assert len([url for url in downloads if url.endswith(".gguf")]) == 1


def test_one_more_element_takes_little_memory(
    chromium: Browser, other_site: Elsewhere, server: str
) -> None:
    # Only an isolated page may ask what it takes, and without the flag it waits for the collector.
    # The answer leaves out what WebAssembly has in a worker, whose growth is counted there.
    flags = [*CHROMIUM_FLAGS, "--no-sandbox", "--enable-blink-features=ForceEagerMeasureMemory"]
    browser = chromium.browser_type.launch(executable_path=browsers.find("chromium"), args=flags)
    try:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(
            other_site.page(
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


@pytest.mark.parametrize("prompt", ["Once", None], ids=["writing", "getting ready"])
def test_a_model_that_is_changed_while_one_loads_takes_its_place(
    page: Page, other_site: Elsewhere, server: str, prompt: str | None
) -> None:
    attributes = "" if prompt is None else f'prompt="{prompt}" max-tokens="4"'
    page.goto(other_site.page(tag(server, f'loading="eager" model="story" {attributes}')))
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
    page: Page, other_site: Elsewhere, server: str
) -> None:
    page.goto(other_site.page(tag(server, 'model="names" prompt="a" max-tokens="3"', count=2)))
    page.evaluate("() => Promise.all(all().map(ended)).then(() => 1)")
    assert any("worker" in worker.url or "blob:" in worker.url for worker in page.workers)
    page.evaluate("() => { globalThis.first = all()[0]; for (const one of all()) one.remove(); }")
    for _ in range(400):
        if not page.workers:
            break
        page.wait_for_timeout(100)
    assert page.workers == []
    assert page.evaluate("() => { document.body.append(first); return first.prompt('b'); }") != ""


def test_moving_an_element_does_not_stop_it_and_removing_frees_its_session(
    page: Page, other_site: Elsewhere, server: str
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
    page.goto(other_site.page("<section></section>" + tag(server, attributes)))
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
    page: Page, other_site: Elsewhere, server: str
) -> None:
    style = """<style>
      html { font-size: 6px; color-scheme: dark; }
      body { --thimble-accent: rgb(1, 2, 3); letter-spacing: 1em; }
      button { background: red !important; min-height: 300px; }
      thimble-lm { --thimble-sheet: rgb(4, 5, 6); }
      thimble-lm::part(button) { border-radius: 9px; }
    </style>"""
    page.goto(other_site.page(style + tag(server, 'prompt="A" reveal="manual"')))
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
