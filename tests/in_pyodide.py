"""Code run in the page's own Python: Pyodide, under Node, with the engine's sources beside it.

    answer = run("import json, thimble.chat; json.dumps(thimble.chat.ROLES)")

The code's last expression is JSON. Where the kernels are asked for they are the page's side module,
and so whatever is computed runs in 32 bits.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import pytest

import build_bytecode
import build_kernels
from tools import pyodide_core
from tools.fingerprint import BUILD, files_below, fingerprint, is_fresh, remember

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 600

SCRIPT = """
import { readFileSync } from "node:fs";
const [pyodide, code, ...mounts] = process.argv.slice(1);
const { loadPyodide } = await import(`file://${pyodide}/pyodide.mjs`);
const python = await loadPyodide({ indexURL: `${pyodide}/` });
for (const [at, folder] of mounts.entries()) python.mountNodeFS(`/mounted${at}`, folder);
python.runPython(`import sys; sys.path[:0] = [f"/mounted{i}" for i in range(${mounts.length})]`);
try {
  console.log("\\nanswer:" + python.runPython(readFileSync(code, "utf8")));
} catch (error) {
  console.log(`it failed: ${error}`);  // Node would show the line of Pyodide's, which is all of it
}
process.exit(0);
"""


@functools.cache
def wasm_kernels() -> Path:
    """The folder with the page's kernels, compiled when a source has changed."""
    folder = BUILD / "cache" / "wasm-kernels"
    sources = [*files_below(build_kernels.SOURCES), Path(build_kernels.__file__)]
    if not is_fresh(folder / ".inputs", fingerprint(sources)):
        build_kernels.build(build_kernels.target("wasm"), folder)
        remember(folder / ".inputs", fingerprint(sources))
    return folder


def run(
    code: str, *, folder: Path | None = None, kernels: bool = False, timeout: float | None = TIMEOUT
) -> Any:
    """The answer of Python code in Pyodide; `folder`'s files lie below /mounted1.

    Raises AssertionError with what Pyodide said where it fails or dies.
    """
    node = build_bytecode.find_node()
    if node is None:
        pytest.skip("needs Node")
    with tempfile.TemporaryDirectory() as scratch:
        engine = Path(scratch) / "engine"
        unneeded = shutil.ignore_patterns("__pycache__", "_kernels*")
        shutil.copytree(ROOT / "pyodide_pkg" / "thimble", engine / "thimble", ignore=unneeded)
        for package in (jinja2, markupsafe):
            source = Path(str(package.__file__)).parent
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
            shutil.copytree(source, engine / package.__name__, ignore=ignored)
        if kernels:
            for library in wasm_kernels().glob("_kernels*"):
                shutil.copy(library, engine / "thimble" / library.name)
        written = Path(scratch) / "code.py"
        written.write_text(code, encoding="utf-8")
        command = [node, "--input-type=module", "-e", SCRIPT, "--", str(pyodide_core.NPM)]
        command += [str(written), str(engine), *([str(folder)] if folder else [])]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert "\nanswer:" in ran.stdout, (ran.stdout + ran.stderr)[-3000:]
    return json.loads(ran.stdout.rpartition("\nanswer:")[2])
