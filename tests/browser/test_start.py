"""How the engine starts: from a snapshot on the second visit, and without one where that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

NOT_YET = "there is no snapshot yet"

WRITE = """async () => {
  const { Thimble } = await import("/thimble.js");
  const session = await Thimble.create({ seed: 1, temperature: 0.8, max_tokens: 12 });
  const text = await session.prompt("Once upon a time");
  const tokens = await session.tokenize(text);
  return { text, hash: await session.logitsHash(tokens), start: Thimble.start };
}"""

START = "async () => (await import('/thimble.js')).Thimble.start"

# CHANGE stands for what a test does to the kept file: `bytes` is what was read, and what it returns
# is written. The page's policy forbids to evaluate it there.
CHANGE_FILE = """async () => {
  const change = (bytes) => { CHANGE };
  const folder = await navigator.storage.getDirectory();
  const handle = await folder.getFileHandle("thimble-snapshot");
  const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
  const stream = await handle.createWritable();
  await stream.write(change(bytes));
  await stream.close();
}"""

ANOTHER_BUILD = """
  const words = new TextDecoder("latin1").decode(bytes.subarray(0, 2000));
  const at = words.indexOf('"build":"') + 9;
  bytes[at] = bytes[at] === 48 ? 49 : 48;
  return bytes;
"""


class Visitor:
    """Somebody who comes again: one browser context, a page for every visit."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.requests: list[str] = []
        self.console: list[str] = []
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("console", lambda message: self.console.append(message.text))

    def visit(self) -> tuple[Page, dict[str, Any]]:
        """Open a page and let the model write; the page and what came of it."""
        self.requests.clear()
        self.console.clear()
        page = self.context.new_page()
        page.goto("/models.json")  # a page of this origin that starts nothing by itself
        answer: dict[str, Any] = page.evaluate(WRITE)
        return page, answer

    def has_fetched(self, name: str) -> bool:
        return any(name in url for url in self.requests)


def wait_for_snapshot(page: Page, state: str = "saved") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = page.evaluate(START)["snapshot"]
        if found == state:
            return
        assert found in ("waiting", "making"), found
        time.sleep(0.2)
    pytest.fail(f"the snapshot did not come to be {state}")


@pytest.fixture
def visitor(context: BrowserContext) -> Visitor:
    return Visitor(context)


@pytest.fixture(scope="module")
def kept(chromium: Browser, server: str) -> Iterator[tuple[Visitor, dict[str, Any]]]:
    """A visitor who has been here and has a snapshot, and what the first visit wrote."""
    context = chromium.new_context(base_url=server, reduced_motion="reduce")
    context.set_default_timeout(120_000)
    visitor = Visitor(context)
    page, first = visitor.visit()
    assert first["start"]["because"] == NOT_YET
    assert first["start"]["from"] == "packages"
    wait_for_snapshot(page)
    page.close()
    yield visitor, first
    context.close()


def test_the_second_visit_starts_from_the_snapshot(kept: tuple[Visitor, dict[str, Any]]) -> None:
    visitor, first = kept
    page, second = visitor.visit()
    assert second["start"] == {"from": "snapshot", "because": None, "snapshot": "none"}
    assert second["text"] == first["text"]
    assert second["hash"] == first["hash"]
    for name in ("python_stdlib", ".whl", "pyodide-lock.json"):
        assert not visitor.has_fetched(name)
    assert visitor.has_fetched("pyodide.asm.wasm")
    page.close()


def test_two_pages_start_from_one_snapshot_at_once(kept: tuple[Visitor, dict[str, Any]]) -> None:
    visitor, _ = kept
    pages = [visitor.context.new_page() for _ in range(2)]
    for page in pages:
        page.goto("/models.json")
        page.evaluate(f"() => {{ window.answer = ({WRITE})(); }}")
    for page in pages:
        assert page.evaluate("() => window.answer")["start"]["from"] == "snapshot"
        page.close()


def test_a_snapshot_that_another_tab_is_writing_is_not_read(
    kept: tuple[Visitor, dict[str, Any]],
) -> None:
    visitor, first = kept
    writing, _ = visitor.visit()
    writing.evaluate("""() => new Promise((held) => {
      navigator.locks.request("thimble-snapshot", () => new Promise((done) => {
        globalThis.written = done;
        held();
      }));
    })""")
    visitor.console.clear()
    page, second = visitor.visit()
    assert second["start"]["from"] == "packages"
    assert second["start"]["because"] == NOT_YET
    assert second["text"] == first["text"]
    assert visitor.console == []
    writing.evaluate("() => written()")
    wait_for_snapshot(page)
    page.close()
    writing.close()


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (ANOTHER_BUILD, "another build"),
        ("return bytes.subarray(0, bytes.length - 1000);", "bytes, not"),
        ("return bytes.subarray(0, 9);", "not a snapshot"),
        ("bytes[bytes.length >> 1] ^= 1; return bytes;", "damaged"),
        ("return new Uint8Array(100000);", "not a snapshot"),
    ],
    ids=["another build", "truncated", "nearly nothing", "one bit", "zeros"],
)
def test_a_snapshot_that_is_no_good_is_replaced(
    kept: tuple[Visitor, dict[str, Any]], change: str, because: str
) -> None:
    visitor, first = kept
    page = visitor.context.new_page()
    page.goto("/models.json")
    page.evaluate(CHANGE_FILE.replace("CHANGE", change))
    page.close()

    page, answer = visitor.visit()
    assert answer["start"]["from"] == "packages"
    assert because in answer["start"]["because"]
    assert answer["text"] == first["text"]
    assert answer["hash"] == first["hash"]
    assert any("without the snapshot" in line and because in line for line in visitor.console)
    wait_for_snapshot(page)
    page.close()

    page, again = visitor.visit()
    assert again["start"]["from"] == "snapshot"
    page.close()


def before_the_worker(context: BrowserContext, script: str) -> None:
    """Run a script in every worker before its own."""

    def handle(route: Route) -> None:
        answer = route.fetch()
        kept = ("content-encoding", "content-length")
        headers = {name: value for name, value in answer.headers.items() if name not in kept}
        route.fulfill(status=200, headers=headers, body=f"{{{script}}}\n{answer.text()}")

    context.route("**/assets/worker.*.js", handle)


FORBIDDEN = """
  const forbid = async () => { throw new DOMException("not in this window", "SecurityError"); };
  StorageManager.prototype.getDirectory = forbid;
"""
NO_STORAGE = """
  delete StorageManager.prototype.getDirectory;
  delete WorkerGlobalScope.prototype.caches;
"""
FULL = """
  FileSystemSyncAccessHandle.prototype.write = () => {
    throw new DOMException("no room", "QuotaExceededError");
  };
"""
HALF_FULL = """
  const write = FileSystemSyncAccessHandle.prototype.write;
  FileSystemSyncAccessHandle.prototype.write = function (bytes, options) {
    return write.call(this, bytes.subarray(0, 1000), options);
  };
"""
NO_QUOTA = "StorageManager.prototype.estimate = async () => ({ quota: 1e6, usage: 9e5 });"


@pytest.mark.parametrize(
    ("script", "because", "said"),
    [
        (FORBIDDEN, "not in this window", "not in this window"),
        (NO_STORAGE, "caches", "caches"),
        (FULL, NOT_YET, "no room"),
        (HALF_FULL, NOT_YET, "bytes fitted"),
        (NO_QUOTA, NOT_YET, "storage is full"),
    ],
    ids=["forbidden", "no storage", "full", "half full", "no quota"],
)
def test_without_storage_every_visit_is_a_first_one(
    visitor: Visitor, script: str, because: str, said: str
) -> None:
    before_the_worker(visitor.context, script)
    page, answer = visitor.visit()
    assert answer["text"]
    assert because in answer["start"]["because"]
    wait_for_snapshot(page, "refused")
    assert any("next visit" in line and said in line for line in visitor.console)
    assert page.evaluate(WRITE)["text"] == answer["text"]
    page.close()
    _, again = visitor.visit()
    assert again["start"]["from"] == "packages"
    assert again["text"] == answer["text"]


def test_a_file_in_the_cache_does_where_there_is_no_private_file_system(visitor: Visitor) -> None:
    before_the_worker(visitor.context, "delete StorageManager.prototype.getDirectory;")
    page, first = visitor.visit()
    assert first["start"]["because"] == NOT_YET
    wait_for_snapshot(page)
    page.close()
    _, second = visitor.visit()
    assert second["start"]["from"] == "snapshot"
    assert second["hash"] == first["hash"]


def test_a_snapshot_waits_while_somebody_waits_for_text(visitor: Visitor) -> None:
    page, _ = visitor.visit()
    after = page.evaluate("""async () => {
      const { Thimble } = await import("/thimble.js");
      while (Thimble.start.snapshot !== "making") await new Promise((next) => setTimeout(next, 5));
      const session = await Thimble.create();
      const reader = session.promptStreaming("Hi", { max_tokens: 50 }).getReader();
      await reader.read();
      const during = Thimble.start.snapshot;
      await reader.cancel();
      return during;
    }""")
    assert after == "waiting"
    wait_for_snapshot(page)


def test_a_worker_that_dies_leaves_the_next_one_a_snapshot(
    kept: tuple[Visitor, dict[str, Any]],
) -> None:
    visitor, first = kept
    page, answer = visitor.visit()
    worker = page.workers[0]
    worker.evaluate("() => setTimeout(() => { throw new Error('boom'); })")
    page.wait_for_function("""async () => {
      const { Thimble } = await import("/thimble.js");
      return (await Thimble.availability()) === "downloadable";
    }""")
    again = page.evaluate(WRITE)
    assert again["start"]["from"] == "snapshot"
    assert again["text"] == first["text"] == answer["text"]
    page.close()


def test_a_browser_without_simd_is_told_so(context: BrowserContext) -> None:
    context.add_init_script("WebAssembly.validate = () => false;")
    page = context.new_page()
    page.goto("/")
    page.get_by_role("alert").get_by_text("SIMD").wait_for()
    answer = page.evaluate("async () => (await import('/thimble.js')).Thimble.availability()")
    assert answer == "unavailable"
