"""Offline use taken back by the site's owner: what visitors get who have been here before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.drivers import Tab, chromium_tab
from tests.browser.places import Place
from tests.browser.test_offline import ALL_KEPT
from tests.browser.test_offline_engines import OPENED, WRITTEN
from thimble.hosting import precache

GONE = """async () => {
  const kept = async () => (await caches.keys()).some((name) => name.startsWith("thimble-app"));
  while ((await navigator.serviceWorker.getRegistration()) || (await kept())) {
    await new Promise((next) => setTimeout(next, 50));
  }
}"""

# Whether a service worker has answered for the page, and whether its model is still here.
LOADED = """async () => {
  const [{ workerStart }] = performance.getEntriesByType("navigation");
  return [workerStart > 0, (await caches.keys()).includes("thimble-models")];
}"""

# What the panel says of the page's files, once that is what is to be seen.
SAID = """async () => {
  location.hash = "panel=machine";
  const kinds = document.getElementById("kinds");
  while (!kinds.textContent.includes("switched offline use off")) {
    await new Promise((next) => setTimeout(next, 50));
  }
  return kinds.querySelector("li").textContent;
}"""


@pytest.fixture
def place(site: Path, tmp_path: Path) -> Iterator[Place]:
    made = Place(site, tmp_path / "site").start()
    yield made
    made.end()


@pytest.fixture
def kept(place: Place, tmp_path: Path) -> Iterator[Tab]:
    """A visitor's tab, with all of the page kept."""
    (tmp_path / "home").mkdir()
    with chromium_tab(tmp_path / "home") as tab:
        tab.open(place.address)
        tab.evaluate(OPENED)
        tab.evaluate(ALL_KEPT)
        yield tab


def again(place: Place) -> None:
    """Let the server find what has changed."""
    place.end()
    place.start()


def test_a_broken_page_is_gone_at_the_second_load_and_can_be_mended(
    place: Place, kept: Tab
) -> None:
    """A file is copied over the service worker: that is all."""
    right = (place.folder / precache.NAME).read_bytes()
    first = kept.evaluate(WRITTEN)
    place.write(precache.NAME, (place.folder / precache.WITHDRAWN).read_bytes())
    again(place)
    kept.reload()
    kept.evaluate(OPENED)
    assert kept.evaluate(LOADED)[0]  # what was kept has answered, and meanwhile has been taken away
    kept.evaluate(GONE)
    assert kept.evaluate(WRITTEN) == first  # an open tab goes on
    for _ in range(2):
        kept.reload()
        kept.evaluate(OPENED)
        assert kept.evaluate(LOADED) == [False, True]
        assert kept.evaluate(WRITTEN) == first
    assert "Page, panels" in kept.evaluate(SAID)
    kept.evaluate(GONE)

    place.write(precache.NAME, right)
    again(place)
    kept.reload()
    kept.evaluate(OPENED)
    kept.evaluate(ALL_KEPT)
    place.end()
    kept.reload()
    kept.evaluate(OPENED)
    assert kept.evaluate(LOADED) == [True, True]


def test_a_site_that_wants_no_offline_use_gets_none(place: Place, kept: Tab) -> None:
    """As `tools.build_site --no-offline` makes it."""
    withdrawn = {**place.build(), "offline": False}
    place.write("build.json", json.dumps(withdrawn).encode())
    place.write(precache.NAME, (place.folder / precache.WITHDRAWN).read_bytes())
    again(place)
    kept.reload()
    kept.evaluate(OPENED)
    kept.evaluate(GONE)
    kept.reload()
    kept.evaluate(OPENED)
    assert kept.evaluate(LOADED) == [False, True]
    assert "Page, panels" in kept.evaluate(SAID)
    asked = place.answered().count(f"/{precache.NAME}")
    kept.reload()
    kept.evaluate(OPENED)
    kept.evaluate(SAID)
    assert place.answered().count(f"/{precache.NAME}") == asked  # nothing is registered any more
