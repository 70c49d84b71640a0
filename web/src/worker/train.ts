/** Training: slices of Python, a look at the mail between two, and a copy saved every few seconds. */

import type { ErrorWords, ModelSource } from "../protocol";
import type {
  FromTraining,
  ToTraining,
  TrainInfo,
  TrainNews,
  TrainOrder,
  VerifyNews,
} from "../protocol/train";
import { TrainingStore, readTraining } from "../storage/training";
import { Download } from "./download";
import { yieldToMessages } from "./generate";
import { EngineError } from "./python";
import type { Python } from "./python";
import { hasRenounced } from "./renounce";
import type { OwnMethods } from "./services";

/** Milliseconds of training at a time; a single step may take longer. */
const SLICE_MS = 100;
/** From one saved copy to the next: with the longest step, a closed tab loses less than ten seconds. */
const KEEP_MS = 7_000;

/** What the worker keeps between two orders: the run itself is in Python. */
let info: TrainInfo | null = null;
let store: TrainingStore | null = null;

function words(error: unknown): ErrorWords {
  if (error instanceof Error) return { name: error.name, message: error.message };
  return { name: "Error", message: String(error) };
}

/** Follow an order into `port` until its end, an error or a "stop" that comes on it. */
async function follow(python: Python, order: TrainOrder, port: MessagePort): Promise<void> {
  const say = (message: FromTraining): void => port.postMessage(message);
  let stopped = false;
  port.onmessage = (event: MessageEvent<ToTraining>) => {
    if (event.data.type === "stop") stopped = true;
  };
  try {
    if (order.kind === "verify") await verify(python, order, say, () => stopped);
    else await run(python, order, say, () => stopped);
    say({ type: "ended" });
  } catch (error) {
    say({ type: "failed", error: words(error) });
  }
}

type Say = (message: FromTraining) => void;

async function run(
  python: Python,
  order: Exclude<TrainOrder, { kind: "verify" }>,
  say: Say,
  stopped: () => boolean,
): Promise<void> {
  const begun = await begin(python, order, say);
  info = begun;
  say({ type: "begun", info: begun });
  let step = begun.step;
  let savedAt = performance.now();
  if (order.kind !== "continue") await keep(python, begun, say);
  for (let done = begun.done; !done && !stopped(); ) {
    const news = python.call<TrainNews>("train.run", SLICE_MS);
    step = news.step;
    say({ type: "news", news });
    if (news.failed !== null) throw new EngineError("NumericError", news.failed);
    done = news.done;
    if (done || performance.now() - savedAt > KEEP_MS) {
      await keep(python, { ...begun, step }, say);
      savedAt = performance.now();
    }
    await yieldToMessages();
  }
  if (stopped()) await keep(python, { ...begun, step }, say);
}

/** Get ready for the first slice. */
async function begin(
  python: Python,
  order: Exclude<TrainOrder, { kind: "verify" }>,
  say: Say,
): Promise<TrainInfo> {
  if (order.kind !== "continue") {
    const { recipe, text, sampling } = order;
    const about = JSON.stringify(order.about);
    const begun =
      order.kind === "begin"
        ? python.call<TrainInfo>("train.begin", recipe, text, sampling, about)
        : python.call<TrainInfo>("train.tune", await bytesOf(order.base), recipe, text, sampling, about);
    if (order.kind === "begin" && order.passing) return begun;
    await takeStore(say);
    await store?.begin(text).catch((error: unknown) => unsaved(error, say));
    return begun;
  }
  await takeStore(say);
  if (info) return python.call("train.describe");
  const saved = await readTraining();
  if (!saved) throw new EngineError("LoadError", "no training is saved in this browser any more");
  const base = order.base ? await bytesOf(order.base) : null;
  return python.call("train.resume", saved.state, saved.text, base);
}

/** The whole file of a model, from wherever it is. */
export async function bytesOf(source: ModelSource): Promise<Uint8Array> {
  const download = new Download(source, () => undefined);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of download.chunks()) parts.push(new Uint8Array(chunk));
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Code of the visitor's own must not get hold of the folder: a training in its worker is not saved. */
const CODE_HAS_RUN =
  "Python code of yours has run in this engine, which saves nothing from then on; reload the page to " +
  "train with saving";

async function takeStore(say: Say): Promise<void> {
  try {
    if (hasRenounced()) throw new Error(CODE_HAS_RUN);
    store ??= await TrainingStore.take();
  } catch (error) {
    unsaved(error, say);
  }
}

/** The training goes on, but only as long as the tab. */
function unsaved(error: unknown, say: Say): void {
  store?.release();
  store = null;
  say({ type: "unsaved", because: words(error).message });
}

async function keep(python: Python, now: TrainInfo, say: Say): Promise<void> {
  if (!store) return;
  if (hasRenounced()) return unsaved(new Error(CODE_HAS_RUN), say);
  const checkpoint = python.call<ArrayBuffer>("train.checkpoint");
  const { step, steps, parameters, about } = now;
  const words = { title: about.title, step, steps, parameters, at: Date.now(), base: about.base };
  try {
    await store.keep(words, new Uint8Array(checkpoint));
    say({ type: "saved", step });
  } catch (error) {
    unsaved(error, say);
  }
}

/** Train again what a receipt says, and compare. */
async function verify(
  python: Python,
  order: Extract<TrainOrder, { kind: "verify" }>,
  say: Say,
  stopped: () => boolean,
): Promise<void> {
  const base = order.base ? await bytesOf(order.base) : null;
  let news = python.call<VerifyNews>("train.verify", order.receipt, order.text, base);
  say({ type: "verified", news });
  while (news.agrees === null && !stopped()) {
    news = python.call<VerifyNews>("train.verify_on", SLICE_MS);
    say({ type: "verified", news });
    await yieldToMessages();
  }
  python.call("train.verify_end");
}

/** What is more of training than a call of Python; it waits until Python's threads have started. */
export function trainMethods(
  engine: () => Promise<Python>,
  startThreads: (engine: Python) => Promise<void>,
): OwnMethods["train"] {
  const trainer = async (): Promise<Python> => {
    const python = await engine();
    await startThreads(python);
    return python;
  };
  return {
    measure: async (recipe, text) => (await trainer()).call("train.measure", recipe, text),
    run: async (order, port) => follow(await trainer(), order, port),
  };
}
