"""The standard library in two archives is the standard library."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

import build_bytecode
from tools import pyodide_core, stdlib

pytestmark = pytest.mark.slow

# Names to import, each on its own; what happened to each, and how often the rest was fetched.
SCRIPT = """
import { readFileSync } from "node:fs";
const [folder, lock, stdLibURL, whole, engine, restored] = process.argv.slice(1);
const { loadPyodide } = await import(`file://${folder}/pyodide.mjs`);
const lockFileContents = readFileSync(lock, "utf8");
const silent = { stdout: () => {}, stderr: () => {} };
const options = { indexURL: `${folder}/`, stdLibURL, lockFileContents, ...silent };
let pyodide;
if (restored) {
  const made = await loadPyodide({ ...options, _makeSnapshot: true });
  made.runPython("import _stdlib_rest, importlib.metadata");
  const _loadSnapshot = made.makeMemorySnapshot();
  pyodide = await loadPyodide({ ...options, stdLibURL: "/dev/null", _loadSnapshot });
  pyodide.runPython("import _stdlib_rest; _stdlib_rest.look_again()");
} else {
  pyodide = await loadPyodide(options);
}
if (engine) pyodide.FS.writeFile("/engine.whl", readFileSync(engine));
let fetches = 0;
if (whole) {
  const setFetch = "import _stdlib_rest\\nlambda f: setattr(_stdlib_rest, 'fetch', f)";
  pyodide.runPython(setFetch)((where) => {
    fetches += 1;
    if (whole === "offline") throw new Error("no network");
    pyodide.FS.writeFile(where, readFileSync(whole));
  });
}
const code = readFileSync(0, "utf8");
console.log("answer:" + JSON.stringify([JSON.parse(pyodide.runPython(code)), fetches]));
process.exit(0);
"""

IMPORT_ALL = """
import importlib, json
def attempt(name):
    try:
        importlib.import_module(name)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "imported"
json.dumps({name: attempt(name) for name in %r})
"""

# They open a browser, print a poem, or end the interpreter.
NOT_FOR_A_TEST = {"antigravity", "this"}


class Built:
    """Where the built site has what Python starts from."""

    def __init__(self, site: Path) -> None:
        build = json.loads((site / "build.json").read_text(encoding="utf-8"))
        self.folder = (site / build["pyodide"]).resolve()
        self.first, self.whole, self.wheel = (
            (site / build[name]).resolve() for name in ("stdlib", "library", "engine")
        )


@pytest.fixture(scope="module")
def built(site: Path) -> Built:
    return Built(site)


def run(
    folder: Path,
    archive: Path,
    code: str,
    whole: Path | str = "",
    engine: Path | str = "",
    *,
    restored: bool = False,
) -> tuple[Any, int]:
    """What Python code answers under Pyodide, and how often the whole library was fetched."""
    node = build_bytecode.find_node()
    assert node is not None
    lock = pyodide_core.NPM / pyodide_core.LOCK
    command = [node, "--input-type=module", "-e", SCRIPT, "--"]
    command += [str(path) for path in (folder, lock, archive, whole, engine)]
    command += ["restored" if restored else ""]
    ran = subprocess.run(command, input=code, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    answer, fetches = json.loads(ran.stdout.split("answer:")[1])
    return answer, fetches


def all_modules() -> list[str]:
    with zipfile.ZipFile(pyodide_core.NPM / stdlib.FIRST) as archive:
        names = {stdlib.module_name(name) for name in archive.namelist() if name.endswith(".py")}
    return sorted(names - NOT_FOR_A_TEST)


@pytest.mark.parametrize("restored", [False, True])
def test_every_module_imports_as_from_pyodide_s_own_library(built: Built, restored: bool) -> None:
    """Also after a restore, where not even the first archive is there."""
    code = IMPORT_ALL % (all_modules(),)
    original, _ = run(pyodide_core.NPM, pyodide_core.NPM / stdlib.FIRST, code)
    ours, fetches = run(built.folder, built.first, code, built.whole, restored=restored)
    assert {name: ours[name] for name in original if ours[name] != original[name]} == {}
    assert sum(result == "imported" for result in ours.values()) > 400
    assert fetches == 1


def test_the_engine_needs_the_first_archive_only(built: Built) -> None:
    code = """
import sys, zipfile, json
sys.path.append("/engine")
zipfile.ZipFile("/engine.whl").extractall("/engine")
import thimble.browser, thimble.chat
json.dumps("thimble.session" in sys.modules)
"""
    assert run(built.folder, built.first, code, "offline", built.wheel) == (True, 0)


def test_the_tables_of_few_encodings_are_no_part_of_a_first_visit(built: Built) -> None:
    first, wheel, whole = (
        [name for name in zipfile.ZipFile(path).namelist() if "grid_tables" in name]
        for path in (built.first, built.wheel, built.whole)
    )
    assert (first, wheel, whole) == ([], [], ["thimble/grid_tables.py"])


def test_an_import_without_a_network_says_what_is_missing(built: Built) -> None:
    code = IMPORT_ALL % (["json", "xml.dom", "not_a_module"],)
    answer, _ = run(built.folder, built.first, code, "offline")
    assert answer["json"] == "imported"
    assert "fetched when asked for" in answer["xml.dom"]
    assert "no network" in answer["xml.dom"]
    assert answer["not_a_module"] == "ModuleNotFoundError: No module named 'not_a_module'"


def test_tracebacks_show_lines_once_the_whole_library_is_there(built: Built) -> None:
    code = """
import json, linecache
before = linecache.getlines(json.__file__, json.__dict__)
import xml.dom
linecache.clearcache()
json.dumps([len(before), len(linecache.getlines(json.__file__, json.__dict__)) > 100])
"""
    answer, _ = run(built.folder, built.first, code, built.whole)
    assert answer == [0, True]
