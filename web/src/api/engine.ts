/** The page's one worker, seen from the page: started when needed, noticed when it dies. */

import { proxy, transfer, wrap } from "comlink";
import type {
  Boot,
  Core,
  FromRun,
  LoadProgress,
  ModelInfo,
  ModelSource,
  NoStorage,
  Prompt,
  RemoteEngine,
  Start,
  Threads,
  ToRun,
} from "../protocol";
import { PROTOCOL } from "../protocol";
import { abortable } from "./abort";
import type { Build } from "./build";
import { ThimbleError, revive } from "./errors";
import { SnapshotKeeper } from "./keeper";
import type { SnapshotState } from "./keeper";
import { bestKernels } from "./simd";
import { directives, hasOrigin, trustedScriptUrl } from "./policy";
import { isLocal, savedFile } from "../storage/models";
import { hadBefore, remember } from "./visit";

type ProgressListener = (progress: LoadProgress) => void;

/** What a model is called and where it comes from; the host knows the rest of its source. */
export type Wanted = Omit<ModelSource, "fresh" | "instead">;

/** A model on its way; several `create`s may wait for the same one. */
interface Load {
  readonly info: Promise<ModelInfo>;
  readonly listeners: Set<ProgressListener>;
  waiters: number;
  last: LoadProgress | null;
}

/** A worker of another origin is refused, but a script of ours may import it (CORS allows it). */
function startWorker(url: string): Worker {
  const options: WorkerOptions = { type: "module", name: "thimble" };
  if (new URL(url).origin === origin) return new Worker(trustedScriptUrl(url), options);
  const bootstrap = `import ${JSON.stringify(url)};`;
  if (!hasOrigin()) {
    return new Worker(trustedScriptUrl(`data:text/javascript,${encodeURIComponent(bootstrap)}`), options);
  }
  const local = URL.createObjectURL(new Blob([bootstrap], { type: "text/javascript" }));
  const worker = new Worker(trustedScriptUrl(local), options);
  // Revoked late: the worker reads it after this call has returned.
  setTimeout(() => URL.revokeObjectURL(local), 60_000);
  return worker;
}

/** More threads than this meet too often to gain. */
const MOST_THREADS = 8;

/** Only a cross-origin isolated page gets a memory to share, and in some WebKits not even that one. */
function mayShareMemory(): boolean {
  return globalThis.crossOriginIsolated && typeof SharedArrayBuffer === "function";
}

/** Threads need a memory to share. */
function threadsFor(build: Build): Threads | null {
  const count = Math.min(navigator.hardwareConcurrency, MOST_THREADS);
  if (!mayShareMemory() || count < 2) return null;
  const file = { base: "kernels.wasm", relaxed: "kernels_relaxed.wasm" }[bestKernels()];
  return { kernels: build.asset(file), script: build.asset("thread.js"), count };
}

/** Why a worker says nothing at all: its script did not come, or the page forbids it. */
function notAllowed(worker: string): string {
  const site = new URL(worker).origin;
  if (site === origin) return `the engine's worker could not be loaded from ${worker}`;
  return (
    `the engine's worker could not start: where this page has a Content-Security-Policy, it must ` +
    `allow "${directives(site)}"`
  );
}

/** The signal that Python turns into a KeyboardInterrupt. */
const SIGINT = 2;

export class EngineHost {
  readonly #worker: Worker;
  /** Shared with the worker, which hears no message while Python runs. */
  readonly #interrupt = mayShareMemory() ? new SharedArrayBuffer(8) : null;
  readonly #remote: RemoteEngine;
  readonly #crashed: Promise<never>;
  readonly #loads = new Map<string, Load>();
  readonly #loaded = new Map<string, ModelInfo>();
  /** How many sessions each model has, the ones that are being opened included. */
  readonly #sessions = new Map<string, number>();
  /** Models whose last load failed: the browser's cache may hold what was wrong. */
  readonly #failed = new Set<string>();
  readonly #keeper: SnapshotKeeper;
  /** Whether the worker has given its storage up; models that are saved then come from here. */
  #withoutStorage = false;
  #crash: (error: Error) => void = () => undefined;
  alive = true;
  /** How Python started, once it has. */
  start: Start | null = null;

  /** Two in one page need not both make the snapshot for the next visit. */
  constructor(build: Build, { keepsSnapshot = true }: { keepsSnapshot?: boolean } = {}) {
    this.#crashed = new Promise<never>((_resolve, reject) => {
      this.#crash = (error) => {
        if (!this.alive) return;
        this.alive = false;
        this.#worker.terminate();
        this.#keeper.close();
        reject(error);
      };
    });
    this.#crashed.catch(() => undefined); // each caller hears of it by its own call
    this.#worker = startWorker(build.asset("worker.js"));
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (event.message) this.#died(event.message);
      else this.#crash(new ThimbleError("StartError", notAllowed(build.asset("worker.js"))));
    });
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Partial<NoStorage> | null>) => {
      if (data?.thimble === "no storage") this.#withoutStorage = true;
    });
    this.#remote = wrap<Core>(this.#worker) as RemoteEngine;
    const { pyodide, pyodideBytes } = build;
    const firstVisit = !hadBefore(pyodide);
    const threads = threadsFor(build);
    const boot: Boot = {
      protocol: PROTOCOL, build: build.interpreter, pyodide, pyodideBytes, engine: build.engine,
      stdlib: build.stdlib, lock: build.lock, library: build.library, threads, firstVisit,
      interrupt: this.#interrupt, kernels: bestKernels(),
    };
    this.#keeper = new SnapshotKeeper(boot, () => startWorker(build.asset("worker.js")));
    this.call((engine) => engine.boot(boot)).then(
      (start) => {
        this.start = start;
        remember(pyodide);
        if (keepsSnapshot && start.from !== "snapshot") this.#keeper.ask();
      },
      // Whoever waits for a load hears it there; this worker is of no more use.
      (error: unknown) => this.#crash(revive(error)),
    );
  }

  /** Ask the worker; a worker that dies meanwhile is an answer too. */
  async call<Value>(question: (engine: RemoteEngine) => Promise<Value>): Promise<Value> {
    const release = this.#keeper.hold();
    try {
      return await Promise.race([question(this.#remote), this.#crashed]);
    } catch (error) {
      throw this.#heard(error);
    } finally {
      release();
    }
  }

  /** What has become of the snapshot for the next visit. */
  get snapshot(): SnapshotState {
    return this.#keeper.state;
  }

  /** Let the work at a session's constraint stop, or go on: messages are heard behind it only. */
  #stopWork(session: number, stops: boolean): void {
    if (!this.#interrupt) return;
    const place = new Int32Array(this.#interrupt, 4, 1);
    if (stops) Atomics.store(place, 0, session);
    else Atomics.compareExchange(place, 0, session, 0);
  }

  /** Interrupt a visitor's own code where that is possible; whether it is. */
  interrupt(): boolean {
    if (this.#interrupt) Atomics.store(new Int32Array(this.#interrupt), 0, SIGINT);
    return this.#interrupt !== null;
  }

  /** End the worker, whatever it does; the next one starts when it is asked for. */
  end(): void {
    this.#crash(new ThimbleError("CrashError", "the engine was ended"));
  }

  /** Whether there is a session, or somebody waits for a model. */
  get isUsed(): boolean {
    return this.#loads.size > 0 || [...this.#sessions.values()].some((count) => count > 0);
  }

  isLoaded(name: string): boolean {
    return this.#loaded.has(name);
  }

  isLoading(name: string): boolean {
    return this.#loads.has(name);
  }

  /** Load a model, or join whoever is loading it; an abort lets the others go on. */
  async load(
    source: Wanted,
    listener: ProgressListener,
    signal: AbortSignal | undefined,
  ): Promise<ModelInfo> {
    signal?.throwIfAborted();
    const there = this.#loaded.get(source.name);
    // What a port brings is another file, and waits to be taken.
    if (there && !(source.from instanceof MessagePort)) return there;
    const load = this.#loads.get(source.name) ?? this.#begin(source);
    load.waiters += 1;
    load.listeners.add(listener);
    if (load.last) listener(load.last);
    try {
      return await abortable(load.info, signal);
    } finally {
      load.listeners.delete(listener);
      load.waiters -= 1;
      if (load.waiters === 0 && this.#loads.get(source.name) === load) {
        this.#loads.delete(source.name);
        this.call((engine) => engine.cancelLoad(source.name)).catch(() => undefined);
      }
    }
  }

  #begin(wanted: Wanted): Load {
    const instead = this.#unused();
    const source = { ...wanted, fresh: this.#failed.has(wanted.name), instead };
    const listeners = new Set<ProgressListener>();
    const report = proxy((progress: LoadProgress) => {
      load.last = progress;
      for (const listener of listeners) listener(progress);
    });
    const info = this.#sent(source).then((sent) => this.call((engine) => engine.load(sent, report))).finally(() => {
      if (this.#loads.get(source.name) === load) this.#loads.delete(source.name);
    });
    info.then(
      (model) => {
        this.#failed.delete(source.name);
        this.#loaded.set(source.name, model);
      },
      () => this.#failed.add(source.name),
    );
    const load: Load = { info, listeners, waiters: 0, last: null };
    this.#loads.set(source.name, load);
    return load;
  }

  /** A source as the worker can read it. */
  async #sent(source: ModelSource): Promise<ModelSource> {
    const { from } = source;
    if (from instanceof MessagePort) return transfer(source, [from]);
    if (!this.#withoutStorage || from instanceof Blob) return source;
    const file = source.fresh && !isLocal(from) ? null : await savedFile(from);
    return { ...source, from: file ?? from, keep: false };
  }

  /** Models in memory that no session uses; they are no longer counted among the loaded ones. */
  #unused(): string[] {
    const unused = [...this.#loaded.keys()].filter((name) => !this.#sessions.get(name));
    for (const name of unused) this.#loaded.delete(name);
    return unused;
  }

  /** Let go of models that no session uses, which otherwise make room when the next one is loaded. */
  tidy(): void {
    for (const name of this.#unused()) this.call((engine) => engine.drop(name)).catch(() => undefined);
  }

  /** A new session on a loaded model. */
  open(model: string, defaults: string): Promise<number> {
    return this.#session(model, (engine) => engine.open(model, defaults));
  }

  /** A copy of a session. */
  clone(session: number, model: string): Promise<number> {
    return this.#session(model, (engine) => engine.clone(session));
  }

  destroy(session: number, model: string): void {
    this.#count(model, -1);
    this.call((engine) => engine.destroy(session)).catch(() => undefined);
  }

  async #session(
    model: string,
    question: (engine: RemoteEngine) => Promise<number>,
  ): Promise<number> {
    this.#count(model, 1);
    try {
      return await this.call(question);
    } catch (error) {
      this.#count(model, -1);
      throw error;
    }
  }

  #count(model: string, change: number): void {
    this.#sessions.set(model, (this.#sessions.get(model) ?? 0) + change);
  }

  /** Generate; `hear` is called with what the worker says until "done" or "failed". */
  generate(
    session: number,
    prompt: Prompt,
    options: string,
    hear: (message: FromRun) => void,
  ): () => void {
    const { port1, port2 } = new MessageChannel();
    const release = this.#keeper.hold();
    this.#stopWork(session, false);
    let over = false;
    const end = (message: FromRun): void => {
      if (over) return;
      over = true;
      release();
      port1.close();
      hear(message);
    };
    const fail = (error: unknown): void => {
      const { name, message } = this.#heard(error);
      end({ type: "failed", error: { name, message } });
    };
    port1.onmessage = (event: MessageEvent<FromRun>) => {
      const message = event.data;
      if (message.type === "batch" || message.type === "begun") hear(message);
      else if (message.type === "done") end(message);
      else fail(new ThimbleError(message.error.name, message.error.message));
    };
    this.#crashed.catch(fail);
    this.call((engine) =>
      engine.generate(session, prompt, options, transfer(port2, [port2])),
    ).catch(fail);
    return () => {
      if (over) return;
      this.#stopWork(session, true);
      port1.postMessage({ type: "stop" } satisfies ToRun);
    };
  }

  #died(why: string): void {
    this.#crash(
      new ThimbleError("CrashError", `the engine died (${why}); start again for a new one`),
    );
  }

  /** An error as it came; a crash that the worker itself reported ends the worker. */
  #heard(error: unknown): Error {
    const revived = revive(error);
    if (revived.name === "CrashError") this.#died(revived.message);
    return revived;
  }
}
