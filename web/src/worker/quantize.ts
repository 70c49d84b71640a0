/** Answers to whoever makes a model smaller: a step of Python's at a time, and a file made of them. */

import type { QuantizeNews, QuantizedFile } from "../protocol/quantize";
import { yieldToMessages } from "./generate";
import type { Python } from "./python";
import type { OwnMethods } from "./services";

const STEP_MS = 40;

/** Of a worker's scope; the library of the page's lacks it. */
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}

type Step = QuantizeNews & { readonly over: boolean; readonly written: ArrayBuffer };

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
      const step = python.call<Step>("quantize.step", job, STEP_MS);
      parts.push(new Blob([step.written]));
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

export function quantizeMethods(engine: () => Python): OwnMethods["quantize"] {
  return {
    run: (name, source, encoding, port) => run(engine(), name, source, encoding, port),
    stop: () => void (stopping = true),
  };
}
