"""The page without a network, and how new versions of it arrive and are taken back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, Request, expect

from tests.browser.conftest import PATIENCE_MS
from tests.browser.places import Place
from tests.tiny_models import SPECS, make
from thimble.hosting import precache

# All of the page is here, and the model that it opens with.
ALL_KEPT = """async () => {
  const { active } = await navigator.serviceWorker.ready;
  while (active.state !== "activated") await new Promise((next) => setTimeout(next, 50));
  const { Thimble } = await import("/thimble.js");
  const model = (await Thimble.site()).model();
  while (!(await caches.match(model.url))) await new Promise((next) => setTimeout(next, 50));
}"""

# The browser asks for the service worker again; what has become of what it found.
UPDATE = """async () => {
  const registration = await navigator.serviceWorker.getRegistration();
  await registration.update().catch(() => null);
  const found = registration.installing;
  while (found?.state === "installing") await new Promise((next) => setTimeout(next, 50));
  return found?.state ?? null;
}"""

KEPT_FILES = """async () => {
  const found = [];
  for (const name of await caches.keys()) {
    if (name.startsWith("thimble-app")) found.push(...await (await caches.open(name)).keys());
  }
  return found.map(({ url }) => new URL(url).pathname);
}"""


class Tab:
    """A page that writes down what goes wrong in it."""

    def __init__(self, context: BrowserContext) -> None:
        self.page = context.new_page()
        self.wrong: list[str] = []
        self.page.on("requestfailed", self._note)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.wrong.append(message.text) if message.type == "error" else None,
        )

    def _note(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by leaving the page
            self.wrong.append(f"no {request.url}: {request.failure}")

    def open(self, address: str = "/") -> Page:
        self.page.goto(address)
        expect(self.page.locator("#metrics:not([hidden])")).to_be_attached()
        return self.page

    def version(self, source: str = "page.js") -> Any:
        return self.page.evaluate(f"globalThis['is {source}'] ?? null")


def write(page: Page) -> str:
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text(re.compile("token"))
    return page.locator("#written").text_content() or ""


def visitor(chromium: Browser, place: Place) -> BrowserContext:
    context = chromium.new_context(base_url=place.address, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    return context


@pytest.fixture
def place(site: Path, tmp_path: Path) -> Iterator[Place]:
    made = Place(site, tmp_path / "site").start()
    yield made
    made.end()


@pytest.fixture
def context(chromium: Browser, place: Place) -> Iterator[BrowserContext]:
    made = visitor(chromium, place)
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(
    chromium: Browser, site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BrowserContext, Place, str]]:
    """A visitor after one visit, with the server ended; and what the model wrote in it."""
    place = Place(site, tmp_path_factory.mktemp("offline") / "site").start()
    context = visitor(chromium, place)
    tab = Tab(context)
    page = tab.open()
    text = write(page)
    page.evaluate(ALL_KEPT)
    page.close()
    place.end()
    yield context, place, text
    context.close()


def test_one_visit_fetches_no_file_twice(alone: tuple[BrowserContext, Place, str]) -> None:
    """What an install keeps comes out of the browser's cache where the page has had it before."""
    _, place, _ = alone
    counts = Counter(path for path in place.answered() if path.startswith("/assets/"))
    assert counts
    assert {path: count for path, count in counts.items() if count > 1} == {}
    kept = precache.read((place.folder / precache.NAME).read_bytes())
    assert {f"/{entry['url']}" for entry in kept["entries"]} - set(place.answered()) <= {"/./"}


def test_without_a_server_the_page_opens_and_writes_the_same(
    alone: tuple[BrowserContext, Place, str],
) -> None:
    context, _, text = alone
    tab = Tab(context)
    page = tab.open()
    assert page.evaluate("crossOriginIsolated")
    assert write(page) == text
    page.reload()
    expect(page.locator("#metrics")).to_be_visible()
    second = Tab(context)
    second.open("/?from=elsewhere#prompt=A+dog")
    assert second.page.locator("#prompt").input_value() == "A dog"
    assert write(second.page)
    assert tab.wrong == second.wrong == []
    second.page.close()
    page.close()


def test_without_a_server_every_panel_opens(alone: tuple[BrowserContext, Place, str]) -> None:
    context, _, _ = alone
    tab = Tab(context)
    page = tab.open()
    panels = page.eval_on_selector_all("[data-panel]", "all => all.map((one) => one.dataset.panel)")
    assert {"write", "read", "train", "python", "machine"} <= set(panels)
    for panel in panels:
        page.evaluate("(panel) => { location.hash = `panel=${panel}`; }", panel)
        expect(page.locator(f"[data-panel={panel}]")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert tab.wrong == []
    page.close()


def test_without_a_server_panels_do_their_work(alone: tuple[BrowserContext, Place, str]) -> None:
    """Reading, stepping, code that asks for the rest of the library, and training."""
    context, _, _ = alone
    tab = Tab(context)
    page = tab.open("/#panel=read")
    page.locator("#read-go").click()
    expect(page.locator("#read-bpb")).to_contain_text(re.compile(r"\d"))

    page.evaluate("() => { location.hash = 'panel=step'; }")
    page.locator("#step-step").click()
    expect(page.locator("#step-view .token:not(.given)")).to_have_count(1)

    page.evaluate("() => { location.hash = 'panel=python'; }")
    expect(page.locator("#python-version")).to_contain_text("Python 3.14")
    page.get_by_role("textbox", name="Python code").click()
    page.keyboard.insert_text("import calendar; calendar.isleap(2024)")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("log").locator(".run").last).to_contain_text("True")

    page.evaluate("() => { location.hash = 'panel=train'; }")
    train = page.get_by_role("button", name="Train", exact=True)
    expect(train).to_be_enabled()
    train.click()
    expect(page.locator("#train-at-words")).to_contain_text("steps")  # a sample of what it learned
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#train-outcome")).to_contain_text("Stopped")

    # The fetches of panels that have not come yet to this page, by what the site says of them.
    fetched = page.evaluate("""async () => {
      const build = await (await fetch("build.json")).json();
      const files = [build.library, ...build.corpora.map(({ file }) => file), "save-model/"];
      const answers = await Promise.all(files.map((file) => fetch(file)));
      return answers.map(({ ok }) => ok);
    }""")
    assert fetched
    assert all(fetched)
    assert tab.wrong == []
    page.close()


def test_without_a_server_pages_for_others_are_written_and_shown(
    alone: tuple[BrowserContext, Place, str],
) -> None:
    """The Embed panel: the element, and the frame with its own page and engine."""
    context, _, _ = alone
    tab = Tab(context)
    page = tab.open("/#panel=embed")
    # Nothing may come out of the browser's own cache, which may forget.
    context.new_cdp_session(page).send("Network.clearBrowserCache")
    page.locator("#embed-length").fill("9")
    page.locator("#embed-prompt").fill("A small boat")
    shown = page.locator("#embed-preview")
    shown.get_by_role("button", name="Write").click()
    expect(shown.get_by_role("status")).to_contain_text("9 tokens")

    page.get_by_text("Frame", exact=True).click()
    frame = page.frame_locator("#embed-preview iframe")
    expect(frame.get_by_role("textbox")).to_have_value("A small boat")
    frame.get_by_role("button", name="Write").click()
    expect(frame.get_by_role("status")).to_contain_text("9 tokens")
    before = page.evaluate("() => history.length")
    page.locator("#embed-prompt").fill("A red fox")
    expect(frame.get_by_role("textbox")).to_have_value("A red fox")
    assert page.evaluate("() => history.length") == before
    assert tab.wrong == []

    # The same page by itself, and by the address without a slash.
    for address in ("/embed/story/?prompt=A+cat&reveal=manual", "/embed/story?prompt=A+cat"):
        page.goto(address)
        expect(page.get_by_role("textbox")).to_have_value("A cat")
        assert page.evaluate("() => location.pathname") == "/embed/story/"
    expect(page.get_by_role("status")).to_contain_text("tokens")
    assert tab.wrong == []
    page.close()


def test_without_a_server_this_machine_is_shown_and_takes_a_file(
    alone: tuple[BrowserContext, Place, str],
) -> None:
    context, _, _ = alone
    tab = Tab(context)
    page = tab.open("/#panel=machine")
    rows = page.locator("#kinds li")
    expect(rows.filter(has_text="Page, panels")).to_contain_text("works without a network")
    story = rows.filter(has=page.get_by_text("Thimble Story", exact=True))
    expect(story).to_contain_text("MB")
    page.get_by_role(
        "button", name="Remove Theme, switches, your last model and dates of use"
    ).click()
    expect(page.locator("#machine-outcome")).to_contain_text("is removed")

    tiny: FilePayload = {
        "name": "tiny.gguf", "mimeType": "application/octet-stream", "buffer": make(SPECS["q8_0"])
    }  # fmt: skip
    page.set_input_files("#model-file", [tiny])
    expect(page.locator("#incoming-title")).to_have_text("tiny is saved")
    expect(rows.filter(has_text="A file that you opened here")).to_contain_text("tiny")
    page.evaluate("() => { location.hash = 'panel=write'; }")
    expect(page.locator("#model")).to_have_value("tiny")
    assert write(page)
    page.evaluate("() => { location.hash = 'panel=machine'; }")
    page.get_by_role("button", name="Remove tiny").click()
    expect(page.locator("#machine-outcome")).to_contain_text("tiny is removed")
    assert tab.wrong == []

    # What is not here cannot come, and the panel says so.
    page.get_by_role("button", name="Save NumPy").click()
    expect(page.locator("#machine-notice")).to_contain_text(re.compile("fetch", re.I))
    page.close()


def run_python(page: Page, code: str) -> Locator:
    """Run code in the Python panel; the last line of its log."""
    page.get_by_role("textbox", name="Python code").click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#python-outcome")).to_contain_text("after")
    return page.get_by_role("log").locator(".run").last


def test_without_a_server_numpy_that_was_never_used_is_said_to_be_missing(
    alone: tuple[BrowserContext, Place, str],
) -> None:
    context, _, _ = alone
    page = Tab(context).open("/#panel=python")
    run = run_python(page, "import numpy")
    expect(run).to_contain_text("numpy could not be loaded")
    expect(run).to_contain_text("is saved from then on")
    page.close()


def test_numpy_that_was_used_once_is_there_without_a_server(
    place: Place, context: BrowserContext
) -> None:
    """Used before there was a service worker, which saw no request for it."""
    tab = Tab(context)
    page = tab.open("/#panel=python")
    code = "import numpy; numpy.arange(4).sum()"
    expect(run_python(page, code)).to_contain_text("6")
    page.evaluate(ALL_KEPT)
    page.wait_for_function("""async () => {
      const names = (await caches.keys()).filter((name) => name.startsWith("thimble-extras"));
      const kept = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
      return kept.flat().some(({ url }) => url.includes("/numpy-"));
    }""")
    assert len([path for path in place.answered() if "/numpy-" in path]) == 1
    place.end()
    # Not out of the browser's own cache, which may forget.
    context.new_cdp_session(page).send("Network.clearBrowserCache")
    page.reload()
    expect(page.locator("#python-version")).to_contain_text("Python 3.14")
    expect(run_python(page, code)).to_contain_text("6")
    assert tab.wrong == []


def test_a_new_version_arrives_whole_and_when_it_is_wanted(
    place: Place, context: BrowserContext
) -> None:
    first = Tab(context)
    first.open()
    first.page.evaluate(ALL_KEPT)
    before = place.build()
    place.release("BBBBBBBB", "read.js", "train.js")
    assert first.page.evaluate(UPDATE) == "installed"
    expect(first.page.locator("#new-version")).to_be_visible()

    # Until then every tab is of the version before, one that is opened now too.
    second = Tab(context)
    second.open()
    assert second.version() is None
    expect(second.page.locator("#new-version")).to_be_visible()
    second.page.get_by_role("button", name="Reload").click()
    second.page.wait_for_function("() => globalThis['is page.js'] === 'BBBBBBBB'")
    expect(second.page.locator("#metrics")).to_be_visible()
    expect(second.page.locator("#new-version")).to_be_hidden()

    # The first tab goes on with what it began with, though the server has its files no more.
    first.page.evaluate("location.hash = 'panel=read'")
    expect(first.page.locator("#read-go")).to_be_visible()
    expect(first.page.locator("#read-go")).to_be_enabled()
    assert first.version("read.js") is None
    expect(first.page.locator("#new-version")).to_be_visible()
    second.page.evaluate("location.hash = 'panel=read'")
    second.page.wait_for_function("() => globalThis['is read.js'] === 'BBBBBBBB'")
    assert first.wrong == second.wrong == []

    # When no tab shows it any more, nothing of it is left.
    assert f"/{before['assets']['page.js']}" in first.page.evaluate(KEPT_FILES)
    first.page.get_by_role("button", name="Reload").click()
    first.page.wait_for_function("() => globalThis['is page.js'] === 'BBBBBBBB'")
    gone = f"/{before['assets']['page.js']}"
    first.page.wait_for_function(f"async () => !(await ({KEPT_FILES})()).includes('{gone}')")

    # Two tabs that are reloaded at once both come to the next version.
    place.release("CCCCCCCC", "read.js")
    first.page.evaluate(UPDATE)
    for tab in (first, second):
        expect(tab.page.locator("#new-version")).to_be_visible()
    for tab in (first, second):
        tab.page.evaluate("() => { document.getElementById('reload').click(); }")
    for tab in (first, second):
        tab.page.wait_for_function("() => globalThis['is page.js'] === 'CCCCCCCC'")
        expect(tab.page.locator("#metrics:not([hidden])")).to_be_attached()


def test_a_version_that_does_not_come_whole_is_never_used(
    place: Place, context: BrowserContext
) -> None:
    tab = Tab(context)
    page = tab.open()
    page.evaluate(ALL_KEPT)
    build = place.release("BBBBBBBB", "read.js")
    broken = build["assets"]["read.js"]
    right = (place.folder / broken).read_bytes()
    place.write(broken, right[:-1] + b"!")
    place.end()
    place.start()  # what the server knows of a file it knows from its start
    assert page.evaluate(UPDATE) == "redundant"
    expect(page.locator("#new-version")).to_be_hidden()
    page.reload()
    expect(page.locator("#metrics")).to_be_visible()
    assert tab.version() is None
    assert write(page)

    place.write(broken, right)
    place.end()
    place.start()
    assert page.evaluate(UPDATE) == "installed"
    expect(page.locator("#new-version")).to_be_visible()
