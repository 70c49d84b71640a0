"""What is kept on the visitor's machine: shown, dropped, brought in from outside, or refused."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, expect

from tests.browser.conftest import short_of_room, too_wide, violations
from tests.browser.test_offline import ALL_KEPT, Tab, write
from tests.conftest import BROWSER_TIMEOUT_MS, CHROMIUM_FLAGS
from tests.tiny_models import SPECS, make
from tools import browsers

TINY = make(SPECS["q8_0"])
DIGEST = hashlib.sha256(TINY).hexdigest()

MODELS = """async () => {
  const kept = await (await caches.open("thimble-models")).keys();
  return kept.map(({ url }) => url).filter((url) => url.includes("thimble.invalid"));
}"""


class OtherHost:
    """A host that gives a file to any site, and breaks off its first answer if it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.breaks = False
        self.allows = True
        self.hangs = False
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(b"")

            def do_GET(self) -> None:
                self.answer(TINY)

            def answer(self, body: bytes) -> None:
                ranged = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(ranged[1]) if ranged else 0
                host.asked.append(f"{self.command} from {start}")
                self.send_response(206 if ranged else 200)
                if host.allows:
                    self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Length", str(len(TINY) - start))
                self.end_headers()
                whole = not host.breaks or ranged
                self.wfile.write(body[start:] if whole else body[: len(body) // 2])
                if not whole:
                    self.wfile.flush()
                    time.sleep(0.5)  # so that what was sent has come before the end does
                    while host.hangs:
                        time.sleep(0.05)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: pytest's output is for results."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/models/tiny.gguf"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def other() -> Iterator[OtherHost]:
    made = OtherHost()
    yield made
    made.close()


@pytest.fixture(scope="module")
def kept(chromium: Browser, server: str) -> Iterator[Page]:
    """A page with its engine and all its files kept, on the panel that shows them."""
    context = chromium.new_context(base_url=server, reduced_motion="reduce")
    context.set_default_timeout(BROWSER_TIMEOUT_MS)
    page = Tab(context).open()
    page.evaluate(ALL_KEPT)
    page.evaluate("location.hash = 'panel=machine'")
    expect(row(page, "Page, panels")).to_contain_text("works without a network")
    yield page
    context.close()


def row(page: Page, title: str) -> Locator:
    whole = re.compile(rf"^{title}(,.*)?$")
    return page.locator("#kinds li").filter(has=page.locator("strong", has_text=whole))


def link(address: str, sha256: str) -> str:
    return f"/#{urlencode({'model': address, 'sha256': sha256})}"


def choose(page: Page, name: str, data: bytes) -> None:
    file: FilePayload = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.set_input_files("#model-file", [file])


def test_the_panel_shows_what_there_is_and_fits(kept: Page) -> None:
    expect(row(kept, "Thimble Story")).to_contain_text(re.compile(r"3\.\d MB.*used today", re.S))
    expect(kept.locator("#space-words")).to_contain_text(re.compile(r"[\d.]+ MB saved here, of"))
    kept.get_by_role("button", name="Ask the browser to keep it").click()
    expect(kept.locator("#persist-words")).to_contain_text("promised")
    for scheme in ("light", "dark"):
        kept.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(kept) == []
    for width in (360, 1440):
        kept.set_viewport_size({"width": width, "height": 800})
        assert too_wide(kept) == []


def test_each_thing_can_be_dropped_and_kept_again(kept: Page) -> None:
    story = row(kept, "Thimble Story")
    kept.get_by_role("button", name="Remove Thimble Story", exact=True).click()
    expect(story).to_contain_text("not saved")
    kept.get_by_role("button", name="Save Thimble Story", exact=True).click()
    expect(kept.locator("#machine-outcome")).to_contain_text("Thimble Story is saved")
    expect(story).not_to_contain_text("not saved")
    kept.get_by_role("button", name="Remove Page, panels").click()
    expect(row(kept, "Page, panels")).to_contain_text("needs the network")
    assert kept.evaluate("async () => !(await navigator.serviceWorker.getRegistration())")
    kept.get_by_role("button", name="Save Page, panels").click()
    expect(row(kept, "Page, panels")).to_contain_text("works without a network")


def test_all_can_be_cleared_and_the_page_goes_on(kept: Page) -> None:
    kept.get_by_role("button", name="Clear all…").click()
    expect(kept.locator("#sure")).to_be_visible()
    expect(kept.get_by_role("button", name="Keep everything", exact=True)).to_be_focused()
    kept.keyboard.press("Escape")
    expect(kept.locator("#sure")).to_be_hidden()
    kept.get_by_role("button", name="Clear all…").click()
    kept.get_by_role("button", name="Clear all", exact=True).click()
    expect(kept.locator("#machine-outcome")).to_contain_text("Nothing is saved")
    assert (
        kept.evaluate("async () => (await (await caches.open('thimble-models')).keys()).length")
        == 0
    )
    files = """async () => {
      const names = (await caches.keys()).filter((name) => name.startsWith("thimble-app"));
      const kept = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
      return kept.flat().length;
    }"""
    assert kept.evaluate(files) == 0
    kept.evaluate("location.hash = 'panel=write'")
    assert write(kept)


def test_a_dropped_file_is_kept_for_the_next_visit(context: BrowserContext) -> None:
    tab = Tab(context)
    page = tab.open()
    page.evaluate(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "tiny one.gguf"));
          const drop = (type) => document.querySelector("main").dispatchEvent(
            new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
          drop("dragover");
          drop("drop");
        }""",
        list(TINY),
    )
    expect(page.locator("#incoming-title")).to_have_text("tiny one is saved")
    expect(page.locator("#model")).to_have_value("tiny one")
    first = write(page)
    page.reload()
    expect(page.locator("#metrics")).to_be_visible()
    page.locator("#model").select_option("tiny one")
    expect(page.locator("#metrics")).to_be_visible()
    assert write(page) == first
    page.evaluate("location.hash = 'panel=machine'")
    expect(row(page, "tiny one")).to_contain_text("A file that you opened here.")
    assert page.evaluate(MODELS) == [f"https://thimble.invalid/model/{DIGEST}"]
    assert tab.wrong == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"PK\3\4" + b"0" * 500, "Not a GGUF file"),
        (TINY[:4000], "Truncated"),
    ],
    ids=["empty", "another format", "cut"],
)
def test_a_file_that_is_no_model_is_refused(
    context: BrowserContext, data: bytes, words: str
) -> None:
    page = Tab(context).open()
    choose(page, "broken.gguf", data)
    expect(page.locator("#incoming-title")).to_contain_text("was not saved")
    expect(page.locator("#incoming-words")).to_contain_text(re.compile(words))
    assert page.evaluate(MODELS) == []
    expect(page.locator("#metrics")).to_be_visible()
    assert write(page)  # with the model from before


def test_a_link_s_model_is_fetched_when_the_visitor_agrees(
    context: BrowserContext, other: OtherHost
) -> None:
    other.breaks = True
    page = Tab(context).open(link(other.address, DIGEST))
    expect(page.locator("#incoming-host")).to_have_text(other.address.split("/")[2])
    expect(page.locator("#incoming-digest")).to_have_text(DIGEST)
    expect(page.locator("#metrics")).to_be_visible()
    assert other.asked == []  # nothing before the visitor says so
    page.get_by_role("button", name=re.compile("Ask .* for its size")).click()
    expect(page.locator("#incoming-size")).to_contain_text("MB")
    assert other.asked == ["HEAD from 0", "GET from 0"]  # its size and its first bytes
    expect(page.locator("#incoming-memory")).to_contain_text("It fits")
    expect(page.locator("#incoming-speed")).to_contain_text("tokens/s")
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.locator("#incoming-title")).to_have_text("tiny is saved")
    assert other.asked[2] == "GET from 0"
    assert re.fullmatch(r"GET from [1-9]\d*", other.asked[3])  # taken up where it broke off
    assert write(page)
    expect(page.locator("#model")).to_have_value("tiny")

    # From now on the link means the kept one, and nobody is asked.
    asked = len(other.asked)
    again = Tab(context).open(link(other.address, DIGEST))
    expect(again.locator("#model")).to_have_value("tiny")
    expect(again.locator("#incoming")).to_be_hidden()
    assert len(other.asked) == asked


def test_a_fetch_that_is_cancelled_leaves_nothing(
    context: BrowserContext, other: OtherHost
) -> None:
    other.breaks = other.hangs = True
    page = Tab(context).open(link(other.address, DIGEST))
    page.get_by_role("button", name=re.compile("Ask .* for its size")).click()
    page.get_by_role("button", name="Load", exact=True).click()
    while sum(asked.startswith("GET") for asked in other.asked) < 2:
        page.wait_for_timeout(50)
    page.wait_for_timeout(500)  # the first half is here
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#incoming")).to_be_hidden()
    expect(page.locator("iframe")).to_have_count(0)
    other.hangs = False
    page.wait_for_timeout(500)  # for what might still be written
    assert page.evaluate(MODELS) == []


@pytest.mark.parametrize(
    ("digest", "words"),
    [("0" * 64, DIGEST), ("", "without its digest"), ("abc", "abc is not that")],
    ids=["another", "none", "short"],
)
def test_a_link_s_model_with_another_digest_is_refused(
    context: BrowserContext, other: OtherHost, digest: str, words: str
) -> None:
    page = Tab(context).open(link(other.address, digest))
    if len(digest) == 64:
        page.get_by_role("button", name=re.compile("Ask .* for its size")).click()
        page.get_by_role("button", name="Load", exact=True).click()
    expect(page.locator("#incoming-title")).to_contain_text("was not saved")
    expect(page.locator("#incoming-words")).to_contain_text(words)
    assert page.evaluate(MODELS) == []
    assert write(page)


# Starts the script that keeps models, or the page that it belongs to, as a worker, and gives it a
# job as the page would.
ASK_A_WORKER = """async ([name, address]) => {
  const build = await (await fetch(new URL("/build.json", location.href))).json();
  const file = name === "assets" ? build.assets["save-model.js"] : name;
  const worker = new Worker(new URL(`/${file}`, location.href), { type: "module" });
  const { port1, port2 } = new MessageChannel();
  const argumentList = [{ type: "RAW", value: [address] }, { type: "RAW", value: 1024 }];
  const job = { id: "1", type: "APPLY", path: ["look"], argumentList };
  const answered = new Promise((resolve) => {
    port1.onmessage = worker.onmessage = ({ data }) => resolve(data?.value ?? "refused");
    worker.onerror = () => resolve("refused");
    setTimeout(() => resolve("refused"), 3000);
  });
  worker.postMessage("keep models", [port2]);
  worker.postMessage(job);
  port1.postMessage(job);
  return answered;
}"""


def test_only_the_fetching_page_may_reach_other_hosts(
    context: BrowserContext, other: OtherHost
) -> None:
    page = Tab(context).open()
    refused = "(url) => fetch(url).then(() => 'came', (error) => error.name)"
    assert page.evaluate(refused, other.address) == "TypeError"
    assert page.workers[0].evaluate(refused, other.address) == "TypeError"
    # The console's code can start workers and make no frames. As a worker the script that may has
    # the policy of every other, and the page that has another policy is no script.
    for name in ("assets", "save-model/"):
        assert page.evaluate(ASK_A_WORKER, [name, other.address]) == "refused"
    assert other.asked == []
    other.allows = False
    page.goto(link(other.address, DIGEST))
    page.get_by_role("button", name=re.compile("Ask .* for its size")).click()
    expect(page.locator("#incoming-words")).to_contain_text("Access-Control-Allow-Origin")


@pytest.mark.parametrize("half_way", [False, True], ids=["known before", "half-way"])
def test_without_room_a_model_is_used_and_not_kept(
    context: BrowserContext, server: str, half_way: bool
) -> None:
    page = short_of_room(context, server, len(TINY) // 2, half_way=half_way)
    choose(page, "tiny.gguf", TINY)
    expect(page.locator("#incoming-title")).to_have_text("tiny.gguf is not saved")
    expect(page.locator("#incoming-words")).to_contain_text("no space to save tiny")
    expect(page.locator("#model")).to_have_value("tiny")
    assert write(page)
    assert page.evaluate(MODELS) == []


def test_where_storage_is_blocked_the_page_works_and_says_so(
    chromium: Browser, server: str, tmp_path: Path
) -> None:
    """A browser that is set to let no site keep anything, as its owner can."""
    profile = tmp_path / "profile"
    (profile / "Default").mkdir(parents=True)
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (profile / "Default" / "Preferences").write_text(json.dumps(blocked))
    flags = [*CHROMIUM_FLAGS, "--no-sandbox"]
    context = chromium.browser_type.launch_persistent_context(
        profile, executable_path=browsers.find(), args=flags, base_url=server
    )
    tab = Tab(context)
    page = tab.open()
    assert page.evaluate("() => caches.keys().then(() => 'kept', (error) => error.name)") != "kept"
    assert write(page)
    choose(page, "tiny.gguf", TINY)
    expect(page.locator("#incoming-title")).to_have_text("tiny.gguf is not saved")
    expect(page.locator("#incoming-words")).to_contain_text("until you close this page")
    expect(page.locator("#metrics")).to_be_visible()
    assert write(page)
    page.evaluate("location.hash = 'panel=machine'")
    expect(row(page, "Page, panels")).to_contain_text("needs the network")
    expect(page.locator("#kinds")).to_contain_text("does not let this page look")
    context.close()
