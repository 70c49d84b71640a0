/**
 * The worker: Python beside the page, so that the page never freezes.
 *
 * It answers to `Engine` in protocol.ts: to `Core` here, to the services by services.ts. It knows the
 * Python package's public functions only, and nothing of how a page looks.
 */

import { expose } from "comlink";
import type { Boot, Core, LoadProgress, ModelInfo, ModelSource, Start, Threads } from "../protocol";
import { PROTOCOL } from "../protocol";
import { Arriving } from "./arriving";
import { bringMethods } from "./bring";
import { consoleMethods } from "./console";
import { Download } from "./download";
import { generate } from "./generate";
import { countFiles, countStreams } from "./count";
import { claimsMethods } from "./claims";
import { KernelPool } from "./pool";
import { Progress } from "./progress";
import type { PyodideBytes } from "./progress";
import { makeSnapshot } from "./pyodide";
import { EngineError, Python } from "./python";
import { quantizeMethods } from "./quantize";
import { hasRenounced } from "./renounce";
import { withServices } from "./services";
import type { OwnMethods } from "./services";
import { whyNot, writeSnapshot } from "./snapshot";
import { talkMethods } from "./talk";
import { taskMethods } from "./tasks";
import { trainMethods } from "./train";

let python: Promise<Python> | null = null;
let ready: Python | null = null;
let threads: Threads | null = null;
let pyodideBytes: PyodideBytes = { total: 0, bytes: () => 0 };
const downloads = new Map<string, Download | Arriving>();

function engine(): Python {
  if (!ready) throw new EngineError("LoadError", "the engine has not started yet");
  return ready;
}

/** The same for who asks before it has started. */
function started(): Promise<Python> {
  return python ?? Promise.reject(new EngineError("LoadError", "the engine was never started"));
}

/** Smaller models are faster on one thread, beside Python. */
const POOL_FROM = 20 * 2 ** 20;

/** Threads for training: one core is left for the rest of the page, where there are three. */
const trainThreads = (engine: Python): Promise<void> => startThreads(engine, Infinity, 1);

/** Starts the threads before the first model that gains from them; one thread does without. */
async function startThreads(engine: Python, bytes: number, spare = 0): Promise<void> {
  const wanted = threads;
  // A thread is a worker with a storage of its own, which no visitor's code may get hold of.
  if (!wanted || bytes < POOL_FROM || hasRenounced()) return;
  threads = null;
  try {
    const pool = await KernelPool.start(wanted.kernels, wanted.script, Math.max(2, wanted.count - spare));
    engine.call("use_pool", pool);
  } catch (error) {
    console.warn("thimble: one thread only:", error);
  }
}

async function load(
  source: ModelSource,
  report: (progress: LoadProgress) => void,
): Promise<ModelInfo> {
  if (!python) throw new EngineError("LoadError", "the engine was never started");
  const progress = new Progress(source, pyodideBytes, report);
  const hear = (): void => progress.downloaded(download.bytes);
  const { from } = source;
  const download = from instanceof MessagePort ? new Arriving(from, hear) : new Download(source, hear);
  downloads.set(source.name, download);
  let number: number | null = null;
  const stopTicking = progress.tick();
  try {
    const engine = await python;
    progress.pythonReady();
    for (const name of source.instead) engine.call("drop", name);
    await startThreads(engine, source.bytes ?? 0);
    number = engine.call<number>("begin_load", source.name, source.bytes, source.sha256, source.kvType, source.encoders);
    for await (const chunk of download.chunks()) {
      engine.call("feed", number, chunk);
      progress.fed(chunk.length);
    }
    const info = engine.call<ModelInfo>("finish", number);
    progress.ready();
    return info;
  } catch (error) {
    download.cancel();
    const isBroken = error instanceof EngineError && error.name === "FormatError";
    if (isBroken && download instanceof Download) void download.forget();
    if (number !== null) ready?.call("cancel_load", number);
    throw error;
  } finally {
    stopTicking();
    if (downloads.get(source.name) === download) downloads.delete(source.name);
  }
}

/** All that starts here lies beside this script, whoever asks for it: a snapshot is made of it. */
const ASSETS = new URL("./", import.meta.url).href;

function checkBoot(boot: Boot): void {
  if (boot.protocol !== PROTOCOL) {
    throw new EngineError("LoadError", "this page and its engine are of two versions: reload");
  }
  const { pyodide, engine, stdlib, lock, library, threads } = boot;
  const urls = [pyodide, engine, stdlib, lock, library, ...(threads ? [threads.kernels, threads.script] : [])];
  const strange = urls.find((url) => !new URL(url).href.startsWith(ASSETS));
  if (strange) throw new EngineError("LoadError", `${strange} is no part of the engine, which lies in ${ASSETS}`);
}

const core: Core = {
  async boot(boot: Boot): Promise<Start> {
    checkBoot(boot);
    threads = boot.threads;
    const single = [boot.engine, boot.stdlib, boot.lock];
    const counts = (url: string): boolean => url.startsWith(boot.pyodide) || single.includes(url);
    const counter = (boot.firstVisit ? countStreams : countFiles)(counts);
    pyodideBytes = { total: boot.pyodideBytes, bytes: () => counter.bytes() };
    const starting = Python.start(boot).catch((error: unknown) => {
      const words = error instanceof Error ? error.message : String(error);
      throw new EngineError("StartError", `Python could not start here: ${words}`);
    });
    python = starting.then((started) => started.python);
    python.catch(() => undefined); // told by `starting`
    const { start } = await starting.finally(() => counter.close());
    ready = await python;
    return start;
  },
  async keepSnapshot(boot: Boot): Promise<void> {
    checkBoot(boot);
    const reason = await whyNot();
    if (reason !== null) throw new EngineError("StorageError", reason);
    await writeSnapshot(boot.build, await makeSnapshot(boot));
  },
  load,
  cancelLoad: (name) => downloads.get(name)?.cancel(),
  drop: (name) => engine().call("drop", name),
  open: (model, defaults) => engine().call("open", model, defaults),
  clone: (session) => engine().call("clone", session),
  destroy: (session) => engine().call("destroy", session),
  tokenize: (session, text) => engine().call("tokenize", session, text),
  generate: (session, prompt, options, port) =>
    void generate(engine(), session, prompt, options, port),
  logitsHash: (session, tokens) =>
    engine().call("logits_hash", session, JSON.stringify(tokens)),
};

const own: OwnMethods = {
  bring: bringMethods,
  claims: claimsMethods(engine),
  console: consoleMethods(engine),
  quantize: quantizeMethods(engine),
  talk: talkMethods(engine),
  tasks: taskMethods(started, trainThreads),
  train: trainMethods(started, trainThreads),
};

expose(withServices(core, own, started));
