"""The same bits in Firefox (SpiderMonkey) and WebKit (JavaScriptCore) as natively."""

from __future__ import annotations

import base64
import inspect
import json
import queue
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import pytest

from tests import fingerprint, gradient_fingerprint
from tests.browser import station
from tests.browser.engines import other_engines
from tests.tiny_folders import converted
from tests.tiny_models import SPECS, make
from tests.vectors.record_gradients import RECORD, made

NAMES = ("f32", "f16", "q8_0", "q4_0", "head48")
ARCHITECTURES = ("gpt2", "gptneox", "gemma3", "phi3", "olmo2", "granite", "lfm2", "olmoe", "mamba2")
GRADIENTS: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))
PATIENCE = 240
"""Seconds for a browser to start Python and run them all on a small and busy machine."""

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
  const library = new Uint8Array(await (await fetch(build.library)).arrayBuffer());
  const setFetch = "import _stdlib_rest\\nlambda f: setattr(_stdlib_rest, 'fetch', f)";
  python.runPython(setFetch)((where) => python.FS.writeFile(where, library));
  for (const what of ["fingerprint", "gradient_fingerprint"]) {
    python.runPython(await (await fetch(`${what}.py`)).text());
    for (const [name, data] of Object.entries(await (await fetch(`${what}.json`)).json())) {
      python.globals.set("data", Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
      found[`${what} ${name}`] = python.runPython("fingerprint(data.to_bytes())");
    }
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
    models |= {name: converted(name, "q8_0") for name in ARCHITECTURES}
    files = {
        **_work("fingerprint", fingerprint, models),
        **_work(
            "gradient_fingerprint", gradient_fingerprint, {name: made(name) for name in GRADIENTS}
        ),
    }
    place = station.Station(site, PAGE, files)
    try:
        with start(place.address, tmp_path):
            found = place.found.get(timeout=PATIENCE)
    except queue.Empty:
        pytest.fail(f"the browser did not answer within {PATIENCE} s")
    finally:
        place.close()
    native = {name: fingerprint.fingerprint(data) for name, data in models.items()}
    assert found == {
        **{f"fingerprint {name}": bits for name, bits in native.items()},
        **{f"gradient_fingerprint {name}": bits for name, bits in GRADIENTS.items()},
    }


def _work(name: str, hashed: ModuleType, models: dict[str, bytes]) -> dict[str, bytes]:
    """A module that the page runs, and the models that it runs it over."""
    encoded = {model: base64.b64encode(data).decode() for model, data in models.items()}
    return {
        f"{name}.py": inspect.getsource(hashed).encode(),
        f"{name}.json": json.dumps(encoded).encode(),
    }
