/**
 * A bare `loadPyodide()`: what any page with Python in it waits for. With Pyodide's files as npm has
 * them, or with `own=1` with the ones that our site has made of them.
 */

import type { loadPyodide } from "../../web/node_modules/pyodide/pyodide";
import type { Start } from "./start";
import { now } from "./start";

async function start(): Promise<Start> {
  const stages: Record<string, number> = { script: now() };
  let path = "/assets/bench/pyodide/";
  if (new URLSearchParams(location.search).has("own")) {
    const build = (await (await fetch("/build.json")).json()) as { pyodide: string };
    path = `/${build.pyodide}`;
  }
  const folder = new URL(path, location.href).href;
  const module = (await import(`${folder}pyodide.mjs`)) as { loadPyodide: typeof loadPyodide };
  await module.loadPyodide({ indexURL: folder });
  return { firstToken: now(), stages };
}

window.started = start();
