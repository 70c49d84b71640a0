/**
 * A bare `loadPyodide()`: what any page with Python in it waits for. With Pyodide's files as npm has
 * them, or with `own=1` with the ones that our site has made of them.
 */

import type { loadPyodide } from "../../web/node_modules/pyodide/pyodide";
import type { Start } from "./start";
import { now } from "./start";

async function start(): Promise<Start> {
  const stages: Record<string, number> = { script: now() };
  const from = (path: string): string => new URL(path, location.origin).href;
  const options: Parameters<typeof loadPyodide>[0] = { indexURL: from("/assets/bench/pyodide/") };
  if (new URLSearchParams(location.search).has("own")) {
    const build = (await (await fetch("/build.json")).json()) as Record<"pyodide" | "stdlib" | "lock", string>;
    options.indexURL = from(build.pyodide);
    options.stdLibURL = from(build.stdlib);
    options.lockFileURL = from(build.lock);
  }
  const module = (await import(`${options.indexURL}pyodide.mjs`)) as { loadPyodide: typeof loadPyodide };
  await module.loadPyodide(options);
  return { firstToken: now(), stages };
}

window.started = start();
