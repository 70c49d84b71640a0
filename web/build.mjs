// Bundles the front end: node build.mjs OUT
//
// Writes modules and styles with content hashes in their names to OUT/assets/, modules with stable
// names to OUT/, and on standard output a JSON object: source name → file, relative to OUT.

import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { styleText } from "./style-text.mjs";

const web = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2]);

// Entries in assets/, named by content. A new bundle is a line here; one whose source does not
// exist is skipped.
const HASHED = [
  "src/page.ts", "src/worker/worker.ts", "src/worker/thread.ts", "src/frame.ts", "src/save-model.ts",
];

// Entries that other sites name, at the root.
const STABLE = ["src/thimble.ts", "src/openai.ts", "src/language-model.ts", "src/widget.ts", "src/task-widget.ts"];

// The service worker, and what stands in its place when offline use is withdrawn. They have to lie at
// the root, and are scripts of the old kind, which every browser takes for a service worker.
const SERVICE_WORKERS = {
  "service-worker": "src/service-worker.ts",
  "service-worker.withdrawn": "src/withdrawn-worker.ts",
};

const common = {
  absWorkingDir: web,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  sourcemap: "linked",
  metafile: true,
  legalComments: "none",
  loader: { ".py": "text" },
  logLevel: "warning",
  charset: "utf8",
};

/** Source name → file below `out`, for the entries of one run of esbuild. */
function entries(result) {
  const found = {};
  for (const [file, { entryPoint }] of Object.entries(result.metafile.outputs)) {
    if (!entryPoint || file.endsWith(".map")) continue;
    const extension = file.slice(file.lastIndexOf("."));
    const source = basename(entryPoint).replace(/\.\w+$/, extension);
    found[source] = relative(out, resolve(web, file)).replaceAll("\\", "/");
  }
  return found;
}

const present = (paths) => paths.filter((path) => existsSync(join(web, path)));

async function modules(paths, options) {
  const entryPoints = present(paths);
  return entryPoints.length ? entries(await esbuild.build({ ...common, entryPoints, ...options })) : {};
}

/** `@import "./panels/*.css"`: all of a folder, so that a panel's styles are there by being there. */
const folders = {
  name: "folders",
  setup(build) {
    build.onResolve({ filter: /\/\*\.css$/ }, ({ path, resolveDir }) => ({
      path: join(resolveDir, dirname(path)), namespace: "folder",
    }));
    build.onLoad({ filter: /.*/, namespace: "folder" }, ({ path }) => {
      const names = readdirSync(path).filter((name) => name.endsWith(".css")).map((name) => basename(name, ".css"));
      const contents = names.sort().map((name) => `@import "./${name}.css";`).join("\n");
      return { contents, loader: "css", resolveDir: path };
    });
  },
};

/** The styles of the page and of a frame on other pages, each with what it imports as one file. */
async function styles() {
  const entryPoints = present(["styles/page.css", "styles/frame.css"]);
  if (!entryPoints.length) return {};
  const names = "[name].[hash]";
  const options = { entryPoints, outdir: join(out, "assets"), entryNames: names, assetNames: names };
  return entries(await esbuild.build({ ...common, ...options, plugins: [folders], sourcemap: false }));
}

try {
  const hashed = await modules(HASHED, {
    outdir: join(out, "assets"),
    entryNames: "[name].[hash]",
    chunkNames: "[name].[hash]",
    assetNames: "[name].[hash]",
    splitting: true,
  });
  const stable = await modules(STABLE, { outdir: out, entryNames: "[name]", plugins: [styleText] });
  const entryPoints = Object.entries(SERVICE_WORKERS).map(([out, source]) => ({ in: source, out }));
  await esbuild.build({ ...common, entryPoints, outdir: out, format: "iife", sourcemap: false });
  console.log(JSON.stringify({ ...hashed, ...stable, ...(await styles()) }));
} catch (error) {
  // What is wrong in a source has been logged with its place; a stack of ours would bury it.
  if (!error.errors) throw error;
  process.exitCode = 1;
}
