// Pyodide under Node, and in it the engine with the page's kernels: reads the inputs of a batch.
//
//   node wasm.mjs PYODIDE PROGRESS NUMPY FOLDER...
//
// A line on standard input names a batch, and where in it to begin; the answer is a line of JSON.
// Which input is being read stands in the file PROGRESS, so that it is known when this one dies.

import { openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";

const [pyodide, progress, numpy, ...folders] = process.argv.slice(2);
const { loadPyodide } = await import(`file://${pyodide}/pyodide.mjs`);
const python = await loadPyodide({ indexURL: `${pyodide}/`, stdout: () => {}, stderr: console.error });
for (const [at, folder] of folders.entries()) python.mountNodeFS(`/mounted${at}`, folder);
await python.loadPackage(`file://${numpy}`, { messageCallback: () => {} });
python.globals.set("cpu_seconds", seconds);
python.runPython(`
import sys, time
sys.path[:0] = [f"/mounted{i}" for i in range(${folders.length - 1})]
time.process_time = time.perf_counter = cpu_seconds  # a busy machine makes no findings
from tests.fuzz import wasm_child
`);
const child = python.pyimport("tests.fuzz.wasm_child");
const at = openSync(progress, "r+");

/** Processor time of this process. */
function seconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name, first] = line.split(" ");
  const count = child.begin(`/mounted${folders.length - 1}/${name}`);
  const told = [];
  for (let i = Number(first); i < count; i += 1) {
    writeSync(at, Int32Array.of(i), 0, 4, 0);
    const began = seconds();
    const before = python._module.HEAPU8.length;
    const result = child.check(i);
    told.push([i, result, seconds() - began, python._module.HEAPU8.length - before]);
  }
  console.log(`told ${JSON.stringify(told)}`);
}
process.exit(0);
