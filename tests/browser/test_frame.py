"""The embed page in an iframe, host pages with a strict policy, and places without storage."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.browser.conftest import PATIENCE_MS, resting
from tests.conftest import CHROMIUM_FLAGS
from tools import browsers

from .elsewhere import Elsewhere, serving

# Waits in a frame until its element has written or failed; gives what there is to see.
OUTCOME = """() => new Promise((resolve) => {
  const look = () => {
    const element = document.querySelector("thimble-lm");
    const { state, text } = element ?? {};
    if (!["finished", "failed"].includes(state)) return setTimeout(look, 50);
    element.updateComplete.then(() => resolve(
      [state, text, element.shadowRoot.querySelector("[role=alert]")?.textContent ?? ""]));
  };
  look();
})"""

# What a host page does with a frame: it keeps what it hears, and can say things.
HOST = """<script>
  const heard = [];
  const waiting = [];
  addEventListener("message", ({ data, origin, source }) => {
    if (source !== frames[0]) return;
    heard.push({ ...data, origin });
    for (const one of [...waiting]) one();
  });
  const next = (type, from = 0) => new Promise((resolve) => {
    const look = () => {
      const found = heard.slice(from).find((message) => message.type === type);
      if (found) resolve(found);
    };
    waiting.push(look);
    look();
  });
  const say = (message) => frames[0].postMessage(message, "*");
</script>"""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    with serving() as place:
        yield place


def iframe(server: str, query: str, attributes: str = "") -> str:
    address = html.escape(f"{server}/embed/story?{query}")
    return f'<iframe src="{address}" width="600" height="400" {attributes}></iframe>'


def tag(server: str, nonce: str = "") -> str:
    return (
        f'<meta charset="utf-8"><script {nonce} type="module" src="{server}/widget.js"></script>'
        '<thimble-lm prompt="Once" seed="3" max-tokens="10"></thimble-lm>'
    )


def outcome(frame: Frame | Page) -> Any:
    return frame.evaluate(OUTCOME)


def embedded(page: Page) -> Frame:
    page.wait_for_selector("iframe")
    frame = page.frames[-1]
    frame.wait_for_selector("thimble-lm")
    return frame


def test_a_frame_and_its_page_talk(page: Page, elsewhere: Elsewhere, server: str) -> None:
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    query = "prompt=A+cat&max-tokens=12&seed=1&theme=dark"
    page.goto(elsewhere.page(HOST + iframe(server, query)))
    finish = page.evaluate("() => next('finish')")
    assert finish["thimble"] == 1
    assert finish["origin"] == server
    assert finish["prompt"] == "A cat"
    assert finish["tokens"] <= 12
    heard = page.evaluate("() => heard")
    kinds = list(dict.fromkeys(message["type"] for message in heard))
    assert kinds[0] == "ready"
    assert set(kinds) == {"ready", "resize", "progress", "load", "token", "finish"}
    tokens = [message["text"] for message in heard if message["type"] == "token"]
    assert "".join(tokens) == finish["text"]
    frame = embedded(page)
    height = frame.evaluate("() => Math.ceil(document.body.scrollHeight)")
    page.wait_for_function(  # told after the last word, and by another way than the words
        "(height) => heard.findLast(({ type }) => type === 'resize').height === height", arg=height
    )
    assert frame.evaluate("() => document.documentElement.dataset.theme") == "dark"

    again = page.evaluate("""async () => {
      const from = heard.length;
      say({ thimble: 1, type: "prompt", text: "A dog", options: { max_tokens: 5, seed: 2 } });
      const finish = await next("finish", from);
      say({ thimble: 1, type: "clear" });
      say({ thimble: 1, type: "status" });
      return [finish, await next("status", from)];
    }""")
    assert (again[0]["prompt"], again[0]["tokens"], again[0]["seed"]) == ("A dog", 5, 2)
    assert again[1]["state"] == "ready"
    assert again[1]["ignored"] == {"origin": 0, "malformed": 0}

    with resting(page):
        stopped = page.evaluate("""async () => {
          const from = heard.length;
          say({ thimble: 1, type: "prompt", options: { max_tokens: 100000, temperature: 1 } });
          await next("token", from);
          say({ thimble: 1, type: "stop" });
          const { reason, prompt } = await next("finish", from);
          say({ thimble: 1, type: "prompt", options: { temperature: -1 } });
          return [reason, prompt, await next("error", from)];
        }""")
    assert stopped[:2] == ["stopped", "A cat"]
    assert stopped[2]["name"] == "OptionError"
    assert "-1" in stopped[2]["message"]
    assert said == []


MALFORMED: list[object] = [
    "prompt", None, 7, [], {}, {"type": "prompt"}, {"thimble": 2, "type": "prompt"},
    {"thimble": 1}, {"thimble": 1, "type": "dance"}, {"thimble": 1, "type": "prompt", "text": 5},
    {"thimble": 1, "type": "prompt", "options": "hot"},
    {"thimble": 1, "type": "prompt", "options": {"temperature": "hot"}},
    {"thimble": 1, "type": "prompt", "options": {"model": 1}},
]  # fmt: skip


def test_what_strangers_say_and_what_is_malformed_is_ignored_and_counted(
    page: Page, elsewhere: Elsewhere, server: str
) -> None:
    # The stranger is another frame on the same page, of another origin than both.
    order = json.dumps({"thimble": 1, "type": "prompt", "text": "Do my will"})
    stranger = f"""<script>
      for (let n = 0; n < 3; n++) parent.frames[0].postMessage({order}, "*");
      parent.postMessage("spoken", "*");
    </script>"""
    other = f'<iframe id="other" sandbox="allow-scripts" srcdoc="{html.escape(stranger)}"></iframe>'
    place = elsewhere.page(HOST + iframe(server, "prompt=A+cat&reveal=manual"))
    page.goto(place)
    page.evaluate("() => next('ready')")
    status = page.evaluate(
        """async ([other, malformed]) => {
      const spoken = new Promise((done) => addEventListener("message", ({ data }) => {
        if (data === "spoken") done();
      }));
      document.body.insertAdjacentHTML("beforeend", other);
      await spoken;
      for (const message of malformed) say(message);
      say({ thimble: 1, type: "status" });
      return next("status");
    }""",
        [other, MALFORMED],
    )
    assert status["ignored"] == {"origin": 3, "malformed": len(MALFORMED)}
    assert status["state"] == "idle"


def test_a_frame_listens_to_the_origin_that_its_address_names_only(
    page: Page, elsewhere: Elsewhere, server: str
) -> None:
    query = "prompt=A+cat&reveal=manual&origin=https%3A%2F%2Fsomebody.example"
    page.goto(elsewhere.page(HOST + iframe(server, query)))
    frame = embedded(page)
    frame.evaluate("() => customElements.whenDefined('thimble-lm').then(() => 1)")
    page.evaluate("""async () => {
      say({ thimble: 1, type: "prompt" });
      await new Promise((done) => setTimeout(done, 300));
    }""")
    assert page.evaluate("() => heard") == []
    assert frame.evaluate("() => document.querySelector('thimble-lm').state") == "idle"
    page.goto(elsewhere.page(iframe(server, "origin=somebody")))
    expect(embedded(page).get_by_role("alert")).to_contain_text("origin=somebody is not an origin")


def test_the_fragment_says_what_no_server_should_see(
    page: Page, elsewhere: Elsewhere, server: str
) -> None:
    address = f"{server}/embed/story/#prompt=A+secret&max-tokens=5"
    page.goto(elsewhere.page(f'{HOST}<iframe src="{address}"></iframe>'))
    finish = page.evaluate("() => next('finish')")
    assert finish["prompt"] == "A secret"


def policies(server: str) -> tuple[str, dict[str, str]]:
    """What the docs name, and the same with something missing."""
    whole = (
        f"default-src 'none'; img-src data:; script-src {server} 'wasm-unsafe-eval'; "
        f"worker-src blob: {server}; connect-src {server}"
    )
    return whole, {
        "connect": whole.replace(f"; connect-src {server}", ""),
        "compile": whole.replace(" 'wasm-unsafe-eval'", ""),
        "blob": whole.replace("blob: ", ""),
        "worker": whole.replace(f"blob: {server}", "blob:"),
        "nonce": whole.replace(f"script-src {server}", "script-src 'nonce-abc'"),
    }


@pytest.mark.parametrize("nonce", ["", " 'nonce-abc' 'strict-dynamic'"])
def test_a_strict_policy_that_allows_what_the_docs_name_is_enough(
    page: Page, elsewhere: Elsewhere, server: str, nonce: str
) -> None:
    policy = policies(server)[0].replace(" 'wasm-unsafe-eval'", f"{nonce} 'wasm-unsafe-eval'")
    policy += "; require-trusted-types-for 'script'; trusted-types lit-html thimble"
    body = tag(server, 'nonce="abc"')
    page.goto(elsewhere.page(body, Content_Security_Policy=policy))
    state, text, alert = outcome(page)
    assert (state, alert) == ("finished", "")
    assert text


@pytest.mark.parametrize("missing", ["connect", "compile", "blob", "worker", "nonce"])
def test_a_policy_that_forbids_it_is_told_which_directives_are_needed(
    page: Page, elsewhere: Elsewhere, server: str, missing: str
) -> None:
    policy = policies(server)[1][missing]
    page.goto(elsewhere.page(tag(server, 'nonce="abc"'), Content_Security_Policy=policy))
    state, _, alert = outcome(page)
    assert state == "failed"
    assert "Content-Security-Policy" in alert
    needed = (
        f"script-src {server} 'wasm-unsafe-eval'; worker-src blob: {server}; connect-src {server}"
    )
    assert needed in alert


@pytest.mark.parametrize("what", ["element", "embed page"])
def test_a_sandbox_without_an_origin_is_no_obstacle(
    page: Page, elsewhere: Elsewhere, server: str, what: str
) -> None:
    if what == "element":
        body = f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(tag(server))}"></iframe>'
    else:
        body = iframe(server, "prompt=Once&max-tokens=5", 'sandbox="allow-scripts"')
    page.goto(elsewhere.page(body))
    state, text, _ = outcome(embedded(page))
    assert state == "finished"
    assert text


def test_an_isolated_page_may_have_both(page: Page, elsewhere: Elsewhere, server: str) -> None:
    body = tag(server) + iframe(server, "prompt=Once&max-tokens=5")
    isolated = {"Cross_Origin_Embedder_Policy": "require-corp"}
    isolated["Cross_Origin_Opener_Policy"] = "same-origin"
    page.goto(elsewhere.page(body, **isolated))
    assert page.evaluate("() => crossOriginIsolated")
    assert [outcome(frame)[0] for frame in (page.main_frame, embedded(page))] == ["finished"] * 2


def test_a_page_from_the_disk_may_have_both(page: Page, server: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(tag(server) + iframe(server, "prompt=Once&max-tokens=5"))
    page.goto(path.as_uri())
    assert [outcome(frame)[0] for frame in (page.main_frame, embedded(page))] == ["finished"] * 2


def test_without_any_storage_it_writes_all_the_same(
    chromium: Browser, elsewhere: Elsewhere, server: str, tmp_path: Path
) -> None:
    (tmp_path / "Default").mkdir()
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(blocked))
    context = chromium.browser_type.launch_persistent_context(
        tmp_path,
        executable_path=browsers.find("chromium"),
        args=[*CHROMIUM_FLAGS, "--no-sandbox"],
    )
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(elsewhere.page(tag(server) + iframe(server, "prompt=Once&max-tokens=5")))
        denied = page.evaluate("() => { try { return !localStorage } catch { return true } }")
        assert denied
        frames = (page.main_frame, embedded(page))
        assert [outcome(frame)[0] for frame in frames] == ["finished"] * 2
    finally:
        context.close()
