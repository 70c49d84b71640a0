// Bundles the npm package's modules: node npm/build.mjs OUT
//
// index.js is the API, widget.js and task.js the elements; what they share is in a module of its own, so that a
// page that has both has one engine. Packages of others stay imports, to be shared with what else
// uses them. A bundler of somebody else's goes over all of it again: nothing is minified, and
// `import.meta.url`, which would be that bundle's, is `undefined`.
//
// On standard output stand the names of the imported packages as JSON.

import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { styleText } from "../style-text.mjs";

const web = dirname(dirname(fileURLToPath(import.meta.url)));

/** The widget takes the API from the bundle, not from beside itself. */
const place = {
  name: "place",
  setup(build) {
    build.onResolve({ filter: /^\.\/place$/ }, () => ({ path: join(web, "src/npm/place.ts") }));
  },
};

const { metafile } = await esbuild.build({
  absWorkingDir: web,
  entryPoints: {
    index: "src/thimble.ts", widget: "src/widget.ts", task: "src/task-widget.ts", openai: "src/openai.ts",
    "language-model": "src/language-model.ts", ai: "npm/ai.ts", langchain: "npm/langchain.ts",
  },
  outdir: resolve(process.argv[2]),
  chunkNames: "shared-[hash]",
  bundle: true,
  splitting: true,
  packages: "external",
  format: "esm",
  target: "es2022",
  define: { "import.meta.url": "undefined" },
  plugins: [place, styleText],
  metafile: true,
  logLevel: "warning",
  charset: "utf8",
});
const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
const packages = imports
  .filter(({ external }) => external)
  .map(({ path }) => path.split("/", path.startsWith("@") ? 2 : 1).join("/"));
console.log(JSON.stringify([...new Set(packages)].sort()));
