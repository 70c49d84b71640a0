/** Python in this worker: how it starts, and how its engine is called. */

import type { PyodideInterface } from "pyodide";
import type { PyCallable } from "pyodide/ffi";
import type { Boot, Start } from "../protocol";
import type { KernelPool } from "./pool";
import { Early, startFromSnapshot, startOrdinary } from "./pyodide";
import { readSnapshot, removeSnapshot } from "./snapshot";

/** An error that the engine reported; the worker lives on. */
export class EngineError extends Error {
  constructor(kind: string, message: string) {
    super(message);
    this.name = kind;
  }
}

/** The interpreter is gone: a trap in WebAssembly, or no memory left. */
export class CrashError extends Error {
  override name = "CrashError";
}

export type PythonMethod =
  | "use_pool" | "begin_load" | "feed" | "finish" | "cancel_load" | "drop" | "models"
  | "open" | "clone" | "destroy" | "tokenize" | "start" | "run" | "stop" | "logits_hash"
  | `${Facet}.${string}`;

/** Parts of the engine that Python imports when they are first asked; see thimble/browser/. */
export type Facet = "debug" | "console" | "read" | "train" | "ensemble" | "lens";

type Argument = string | number | null | Uint8Array | KernelPool;

/** Why a first visit starts without one. */
const NOT_YET = "there is no snapshot yet";

/** A restore takes a fraction of a second; one that hangs must not hang every visit from now on. */
const PATIENCE_MS = 20_000;

function inTime<Value>(value: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("it took too long")), PATIENCE_MS);
    value.then(resolve, reject).finally(() => clearTimeout(late));
  });
}

export class Python {
  readonly #call: PyCallable;

  private constructor(call: PyCallable) {
    this.#call = call;
  }

  /** Start Pyodide and the engine in it: from a snapshot, or where that fails without one. */
  static async start(boot: Boot): Promise<{ python: Python; start: Start }> {
    const early = new Early(`${boot.pyodide}pyodide.asm.wasm`);
    try {
      const fallback = await Python.#restore(boot, early);
      if (fallback instanceof Python) {
        return { python: fallback, start: { from: "snapshot", because: null } };
      }
      const python = Python.#engineOf(await early.guard(startOrdinary(boot, early)));
      // Only now: had the network been the reason, the snapshot would have stayed good.
      if (fallback !== NOT_YET) await removeSnapshot();
      return { python, start: { from: "packages", because: fallback } };
    } finally {
      early.close();
    }
  }

  /** From the snapshot of an earlier visit; without it, the reason why not. */
  static async #restore(boot: Boot, early: Early): Promise<Python | string> {
    try {
      const kept = await readSnapshot(boot.build);
      if (!kept) return NOT_YET;
      const python = Python.#engineOf(await inTime(early.guard(startFromSnapshot(boot, early, kept))));
      python.call("models"); // whatever is wrong shows here, while it can be put right
      return python;
    } catch (error) {
      // Python's errors come with a traceback; what happened is in the last line.
      const words = error instanceof Error ? error.message : String(error);
      const reason = words.trim().split("\n").at(-1) ?? "";
      console.warn(`thimble: starting without the snapshot of the last visit: ${reason}`);
      return reason;
    }
  }

  static #engineOf(pyodide: PyodideInterface): Python {
    const engine = pyodide.runPython("from thimble.browser import Engine\nEngine().call") as unknown;
    return new Python(engine as PyCallable);
  }

  /** Call a method of the engine; every answer is one JSON text. */
  call<Value>(method: PythonMethod, ...args: Argument[]): Value {
    let answer: { value: Value } | { error: [kind: string, message: string] };
    try {
      answer = JSON.parse(this.#call(method, ...args) as string) as typeof answer;
    } catch (error) {
      // The engine turns its own exceptions into answers, so this is the interpreter's end.
      throw new CrashError(error instanceof Error ? error.message : String(error));
    }
    if ("error" in answer) throw new EngineError(...answer.error);
    return answer.value;
  }
}
