/** Python in this worker: how it starts, and how its engine is called. */

import { transfer } from "comlink";
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
  /** Of a service, a part that Python imports when it is first asked; see thimble/browser/. */
  | `${string}.${string}`;

/** What Python calls back while it works. */
type Hear = (kind: never, text: string, words: string) => void;

/** Bytes that Python asks for: from here on, so many. */
type Read = (at: number, size: number) => Uint8Array;

/** Bytes that Python asks for: the next so many. */
type Take = (size: number) => Uint8Array;

/** Bytes that Python gives away, until it gets the answer. */
type Put = (data: LentBuffer) => void;

export type Argument = string | number | boolean | null | Uint8Array | KernelPool | Hear | Read | Take | Put;

/** Bytes as Pyodide lends them. */
export interface LentBuffer {
  getBuffer(type: "u8"): { data: Uint8Array<ArrayBuffer>; release(): void };
}

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
  readonly #pyodide: PyodideInterface;
  readonly #call: PyCallable;
  /** Bytes of the answer that Python is about to give. */
  readonly #sent: ArrayBuffer[] = [];
  /** Where the page asks for an interrupt, where it can. */
  readonly #interrupt: Int32Array | null;
  /** Whether any call may come upon a function of the visitor's own, a sampler. */
  runsVisitorsCode = false;

  private constructor(pyodide: PyodideInterface, boot: Boot) {
    this.#pyodide = pyodide;
    const start = pyodide.runPython(
      "from thimble.browser import Engine\nlambda *given: Engine(*given).call",
    ) as unknown as PyCallable;
    const send = (data: LentBuffer): void => {
      const lent = data.getBuffer("u8");
      this.#sent.push(lent.data.slice().buffer);
      lent.release();
    };
    const interrupt = boot.interrupt && new Int32Array(boot.interrupt, 0, 1);
    const stopping = boot.interrupt && new Int32Array(boot.interrupt, 4, 1);
    const stopped = stopping && ((session: number): boolean => Atomics.load(stopping, 0) === session);
    this.#call = (stopped ? start(boot.kernels, send, stopped) : start(boot.kernels, send)) as PyCallable;
    start.destroy();
    this.#interrupt = interrupt;
  }

  /** Start Pyodide and the engine in it: from a snapshot, or where that fails without one. */
  static async start(boot: Boot): Promise<{ python: Python; start: Start }> {
    const early = new Early(`${boot.pyodide}pyodide.asm.wasm`);
    try {
      const fallback = await Python.#restore(boot, early);
      if (fallback instanceof Python) {
        return { python: fallback, start: { from: "snapshot", because: null } };
      }
      const python = new Python(await early.guard(startOrdinary(boot, early)), boot);
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
      const saved = await readSnapshot(boot.build);
      if (!saved) return NOT_YET;
      const restored = await inTime(early.guard(startFromSnapshot(boot, early, saved)));
      const python = new Python(restored, boot);
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

  /** Bytes of the memory that Python, the engine and its models are in. */
  get memory(): number {
    return (this.#pyodide as unknown as { _module: { HEAPU8: Uint8Array } })._module.HEAPU8.byteLength;
  }

  /** Call a method of the engine; every answer is one JSON text, and bytes that it names. */
  call<Value>(method: PythonMethod, ...args: Argument[]): Value {
    return this.runsVisitorsCode ? this.callInterruptibly(method, ...args) : this.#ask(method, args);
  }

  /** The same for what may never end by itself: the page may interrupt it. */
  callInterruptibly<Value>(method: PythonMethod, ...args: Argument[]): Value {
    if (!this.#interrupt) return this.#ask(method, args);
    this.takeInterrupt(); // what was asked for before does not concern what comes now
    this.#pyodide.setInterruptBuffer(this.#interrupt);
    try {
      return this.#ask(method, args);
    } finally {
      // Pyodide looks for one only where there is a buffer; its type lacks the word for none.
      this.#pyodide.setInterruptBuffer(undefined as unknown as Int32Array);
    }
  }

  /** Whether an interrupt was asked for; from now on it was not. */
  takeInterrupt(): boolean {
    return this.#interrupt !== null && Atomics.exchange(this.#interrupt, 0, 0) !== 0;
  }

  /** An answer, with the bytes that were sent before it in their places; they need no copy to go on. */
  #revived(text: string): unknown {
    const sent = this.#sent.splice(0);
    if (sent.length === 0) return JSON.parse(text);
    const answer = JSON.parse(text, (_key, value: unknown) => {
      const named = typeof value === "object" && value !== null && "$bytes" in value;
      return named ? sent[value.$bytes as number] : value;
    }) as { value?: object };
    if (answer.value) transfer(answer.value, sent);
    return answer;
  }

  #ask<Value>(method: PythonMethod, args: Argument[]): Value {
    let answer: { value: Value } | { error: [kind: string, message: string] };
    try {
      const text = this.#call(method, ...args) as string;
      answer = this.#revived(text) as typeof answer;
    } catch (error) {
      if ((error as { type?: unknown }).type === "KeyboardInterrupt") {
        throw new EngineError("Interrupted", "it was interrupted");
      }
      // The engine turns its own exceptions into answers, so this is the interpreter's end.
      throw new CrashError(error instanceof Error ? error.message : String(error));
    }
    if ("error" in answer) throw new EngineError(...answer.error);
    return answer.value;
  }

  /** What can be imported that the site carries beside the engine: its package and its file. */
  offered(): ReadonlyMap<string, { readonly name: string; readonly file: string }> {
    const { packages } = this.#pyodide.lockfile;
    return new Map(
      Object.entries(packages).flatMap(([name, { imports, file_name: file }]) =>
        imports.map((one) => [one, { name, file }]),
      ),
    );
  }

  /** Load a package that the site carries; null when it is there, else what went wrong. */
  async loadPackage(name: string): Promise<string | null> {
    if (name in this.#pyodide.loadedPackages) return null;
    const errors: string[] = [];
    try {
      await this.#pyodide.loadPackage(name, {
        checkIntegrity: true, // by the digest in the lock file
        messageCallback: () => undefined,
        errorCallback: (message) => errors.push(message),
      });
    } catch (error) {
      errors.push(error instanceof Error ? error.message : String(error));
    }
    if (name in this.#pyodide.loadedPackages) return null;
    return errors.at(-1)?.split("\n")[0] ?? "for an unknown reason";
  }
}
