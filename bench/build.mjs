// Bundles the bench's pages: node build.mjs OUT
//
// The runner page holds every peer behind dynamic imports; each start page holds its own one only,
// since the time that it takes to come is what is measured.

import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const bench = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2]);

const ENTRIES = ["runner", "start-thimble", "start-wllama", "start-pyodide"];

// Files that peers fetch by themselves, served as ours are: compressed and immutable.
const FILES = [
  "@wllama/wllama/esm/wasm/wllama.wasm",
  "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
  "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
];

try {
  await esbuild.build({
    absWorkingDir: bench,
    entryPoints: ENTRIES.map((name) => `pages/${name}.ts`),
    outdir: out,
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    logLevel: "error",
    legalComments: "none",
  });
  mkdirSync(out, { recursive: true });
  for (const file of FILES) {
    copyFileSync(join(bench, "node_modules", file), join(out, file.slice(file.lastIndexOf("/") + 1)));
  }
} catch (error) {
  // What is wrong in a source has been logged with its place.
  if (!error.errors) throw error;
  process.exitCode = 1;
}
