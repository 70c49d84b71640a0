/** Python in this worker: how it starts, and how its engine is called. */

import type { PyodideInterface, loadPyodide } from "pyodide";
import type { PyCallable } from "pyodide/ffi";
import type { KernelPool } from "./pool";

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
  | "open" | "clone" | "destroy" | "tokenize" | "start" | "run" | "stop" | "logits_hash";

type Argument = string | number | null | Uint8Array | KernelPool;

export class Python {
  readonly #call: PyCallable;

  private constructor(call: PyCallable) {
    this.#call = call;
  }

  /** Start Pyodide from the folder at `url`, and the engine in it. */
  static async start(url: string): Promise<Python> {
    const module = (await import(`${url}pyodide.mjs`)) as { loadPyodide: typeof loadPyodide };
    const pyodide: PyodideInterface = await module.loadPyodide({
      indexURL: url,
      packages: ["thimble-lm"],
      // What Python prints is for developers.
      stdout: (line) => console.debug(line),
      stderr: (line) => console.warn(line),
      // JSON's null and Python's None are one thing here.
      convertNullToNone: true,
    });
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
