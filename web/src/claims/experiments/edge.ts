/** Runs on the edge: bytes to the first token, memory, and how a visit begins that is not the first. */

import { EngineHost } from "../../api/engine";
import type { Build } from "../../api/build";
import { megabytes } from "../../ui/format";
import type { SeenRequest } from "../../protocol/claims";
import type { Bench } from "../bench";
import { PROMPT } from "../bench";
import { sizesOf } from "../files";
import { quantity } from "../report";
import type { Quantity } from "../report";
import { fetchedSoFar } from "../requests";
import type { Claim } from "./claim";
import { measured } from "./claim";

const STARTS = 3;
/** Milliseconds that the snapshot for the next visit is waited for. */
const SNAPSHOT_MS = 20_000;
/** What Pyodide is started from; `web/src/worker/pyodide.ts` fetches them. */
const PYODIDE = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm"];

type ThimbleClass = typeof import("../../thimble").Thimble;

export const claim: Claim = {
  id: "edge",
  async measure(bench: Bench) {
    const session = await bench.session();
    const memory = await session.ask((engine) => engine.claims.memory());
    const snapshot = await snapshotSaved(bench);
    const starts = await bench.take(STARTS, "Starting as on a later visit", () => start(bench));
    const from = new Set(starts.map((one) => one.from));
    const quantities = [
      quantity("start", "from an empty memory to the first token", "ms", starts.map((one) => one.milliseconds)),
      quantity("memory", "of memory: Python, engine and model", "bytes", [memory]),
    ];
    const doubts: string[] = [];
    if (from.has("packages")) {
      doubts.push(`Python started from its packages, as on a first visit, since its snapshot is ${snapshot}: wait a little and measure again.`);
    }
    const first = await firstVisit(bench, doubts);
    return measured({
      quantities: [...first, ...quantities],
      facts: { snapshot, from: [...from].join(" "), model_bytes: bench.model.bytes },
      words:
        (first[0] ? `A first visit fetches ${megabytes(first[0].median)} MB before its first token, the model included. ` : "") +
        `A later one produces its first token after ${Math.round(quantities[0]?.median ?? NaN)} ms in a new worker.`,
      doubts,
    });
  },
};

/** Files and bytes before the first token, as the server sends them; none where it does not answer. */
async function firstVisit(bench: Bench, doubts: string[]): Promise<Quantity[]> {
  const session = await bench.session();
  const theirs = await session.ask((engine) => engine.claims.fetched());
  const urls = neededFiles(bench.build, bench.model.url, [...fetchedSoFar(), ...theirs]);
  try {
    const sizes = await sizesOf(bench, urls, "Asking for the sizes of the files");
    const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
    return [
      quantity("bytes", "to the first token, on a first visit", "bytes", [total]),
      quantity("files", "fetched for it", "files", [sizes.length]),
    ];
  } catch (error) {
    bench.signal.throwIfAborted();
    const words = error instanceof Error ? error.message : String(error);
    doubts.push(`The size of a first visit could not be determined: ${words}`);
    return [];
  }
}

/**
 * What was fetched until the model was ready, in the page and its worker, and what a start from a
 * snapshot has left out of that.
 */
function neededFiles(build: Build, model: string, fetched: readonly SeenRequest[]): string[] {
  const [ready] = performance.getEntriesByName("thimble-ready");
  const until = performance.timeOrigin + (ready?.startTime ?? Infinity);
  const early = fetched.filter(({ began }) => began <= until).map(({ url }) => url);
  const page = location.href.replace(/[?#].*/s, "");
  const ordinary = [build.engine, build.stdlib, build.lock, ...PYODIDE.map((name) => build.pyodide + name)];
  const all = [page, ...early, ...ordinary, build.asset("worker.js"), model];
  const plain = all.map((url) => url.replace(/[?#].*/s, "")).filter((url) => url.startsWith(location.origin));
  // Other models than the one that is measured may have been opened first.
  return [...new Set(plain)].filter((url) => url === model || !url.endsWith(".gguf"));
}

/** A worker of its own, from its start to the first token, and how its Python started. */
async function start(bench: Bench): Promise<{ milliseconds: number; from: string }> {
  const began = performance.now();
  const host = new EngineHost(bench.build, { keepsSnapshot: false });
  const { name, url, bytes, sha256 } = bench.model;
  try {
    await host.load({ name, from: url, keep: true, bytes, sha256, kvType: "f32", encoders: false }, () => undefined, bench.signal);
    const id = await host.open(name, "{}");
    const milliseconds = await new Promise<number>((resolve, reject) => {
      host.generate(id, PROMPT, JSON.stringify({ max_tokens: 1 }), (message) => {
        if (message.type === "batch") resolve(performance.now() - began);
        else if (message.type === "failed") reject(new Error(message.error.message));
      });
    });
    return { milliseconds, from: host.start?.from ?? "packages" };
  } finally {
    host.end();
  }
}

/** Wait for the snapshot that a next visit starts from; what has become of it. */
async function snapshotSaved(bench: Bench): Promise<string> {
  const { Thimble } = (await import(new URL("../thimble.js", import.meta.url).href)) as { Thimble: ThimbleClass };
  const until = performance.now() + SNAPSHOT_MS;
  for (;;) {
    const start = Thimble.start;
    if (start?.from === "snapshot") return "saved";
    const state = start?.snapshot ?? "none";
    if (!["waiting", "making"].includes(state) || performance.now() > until) return state;
    bench.hear(NaN, "Waiting for the snapshot for the next visit");
    await new Promise((resolve) => setTimeout(resolve, 300));
    bench.signal.throwIfAborted();
  }
}
