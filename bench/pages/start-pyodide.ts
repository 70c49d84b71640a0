/** A bare `loadPyodide()` from the same files: what any page with Python in it waits for. */

import type { loadPyodide } from "../../web/node_modules/pyodide/pyodide";
import type { Start } from "./start";
import { now } from "./start";

async function start(): Promise<Start> {
  const stages: Record<string, number> = { script: now() };
  const build = (await (await fetch("/build.json")).json()) as { pyodide: string };
  const folder = new URL(`/${build.pyodide}`, location.href).href;
  const module = (await import(`${folder}pyodide.mjs`)) as { loadPyodide: typeof loadPyodide };
  await module.loadPyodide({ indexURL: folder });
  return { firstToken: now(), stages };
}

window.started = start();
