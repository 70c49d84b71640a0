/** Answers to whoever makes a model smaller: a step of Python's at a time, and a file made of them. */

import type { QuantizeEngine, QuantizeNews, QuantizedFile } from "../protocol/quantize";
import { yieldToMessages } from "./generate";
import type { Python } from "./python";
import { Sink } from "./sink";

const STEP_MS = 40;

/** Of a worker's scope; the library of the page's lacks it. */
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}

let stopping = false;

async function run(
  python: Python, name: string, source: Blob, encoding: string, port: MessagePort,
): Promise<QuantizedFile> {
  stopping = false;
  const reader = new FileReaderSync();
  const read = (at: number, size: number): Uint8Array =>
    new Uint8Array(reader.readAsArrayBuffer(source.slice(at, at + size)));
  let job: number | null = null;
  try {
    type Begun = { job: number; warning: string | null };
    const begun = python.call<Begun>("quantize.begin", name, encoding, source.size, read);
    job = begun.job;
    // Blobs and not bytes: a browser puts large ones on the disk.
    const parts: Blob[] = [];
    while (!stopping) {
      const sink = new Sink();
      const step = python.call<QuantizeNews & { over: boolean }>("quantize.step", job, STEP_MS, sink);
      parts.push(new Blob([sink.bytes]));
      port.postMessage({ done: step.done, total: step.total } satisfies QuantizeNews);
      if (step.over) return { file: new Blob(parts), warning: begun.warning };
      await yieldToMessages();
    }
    return { file: null, warning: null };
  } finally {
    if (job !== null) python.call("quantize.close", job);
    port.postMessage(null);
  }
}

export function quantizeAnswers(engine: () => Python): QuantizeEngine {
  return {
    quantizeTypes: () => engine().call("quantize.types"),
    quantizeRun: (name, source, encoding, port) => run(engine(), name, source, encoding, port),
    quantizeStop: () => void (stopping = true),
  };
}
