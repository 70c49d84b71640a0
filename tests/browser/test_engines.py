"""The same bits in Firefox (SpiderMonkey) and WebKit (JavaScriptCore) as natively."""

from __future__ import annotations

import base64
import inspect
import json
import queue
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests import fingerprint
from tests.browser import station
from tests.browser.engines import other_engines
from tests.tiny_models import SPECS, make

NAMES = ("f32", "f16", "q8_0", "q4_0", "head48")
PATIENCE = 240
"""Seconds for a browser to start Python and run five models on a small and busy machine."""

PAGE = """<!doctype html><title>bits</title><script type="module">
const found = {};
try {
  const build = await (await fetch("build.json")).json();
  const { loadPyodide } = await import(`./${build.pyodide}pyodide.mjs`);
  const at = (file) => new URL(file, location.href).href;
  const python = await loadPyodide({
    indexURL: at(build.pyodide),
    stdLibURL: at(build.stdlib),
    lockFileURL: at(build.lock),
  });
  python.unpackArchive(await (await fetch(build.engine)).arrayBuffer(), "wheel");
  python.runPython(await (await fetch("fingerprint.py")).text());
  for (const [name, data] of Object.entries(await (await fetch("models.json")).json())) {
    python.globals.set("data", Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
    found[name] = python.runPython("fingerprint(data.to_bytes())");
  }
} catch (error) {
  found.error = error.message ?? JSON.stringify(error);
}
await fetch("found", { method: "POST", body: JSON.stringify(found) });
</script>"""

Start = Callable[[str, Path], AbstractContextManager[None]]


@other_engines(station.firefox_at, station.webkit_at)
def test_other_engines_give_the_same_bits(start: Start, site: Path, tmp_path: Path) -> None:
    models = {name: make(SPECS[name]) for name in NAMES}
    encoded = {name: base64.b64encode(data).decode() for name, data in models.items()}
    files = {
        "fingerprint.py": inspect.getsource(fingerprint).encode(),
        "models.json": json.dumps(encoded).encode(),
    }
    place = station.Station(site, PAGE, files)
    try:
        with start(place.address, tmp_path):
            found = place.found.get(timeout=PATIENCE)
    except queue.Empty:
        pytest.fail(f"the browser did not answer within {PATIENCE} s")
    finally:
        place.close()
    assert found == {name: fingerprint.fingerprint(data) for name, data in models.items()}
