// Bundles the unit tests of the front end for Node: node test.mjs OUT
//
// A test is web/tests/NAME.test.ts; `node --test OUT` runs them all. They are of modules that know
// no page: what does is proved in a browser (tests/browser).

import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const tests = join(dirname(fileURLToPath(import.meta.url)), "tests");

await esbuild.build({
  entryPoints: readdirSync(tests).filter((name) => name.endsWith(".test.ts")).map((name) => join(tests, name)),
  outdir: process.argv[2],
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "es2022",
  logLevel: "warning",
});
