"""Code in the console ends with the visit: twenty ways to outlive it, and none does."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.conftest import new_visitor
from tests.browser.test_python import Panel, new_panel
from tests.conftest import ROOT

PROTOCOL = ROOT / "web" / "src" / "protocol" / "core.ts"

# Each is Python that tries to leave something on the machine, or to get at what would let it. It
# ends by `reached(what)` where it got that far; what it raises on the way is how it should end.
WAYS = {
    "caches": "js.caches.open('evil')",
    "caches of self": "js.self.caches.open('evil')",
    "caches by reflection": "js.Reflect.get(js.globalThis, 'caches').open('evil')",
    "caches by prototypes": """
place = js.globalThis
while place:
    found = js.Object.getOwnPropertyDescriptor(place, 'caches')
    if found: reached(found.get)
    place = js.Object.getPrototypeOf(place)
raise AttributeError('caches')
""",
    "its interface": "js.CacheStorage.prototype.open",
    "indexedDB": "js.indexedDB.open('evil')",
    "private files": "js.navigator.storage.getDirectory()",
    "private files by prototypes": "js.FileSystemDirectoryHandle.prototype.getFileHandle",
    "storage buckets": "js.navigator.storageBuckets.open('evil')",
    "old file system": "js.webkitRequestFileSystemSync(0, 1024)",
    "old file system, later": "js.webkitRequestFileSystem(0, 1024)",
    "cookies": "js.cookieStore.set('evil', '1')",
    "locks": "js.navigator.locks.request('thimble-snapshot', lambda lock: None)",
    "service workers": "js.navigator.serviceWorker.register('/service-worker.js')",
    "shared workers": "js.SharedWorker.new('/assets/worker.js')",
    "channels to other tabs": "js.BroadcastChannel.new('thimble')",
    "old scripts": "js.importScripts('/service-worker.js')",
    "eval": "js.eval('self.caches')",
    "a function from text": "js.Function.new('return self.caches')()",
    "run_js": "import pyodide.code; pyodide.code.run_js('self.caches')",
    "Emscripten's IndexedDB": """
import pyodide_js
fs = pyodide_js.FS
fs.mkdir('/evil')
fs.mount(fs.filesystems.IDBFS, js.Object.new(), '/evil')
fs.syncfs(False, lambda error: None if error else reached(error))
raise AttributeError('indexedDB')
""",
}

TRY = """
import js
def reached(what):
    raise SystemExit("REA" + "CHED")
{way}
"""

# What a visit has left: everything in any storage, by name and size.
LEFT = """async () => {
  const left = [];
  for (const name of await caches.keys()) {
    for (const { url } of await (await caches.open(name)).keys()) left.push(`${name} ${url}`);
  }
  const root = await navigator.storage.getDirectory();
  for await (const name of root.keys()) left.push(`file ${name}`);
  for (const { name } of await indexedDB.databases()) left.push(`database ${name}`);
  const workers = await navigator.serviceWorker.getRegistrations();
  left.push(...workers.map(({ active }) => `worker ${active?.scriptURL}`));
  return left.filter((one) => /evil/.test(one)).concat(document.cookie ? ["cookie"] : []);
}"""


@pytest.fixture(scope="module")
def panel(visitor: BrowserContext) -> Panel:
    return new_panel(visitor)


@pytest.mark.parametrize("way", WAYS)
def test_code_reaches_nothing_that_outlives_the_visit(panel: Panel, way: str) -> None:
    log = panel.run(TRY.format(way=WAYS[way].strip()))
    expect(log).to_contain_text(re.compile("Error"))
    expect(log).not_to_contain_text("REACHED")
    assert panel.page.evaluate(LEFT) == []


# Workers of code's own: of a script that is data, and of the engine's own script, which has a
# storage and is ordered to keep a snapshot that is made of other files.
WORKERS = """
import js
from pyodide.ffi import create_proxy, to_js
def words(**values):
    return js.Object.fromEntries(to_js([list(pair) for pair in values.items()]))
heard = []
def start(script):
    worker = js.Worker.new(script, words(type="module"))
    worker.onmessage = create_proxy(lambda event: heard.append(str(js.JSON.stringify(event.data))))
    worker.onerror = create_proxy(lambda event: heard.append("refused"))
    return worker
data = start("data:text/javascript,postMessage(typeof caches)")
second = start(WORKER)
boot = words(protocol=PROTOCOL, build="b", pyodide="https://evil.invalid/", engine=WORKER,
             stdlib=WORKER, lock=WORKER, library=WORKER, threads=None, pyodideBytes=0,
             kernels="base", interrupt=None, firstVisit=True)
second.postMessage(words(id="1", type="APPLY", path=to_js(["keepSnapshot"]),
                         argumentList=to_js([words(type="RAW", value=boot)])))
"""


def test_a_worker_that_code_starts_is_one_of_the_site_s_own(panel: Panel) -> None:
    worker = panel.page.evaluate(
        "async () => (await (await import('/thimble.js')).Thimble.site()).asset('worker.js')"
    )
    protocol = re.search(r"PROTOCOL = (\d+)", PROTOCOL.read_text(encoding="utf-8"))
    assert protocol
    panel.run(f"WORKER = {worker!r}\nPROTOCOL = {protocol[1]}\n{WORKERS}")
    for _ in range(100):  # each run lets what has come meanwhile be heard
        answers = panel.run("print(len(heard), *heard)").text_content() or ""
        if "2 " in answers:
            break
    assert "is no part of the engine" in answers
    assert "refused" in answers


@pytest.fixture
def visit(chromium: Browser, server: str) -> Iterator[BrowserContext]:
    context = new_visitor(chromium, server)
    yield context
    context.close()


def test_a_model_is_changed_after_code_has_run(visit: BrowserContext) -> None:
    """The worker reads no storage any more: what is saved comes from the page."""
    panel = new_panel(visit)
    page = panel.page
    expect(panel.run("model.n_layers if hasattr(model, 'n_layers') else 1")).to_be_visible()
    page.evaluate("location.hash = '#panel=write'")
    page.locator("#model").select_option("names")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text(re.compile("token"))
