/** Easier to deploy: every file that makes it work, and the one tag, tried. */

import { megabytes, plural } from "../../ui/format";
import { tagSnippet } from "../../widget/snippet";
import type { Bench } from "../bench";
import { sizesOf } from "../files";
import { quantity } from "../report";
import type { Claim } from "./claim";
import { measured } from "./claim";

const TRIES = 3;
/** Milliseconds that a tag may take: its model is in memory already. */
const PATIENCE_MS = 30_000;
/** How the list begins that the build puts into the service worker (tools/offline.py). */
const LIST = "self.THIMBLE_PRECACHE=";

interface Listing {
  readonly entries: readonly { readonly url: string }[];
}

export const claim: Claim = {
  id: "deploy",
  async measure(bench: Bench) {
    const site = new URL("../", import.meta.url);
    const urls = await filesOf(site, bench);
    const sizes = await sizesOf(bench, urls, "Asking for every file");
    const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
    const kinds = new Map<string, number>();
    for (const { url, bytes } of sizes) kinds.set(kindOf(url), (kinds.get(kindOf(url)) ?? 0) + bytes);
    const tag = tagSnippet(site, {
      model: bench.model.name, prompt: "", "max-tokens": null, temperature: null, "top-p": null,
      seed: null, reveal: "auto", readonly: false,
    });
    const tags = await bench.take(TRIES, "Trying the tag", () => tryTag(site, bench));
    return measured({
      quantities: [
        quantity("files", "on any web server, no program", "files", [sizes.length]),
        quantity("bytes", "in all, models and texts included", "bytes", [total]),
        quantity("tag", "from the tag to a ready model", "ms", tags),
      ],
      facts: { tag },
      series: [{
        name: "What they are", kind: "dots", x: "kind", y: "megabytes", digits: 2,
        points: [...kinds].toSorted((a, b) => b[1] - a[1]).map(([kind, bytes]) => [kind, bytes / 1e6] as const),
      }],
      words: `${plural(sizes.length, "file")}, ${megabytes(total)} MB as transferred; each was requested and is there. The tag was added to this page, and its model got ready.`,
    });
  },
};

/** Everything that the build lists: what browsers keep, and the models. */
async function filesOf(site: URL, bench: Bench): Promise<string[]> {
  const text = await (await fetch(new URL("service-worker.js", site), { signal: bench.signal })).text();
  if (!text.startsWith(LIST)) throw new Error("this site has no list of its files for browsers");
  const { entries } = JSON.parse(text.slice(LIST.length, text.indexOf(";\n"))) as Listing;
  const models = bench.build.models.map(({ name }) => bench.build.model(name)?.url ?? "");
  const files = [...entries.map(({ url }) => new URL(url, site).href), ...models];
  return [...new Set([...files, new URL("service-worker.js", site).href])];
}

const KINDS: readonly (readonly [RegExp, string])[] = [
  [/\.gguf$/, "Models"],
  [/pyodide\.|python_stdlib/, "Python"],
  [/numpy|\.whl$/, "Packages"],
  [/\.wasm$/, "Kernels"],
  [/\.txt$/, "Texts"],
];

function kindOf(url: string): string {
  return KINDS.find(([pattern]) => pattern.test(url))?.[1] ?? "Page";
}

/** Put the tag into this page, out of sight, until it says that it can write. */
async function tryTag(site: URL, bench: Bench): Promise<number> {
  const began = performance.now();
  await import(new URL("widget.js", site).href);
  const element = document.createElement("thimble-lm");
  element.setAttribute("model", bench.model.name);
  element.setAttribute("loading", "eager"); // out of sight it would wait
  element.inert = true;
  element.className = "claims-tag";
  try {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("the tag did not load its model")), PATIENCE_MS);
      element.addEventListener("load", () => {
        clearTimeout(late);
        resolve();
      });
      element.addEventListener("error", () => {
        clearTimeout(late);
        reject(new Error("the tag could not load its model"));
      });
      document.querySelector("[data-panel=claims]")?.append(element);
    });
    return performance.now() - began;
  } finally {
    element.remove();
  }
}
