"""The same model gives the same bits in the browser as natively."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, Page, Route

from tests import fingerprint, gradient_fingerprint
from tests.conftest import BROWSER_TIMEOUT_MS
from tests.tiny_blocks import make_blocks
from tests.tiny_folders import converted
from tests.tiny_models import SPECS, make
from tests.vectors.record_gradients import RECORD, made
from thimble.tensor_types import LOOKED_UP

ROOT = Path(__file__).parents[2]
GRADIENTS: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))
SHIPPED = sorted((ROOT / "web" / "models").glob("*.gguf"))

# A page of the test's own: Pyodide as the site ships it, without the product's worker around it.
PAGE = "<!doctype html><title>bits</title>"
START = """async () => {
  const build = await (await fetch("/build.json")).json();
  const { loadPyodide } = await import(`/${build.pyodide}pyodide.mjs`);
  globalThis.python = await loadPyodide({
    indexURL: `/${build.pyodide}`,
    stdLibURL: `/${build.stdlib}`,
    lockFileURL: `/${build.lock}`,
  });
  const wheel = await (await fetch(`/${build.engine}`)).arrayBuffer();
  python.unpackArchive(wheel, "wheel");
  const library = new Uint8Array(await (await fetch(`/${build.library}`)).arrayBuffer());
  const setFetch = "import _stdlib_rest\\nlambda f: setattr(_stdlib_rest, 'fetch', f)";
  python.runPython(setFetch)((where) => python.FS.writeFile(where, library));
}"""
RUN = """async ([source, data, variant, kvType]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  python.globals.set("data", bytes);
  python.runPython(`import thimble.kernel\\nthimble.kernel.choose_variant("${variant}")`);
  return python.runPython(source + `\\nfingerprint(data.to_bytes(), kv_type="${kvType}")`);
}"""


@pytest.fixture(scope="module")
def python(chromium: Browser, server: str) -> Iterator[Page]:
    """A page with the engine in it."""

    def blank(route: Route) -> None:
        route.fulfill(body=PAGE, content_type="text/html")

    page = chromium.new_page()
    page.set_default_timeout(BROWSER_TIMEOUT_MS)
    page.route("**/bits-test", blank)
    page.goto(f"{server}/bits-test")
    page.evaluate(START)
    yield page
    page.close()


def in_page(
    page: Page, data: bytes, variant: str = "base", kv_type: str = "f32",
    hashed: ModuleType = fingerprint,
) -> str:  # fmt: skip
    source = inspect.getsource(hashed)
    arguments = [source, base64.b64encode(data).decode(), variant, kv_type]
    found: str = page.evaluate(RUN, arguments)
    return found


@pytest.mark.parametrize("name", ["f32", "f16", "bf16", "q8_0", "q4_0", "spm", "head48"])
def test_random_models_give_the_same_bits(python: Page, name: str) -> None:
    data = make(SPECS[name])
    assert in_page(python, data) == fingerprint.fingerprint(data)


@pytest.mark.parametrize(
    "name",
    [
        "gemma3",
        "gptneox",
        "lfm2",
        "olmoe",
        "mamba2",
        "granitehybrid-moe",
        "qwen35",
        "llama4-tempered",
    ],
)
def test_other_architectures_give_the_same_bits(python: Page, name: str) -> None:
    data = converted(name, "q8_0")
    assert in_page(python, data) == fingerprint.fingerprint(data)


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_keys_and_values_that_take_less_give_the_same_bits(python: Page, kv_type: str) -> None:
    data = make(SPECS["head48"])
    found = in_page(python, data, kv_type=kv_type)
    assert found == fingerprint.fingerprint(data, kv_type=kv_type)


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "head48"])
def test_relaxed_simd_changes_no_bit(python: Page, name: str) -> None:
    data = make(SPECS[name])
    assert in_page(python, data, "relaxed") == fingerprint.fingerprint(data)


@pytest.mark.parametrize("variant", ["base", "relaxed"])
@pytest.mark.parametrize("name", ["Q4_K_M", "UD", *(kind.name for kind in LOOKED_UP)])
def test_every_encoding_gives_the_same_bits(python: Page, name: str, variant: str) -> None:
    data = make_blocks(name)
    assert in_page(python, data, variant) == fingerprint.fingerprint(data)


@pytest.mark.parametrize("variant", ["base", "relaxed"])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_have_the_same_bits(python: Page, name: str, variant: str) -> None:
    """Those that were recorded natively, with any number of threads (`tests/test_backward.py`)."""
    found = in_page(python, made(name), variant, hashed=gradient_fingerprint)
    assert found == GRADIENTS[name]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_models_give_the_same_bits(python: Page, path: Path) -> None:
    data = path.read_bytes()
    assert in_page(python, data) == fingerprint.fingerprint(data)


def test_stories260k_gives_the_same_bits(python: Page, shared: Path) -> None:
    data = (shared / "models" / "stories260K.gguf").read_bytes()
    assert in_page(python, data) == fingerprint.fingerprint(data)
