"""The page without a server in Firefox and WebKit, after one visit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.browser import drivers
from tests.browser.drivers import Tab
from tests.browser.engines import other_engines
from tests.browser.places import Place
from tests.browser.test_offline import ALL_KEPT

OPENED = """async () => {
  const isReady = () => document.getElementById("metrics")?.hidden === false;
  while (!isReady()) await new Promise((next) => setTimeout(next, 50));
}"""

WRITTEN = """async () => {
  document.getElementById("write").click();
  const outcome = document.getElementById("outcome");
  while (!outcome.textContent.includes("token")) await new Promise((next) => setTimeout(next, 50));
  return document.getElementById("written").textContent;
}"""

MAY_KEEP = """async () => {
  if (!navigator.serviceWorker) return "it has no service workers here";
  const asked = caches.open("try").then(() => caches.delete("try"));
  return asked.then(() => "", (error) => `it keeps nothing here (${error.name})`);
}"""

Start = Callable[[Path], AbstractContextManager[Tab]]


@other_engines(drivers.firefox_tab, drivers.webkit_tab)
def test_after_one_visit_other_engines_need_no_server(
    start: Start, site: Path, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    place = Place(site, tmp_path / "site").start()
    try:
        with start(tmp_path / "home") as tab:
            tab.open(f"{place.address}/#panel=write")  # by a link, so that no text writes itself
            tab.evaluate(OPENED)
            if reason := tab.evaluate(MAY_KEEP):
                pytest.skip(f"this browser, driven like this, can keep no page: {reason}")
            first = tab.evaluate(WRITTEN)
            assert first
            tab.evaluate(ALL_KEPT)
            place.end()
            tab.reload()
            tab.evaluate(OPENED)
            assert tab.evaluate("async () => navigator.serviceWorker.controller !== null")
            assert tab.evaluate(WRITTEN) == first
    finally:
        place.end()
