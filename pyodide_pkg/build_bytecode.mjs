// Compiles every .py file below a folder with the Python that runs in the page.
//
// node build_bytecode.mjs PYODIDE SOURCES OUT
//
// The pycs carry no time stamp and are never checked against their source (PEP 552), so the same
// sources give the same bytes, and an import reads one file.

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [pyodideDir, sources, out] = process.argv.slice(2).map((path) => resolve(path));
const { loadPyodide } = await import(pathToFileURL(`${pyodideDir}/pyodide.mjs`).href);

// A fixed hash seed: the order of set constants is part of the bytecode.
const pyodide = await loadPyodide({ indexURL: `${pyodideDir}/`, env: { PYTHONHASHSEED: "0" } });
for (const [at, path] of [["/in", sources], ["/out", out]]) {
  pyodide.FS.mkdirTree(at);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: path }, at);
}
pyodide.runPython(`
import importlib.util, pathlib, py_compile

for source in sorted(pathlib.Path("/in").rglob("*.py")):
    name = source.relative_to("/in")
    py_compile.compile(
        str(source),
        cfile=str("/out" / pathlib.Path(importlib.util.cache_from_source(str(name)))),
        dfile=str(name),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
`);
process.exit(0);
