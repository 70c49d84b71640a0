// Compiles the modules that the engine needs to start, with the Python that runs in the page.
//
// node stdlib.mjs PYODIDE WHEEL OUT
//
// Which modules those are is not written down: Pyodide starts, installs and imports the engine as
// the worker does, and what is there then is what a visitor needs. Writes OUT/PATH.pyc.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [pyodideDir, wheel, out] = process.argv.slice(2).map((path) => resolve(path));
const { loadPyodide } = await import(pathToFileURL(`${pyodideDir}/pyodide.mjs`).href);

// A fixed hash seed: the order of set constants is part of the bytecode. No columns in it: they are
// a third of it, and underline words in source lines that the archive does not have.
const env = { PYTHONHASHSEED: "0", PYTHONNODEBUGRANGES: "1" };
const pyodide = await loadPyodide({ indexURL: `${pyodideDir}/`, env });
pyodide.FS.mkdirTree("/out");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: out }, "/out");
pyodide.FS.writeFile("/engine.whl", readFileSync(wheel));
pyodide.runPython(`
import sys, zipfile

with zipfile.ZipFile("/engine.whl") as wheel:
    wheel.extractall("/engine")
sys.path.append("/engine")
import thimble.browser, thimble.chat, datetime, importlib.metadata
started = sorted(sys.modules)

import importlib.util, pathlib

archive = f"/lib/python{sys.version_info.major}{sys.version_info.minor}.zip"
with zipfile.ZipFile(archive) as library:
    held = set(library.namelist())
    for name in started:
        stem = name.replace(".", "/")
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if path not in held:
                continue
            source = library.read(path)
            code = compile(source, f"{archive}/{path}", "exec", dont_inherit=True)
            # Never checked against a source (PEP 552): there is none beside it.
            flagged = importlib._bootstrap_external._code_to_hash_pyc(
                code, importlib.util.source_hash(source), False
            )
            target = pathlib.Path("/out", path).with_suffix(".pyc")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(flagged)
`);
process.exit(0);
