"""What is saved on the machine and goes wrong there: it heals, or one button makes it whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect

from tests.browser.places import Place
from tests.browser.test_bring import LARGE, TINY, Host, load, name_address
from tests.browser.test_offline import ALL_KEPT, Tab, visitor, write
from tests.tiny_models import TinySpec, make

OTHER = make(TinySpec("F32", seed=43))

WAYS = {
    "cut short": "bytes.slice(0, bytes.length >> 1)",
    "a bit flipped": "(bytes[bytes.length >> 1] ^= 1, bytes)",
    "of another version": "new TextEncoder().encode(`<script>document.title = 'evil'</script>`)",
    "gone": "null",
}
# Every entry of a cache, by the beginning of its name, that `which` says.
DAMAGE = """async ([cache, which]) => {
  const name = (await caches.keys()).find((name) => name.startsWith(cache));
  const saved = await caches.open(name);
  let count = 0;
  for (const request of await saved.keys()) {
    if (!new RegExp(which).test(request.url)) continue;
    const before = await saved.match(request);
    let bytes = new Uint8Array(await before.arrayBuffer());
    bytes = CHANGE;
    const headers = new Headers(before.headers);
    headers.delete("content-security-policy"); // what somebody put there would have none
    if (bytes) await saved.put(request, new Response(bytes, { headers }));
    else await saved.delete(request);
    count += 1;
  }
  return count;
}"""


def damage(page: Page, way: str, cache: str, which: str) -> None:
    count = page.evaluate(DAMAGE.replace("CHANGE", WAYS[way]), [cache, which])
    assert count > 0


@pytest.fixture(scope="module")
def seen(
    chromium: Browser, site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BrowserContext, str]]:
    """A visitor for whom the page is saved whole, and what the model wrote."""
    place = Place(site, tmp_path_factory.mktemp("damage") / "site").start()
    context = visitor(chromium, place)
    page = Tab(context).open()
    text = write(page)
    page.evaluate(ALL_KEPT)
    page.close()
    yield context, text
    context.close()
    place.end()


@pytest.mark.parametrize("way", WAYS)
def test_the_page_s_files_heal(seen: tuple[BrowserContext, str], way: str) -> None:
    """All of them at once: the page, its scripts, Python and the engine."""
    context, text = seen
    page = context.new_page()
    page.goto("/models.json")
    # Pages end with a slash; of what tabs were given the worker wrote down itself.
    damage(page, way, "thimble-app", r"^(?!.*thimble-tab=).*(/|\\?__WB_REVISION__=.*|\\.\\w+)$")
    page.close()
    tab = Tab(context)
    page = tab.open()
    assert page.title() != "evil"
    assert page.evaluate("crossOriginIsolated")
    assert write(page) == text
    page.close()
    # It was put back: the next visit fetches nothing of it.
    tab = Tab(context)
    answers: list[str] = []
    tab.page.on("response", lambda answer: answers.append(answer.url))
    assert write(tab.open()) == text
    assert not tab.wrong
    tab.page.close()


def test_the_policy_of_a_saved_page_is_the_service_worker_s_own(
    seen: tuple[BrowserContext, str],
) -> None:
    context, _ = seen
    page = context.new_page()
    page.goto("/models.json")
    damage(page, "of another version", "thimble-app", r"/(\\?.*)?$")
    answer = page.goto("/")
    assert answer is not None
    assert answer.from_service_worker
    assert "script-src 'self' 'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
    assert page.title() != "evil"
    page.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_site_s_model_comes_again(seen: tuple[BrowserContext, str], way: str) -> None:
    context, text = seen
    page = context.new_page()
    page.goto("/models.json")
    damage(page, way, "thimble-models", "story")
    page.goto("/")
    outcome = page.locator("#metrics:not([hidden]), #again:not([hidden])")
    expect(outcome.first).to_be_attached()
    if page.locator("#again").is_visible():
        page.locator("#again").click()
    expect(page.locator("#metrics:not([hidden])")).to_be_attached()
    assert write(page) == text
    page.evaluate(ALL_KEPT)
    page.close()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host({"large.gguf": LARGE, "tiny.gguf": TINY})
    server = made.serve()
    yield made
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("way", ["cut short", "a bit flipped", "gone"])
def test_a_fetched_model_that_is_damaged_is_fetched_again_by_one_button(
    seen: tuple[BrowserContext, str], host: Host, way: str
) -> None:
    context, _ = seen
    page = Tab(context).open()
    name_address(page, f"{host.address}/tiny.gguf", hashlib.sha256(TINY).hexdigest())
    load(page)
    expect(page.locator("#incoming-title")).to_have_text("tiny is saved")
    damage(page, way, "thimble-models", "/piece/")
    page.reload()
    expect(page.locator("#metrics:not([hidden])")).to_be_attached()
    page.evaluate("location.hash = 'panel=write'")
    page.locator("#model").select_option("tiny")
    expect(page.locator("#incoming-title")).to_have_text("tiny is damaged")
    page.get_by_role("button", name=re.compile("Fetch it again from")).click()
    load(page)
    expect(page.locator("#incoming-title")).to_have_text("tiny is saved")
    expect(page.locator("#model")).to_have_value("tiny")
    assert write(page)
    page.evaluate("location.hash = 'panel=machine'")
    page.get_by_role("button", name="Remove tiny").click()
    expect(page.locator("#machine-outcome")).to_contain_text("tiny is removed")
    page.close()


def test_a_dropped_model_that_is_damaged_is_opened_again_by_one_button(
    seen: tuple[BrowserContext, str],
) -> None:
    context, _ = seen
    page = Tab(context).open()
    file = FilePayload(name="mine.gguf", mimeType="application/octet-stream", buffer=OTHER)
    page.locator("#model-file").set_input_files(file)
    expect(page.locator("#incoming-title")).to_contain_text("mine is saved")
    damage(page, "a bit flipped", "thimble-models", hashlib.sha256(OTHER).hexdigest())
    page.reload()
    expect(page.locator("#metrics:not([hidden])")).to_be_attached()
    page.locator("#model").select_option("mine")
    expect(page.locator("#incoming-title")).to_have_text("mine is damaged")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open the file again").click()
    chooser.value.set_files(file)
    expect(page.locator("#incoming-title")).to_contain_text("is saved")
    page.close()


def broken_off(context: BrowserContext, host: Host, digest: str = "") -> Page:
    """A page in which the download of the large model has broken off after twelve megabytes."""
    host.files["large.gguf"], host.sizes["large.gguf"] = LARGE[: 12 << 20], len(LARGE)
    host.ends_after, host.refuses_ranges = 12 << 20, False
    page = Tab(context).open()
    name_address(page, f"{host.address}/large.gguf", digest)
    load(page)
    expect(page.locator("#incoming-words")).to_contain_text("broke off after")
    host.files["large.gguf"], host.ends_after = LARGE, None
    host.ranges.clear()
    return page


def come_whole(page: Page, host: Host) -> None:
    """Try again, by the button; the whole file comes, from the first byte."""
    page.get_by_role("button", name="Try again").click()
    load(page)
    expect(page.locator("#incoming-title")).to_have_text("large is saved")
    digest = hashlib.sha256(LARGE).hexdigest()
    expect(page.locator("#incoming-digest")).to_have_text(digest)
    assert host.ranges[-1] == 0
    page.evaluate("location.hash = 'panel=machine'")
    page.get_by_role("button", name="Remove large").click()
    expect(page.locator("#machine-outcome")).to_contain_text("large is removed")
    page.close()


@pytest.mark.parametrize("way", ["cut short", "a bit flipped", "gone"])
def test_a_download_whose_pieces_are_damaged_begins_anew(
    seen: tuple[BrowserContext, str], host: Host, way: str
) -> None:
    page = broken_off(seen[0], host)
    damage(page, way, "thimble-models", "/piece/.*/0$")
    come_whole(page, host)


def test_a_host_that_refuses_the_rest_is_asked_for_the_whole(
    seen: tuple[BrowserContext, str], host: Host
) -> None:
    page = broken_off(seen[0], host)
    host.refuses_ranges = True
    page.get_by_role("button", name="Try again").click()
    load(page)
    expect(page.locator("#incoming-words")).to_contain_text("answered 416")
    come_whole(page, host)


def test_two_versions_of_a_file_are_never_stitched_together(
    seen: tuple[BrowserContext, str], host: Host
) -> None:
    """Nothing tells that the file is another one now: neither its size, nor a date, nor a tag."""
    host.modified = None
    page = broken_off(seen[0], host)
    expect(page.locator("#incoming-words")).to_contain_text("has to come anew")
    come_whole(page, host)
    host.modified = "Tue, 03 Nov 2026 12:00:00 GMT"


GARBAGE = """() => {
  for (const key of Object.keys(localStorage)) localStorage.setItem(key, VALUE);
  for (const key of ["theme", "used", "offline"]) localStorage.setItem(`thimble.${key}`, VALUE);
}"""


@pytest.mark.parametrize("value", ['""', '"{"', '"null"', '"[[[1e999]]]"'])
def test_settings_that_make_no_sense_are_passed_over(
    seen: tuple[BrowserContext, str], value: str
) -> None:
    context, text = seen
    tab = Tab(context)
    page = tab.open()
    page.evaluate(GARBAGE.replace("VALUE", value))
    page.reload()
    expect(page.locator("#metrics:not([hidden])")).to_be_attached()
    assert write(page) == text
    page.evaluate("location.hash = 'panel=machine'")
    expect(page.locator("#kinds")).to_contain_text("Settings")
    assert not tab.wrong
    page.evaluate("localStorage.clear()")
    page.close()


def test_a_browser_that_throws_when_asked_for_service_workers_shows_the_page(
    seen: tuple[BrowserContext, str],
) -> None:
    context, text = seen
    page = context.new_page()
    page.add_init_script("""Object.defineProperty(Navigator.prototype, "serviceWorker", {
      get() { throw new DOMException("not here", "SecurityError"); },
    });""")
    page.goto("/")
    expect(page.locator("#metrics:not([hidden])")).to_be_attached()
    assert write(page) == text
    page.close()
