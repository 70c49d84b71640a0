"""The same recipes train to the same bits in Chromium (V8), Firefox (SpiderMonkey) and WebKit
(JavaScriptCore) as natively; `tests/test_train_receipts.py` has the hash."""

from __future__ import annotations

import inspect
import queue
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests import train_fingerprint
from tests.browser import station
from tests.browser.engines import other_engines
from tests.test_train_receipts import FINGERPRINT

PATIENCE = 240
"""Seconds for a browser to start Python and train three tiny models on a small, busy machine."""

PAGE = """<!doctype html><title>training</title><script type="module">
let found;
try {
  const build = await (await fetch("build.json")).json();
  const { loadPyodide } = await import(`./${build.pyodide}pyodide.mjs`);
  const python = await loadPyodide({
    indexURL: build.pyodide, stdLibURL: build.library, lockFileURL: build.lock,
  });
  python.unpackArchive(await (await fetch(build.engine)).arrayBuffer(), "wheel");
  const source = await (await fetch("train_fingerprint.py")).text();
  found = python.runPython(`${source}\\ntrain_fingerprint()`);
} catch (error) {
  found = String(error);
}
await fetch("found", { method: "POST", body: JSON.stringify(found) });
</script>"""

Start = Callable[[str, Path], AbstractContextManager[None]]


def trained_at(site: Path, start: Callable[[str], AbstractContextManager[None]]) -> str:
    """What a browser that `start` sends to an address trains to."""
    files = {"train_fingerprint.py": inspect.getsource(train_fingerprint).encode()}
    place = station.Station(site, PAGE, files)
    try:
        with start(place.address):
            found: str = place.found.get(timeout=PATIENCE)
            return found
    except queue.Empty:
        pytest.fail(f"the browser did not answer within {PATIENCE} s")
    finally:
        place.close()


def test_chromium_trains_to_the_same_bits(chromium: Browser, site: Path) -> None:
    @contextmanager
    def start(address: str) -> Iterator[None]:
        page = chromium.new_page()
        page.goto(address)
        yield
        page.close()

    assert trained_at(site, start) == FINGERPRINT


@other_engines(station.firefox_at, station.webkit_at)
def test_other_engines_train_to_the_same_bits(start: Start, site: Path, tmp_path: Path) -> None:
    assert trained_at(site, lambda address: start(address, tmp_path)) == FINGERPRINT
