/**
 * How Pyodide starts, with the engine's package in it: the ordinary way, or from a memory snapshot.
 *
 * A snapshot holds Python's memory only. The files of the package are put back beside it; the
 * standard library is not, since all that the engine needs of it is imported: the whole library is
 * fetched when something else is asked for (tools/stdlib_rest.py).
 */

import type { PyodideInterface, loadPyodide } from "pyodide";
import type { PyCallable } from "pyodide/ffi";
import type { Boot } from "../protocol";
import type { SavedSnapshot, Snapshot } from "./snapshot";

type Loader = typeof loadPyodide;
type LoadOptions = NonNullable<Parameters<Loader>[0]>;

const ENGINE = "thimble-lm";

/**
 * Import all that a visitor needs, so that a snapshot holds it and nothing is left for later, and
 * what Pyodide imports to install a package. tools/stdlib.mjs does the same.
 */
const IMPORT = "import thimble.browser, thimble.chat, datetime, importlib.metadata";

const INSTALL = `
def install(path):
    import sys, zipfile
    target = next(place for place in sys.path if place.endswith("site-packages"))
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(target)
    return target
install
`;

/** Every session draws numbers of its own, and what lay in the file system lies there no more. */
const AWAKE = `
import random, _stdlib_rest
random.seed()
_stdlib_rest.look_again()
`;

const SET_FETCH = `
import _stdlib_rest
lambda fetch: setattr(_stdlib_rest, "fetch", fetch)
`;

const COLLECT = `
import gc
gc.collect()
`;

/**
 * What Pyodide is going to ask for, asked for before it has come itself; and its WebAssembly, which
 * is compiled meanwhile.
 */
export class Early {
  readonly #answers = new Map<string, Promise<Response>>();
  readonly #fetch = self.fetch;
  readonly #instantiate = WebAssembly.instantiateStreaming;
  readonly #module: Promise<WebAssembly.Module>;

  constructor(wasm: string) {
    this.#module = WebAssembly.compileStreaming(this.#fetch.call(self, wasm));
    this.#module.catch(() => undefined); // told by `guard`
    self.fetch = (input, init) => {
      const url = input instanceof Request ? input.url : String(input);
      if (url === wasm) return Promise.resolve(new Response()); // nobody reads it
      const answer = this.#answers.get(url);
      this.#answers.delete(url);
      return answer ?? this.#fetch.call(self, input, init);
    };
    WebAssembly.instantiateStreaming = async (_source, imports) => {
      const module = await this.#module;
      return { module, instance: await WebAssembly.instantiate(module, imports) };
    };
  }

  send(...urls: string[]): void {
    for (const url of urls) this.answer(url, this.#fetch.call(self, url));
  }

  answer(url: string, response: Promise<Response>): void {
    response.catch(() => undefined); // whoever takes it hears of it
    this.#answers.set(url, response);
  }

  /** Without its WebAssembly, Pyodide would wait for ever. */
  async guard<Value>(start: Promise<Value>): Promise<Value> {
    start.catch(() => undefined);
    const broken = this.#module.then(() => start);
    return Promise.race([start, broken]);
  }

  close(): void {
    self.fetch = this.#fetch;
    WebAssembly.instantiateStreaming = this.#instantiate;
  }
}

async function pyodideLoader(folder: string): Promise<Loader> {
  // Pyodide asks for its second module when the first one runs; both can come at the same time.
  import(`${folder}pyodide.asm.mjs`).catch(() => undefined);
  return ((await import(`${folder}pyodide.mjs`)) as { loadPyodide: Loader }).loadPyodide;
}

function options(boot: Boot): LoadOptions {
  return {
    indexURL: boot.pyodide,
    packageBaseUrl: boot.pyodide,
    stdLibURL: boot.stdlib,
    // What Python prints is for developers.
    stdout: (line) => console.debug(line),
    stderr: (line) => console.warn(line),
    // JSON's null and Python's None are one thing here.
    convertNullToNone: true,
  };
}

/** Let imports find the part of the standard library that is not here; the worker waits for it. */
function offerWholeLibrary(pyodide: PyodideInterface, url: string): void {
  const setFetch = pyodide.runPython(SET_FETCH) as PyCallable;
  setFetch((path: string) => {
    const request = new XMLHttpRequest();
    request.open("GET", url, false);
    request.responseType = "arraybuffer";
    request.send();
    if (request.status !== 200) throw new Error(`${url} was answered with ${request.status}`);
    pyodide.FS.writeFile(path, new Uint8Array(request.response as ArrayBuffer));
  });
  setFetch.destroy();
}

/** Unpack the engine; where it lies then. */
function install(pyodide: PyodideInterface, wheel: ArrayBuffer): string {
  const path = "/tmp/engine.whl";
  pyodide.FS.writeFile(path, new Uint8Array(wheel));
  const unpack = pyodide.runPython(INSTALL) as PyCallable;
  const target = unpack(path) as string;
  unpack.destroy();
  pyodide.FS.unlink(path);
  return target;
}

async function fetchBytes(url: string): Promise<ArrayBuffer> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} was answered with ${response.status}`);
  return response.arrayBuffer();
}

/** The ordinary start: everything comes by the network or from the browser's cache. */
export async function startOrdinary(boot: Boot, early: Early): Promise<PyodideInterface> {
  early.send(boot.stdlib, boot.lock);
  const wheel = fetchBytes(boot.engine);
  wheel.catch(() => undefined);
  const load = await pyodideLoader(boot.pyodide);
  const pyodide = await load({ ...options(boot), lockFileURL: boot.lock });
  install(pyodide, await wheel);
  pyodide.loadedPackages[ENGINE] = "default channel";
  offerWholeLibrary(pyodide, boot.library);
  return pyodide;
}

/** The start from a snapshot; rejects where the snapshot is no good. */
export async function startFromSnapshot(
  boot: Boot,
  early: Early,
  saved: SavedSnapshot,
): Promise<PyodideInterface> {
  early.answer(boot.stdlib, Promise.resolve(new Response(new Uint8Array())));
  const load = await pyodideLoader(boot.pyodide);
  const pyodide = await load({
    ...options(boot),
    lockFileContents: saved.lock,
    _loadSnapshot: saved.memory,
  });
  for (const [path, bytes] of saved.files) {
    pyodide.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
    pyodide.FS.writeFile(path, bytes);
  }
  pyodide.runPython(AWAKE);
  pyodide.loadedPackages[ENGINE] = "default channel";
  offerWholeLibrary(pyodide, boot.library);
  return pyodide;
}

/** Start another interpreter, to be saved for the next visit; it has never loaded the kernels. */
export async function makeSnapshot(boot: Boot): Promise<Snapshot> {
  const wheel = fetchBytes(boot.engine);
  const lock = await (await fetch(boot.lock)).text();
  const load = await pyodideLoader(boot.pyodide);
  const pyodide = await load({ ...options(boot), lockFileContents: lock, _makeSnapshot: true });
  const target = install(pyodide, await wheel);
  pyodide.runPython(`import _stdlib_rest\n${IMPORT}`);
  pyodide.runPython(COLLECT);
  const memory = pyodide.makeMemorySnapshot() as Uint8Array<ArrayBuffer>;
  return { memory, files: [...filesBelow(pyodide, target)], lock };
}

function* filesBelow(
  pyodide: PyodideInterface,
  folder: string,
): Generator<readonly [path: string, bytes: Uint8Array<ArrayBuffer>]> {
  const { FS } = pyodide;
  for (const name of FS.readdir(folder) as string[]) {
    if (name === "." || name === "..") continue;
    const path = `${folder}/${name}`;
    if (FS.isDir((FS.stat(path) as { mode: number }).mode)) yield* filesBelow(pyodide, path);
    else yield [path, FS.readFile(path) as Uint8Array<ArrayBuffer>];
  }
}
