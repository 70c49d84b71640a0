/** The token loop: batches from Python, and a look at the mail between two of them. */

import type { Batch, Begun, FromRun, Prompt, ToRun } from "../protocol";
import { EngineError } from "./python";
import type { Python } from "./python";

/** Milliseconds of Python at a time: under a frame, and long against one crossing. */
const BATCH_MS = 12;

const waiting: (() => void)[] = [];
const channel = new MessageChannel();
channel.port1.onmessage = () => waiting.shift()?.();

/** Let the messages that have come be handled. A timer would be held back to 4 ms; this is not. */
export function yieldToMessages(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}

function describe(error: unknown): { name: string; message: string } {
  if (error instanceof Error) return { name: error.name, message: error.message };
  return { name: "Error", message: String(error) };
}

function begin(python: Python, session: number, prompt: Prompt, options: string): Begun {
  if (typeof prompt === "string") return { ...python.call<Begun>("start", session, prompt, options), left_out: 0 };
  return python.call<Begun>("talk.start", session, JSON.stringify(prompt), options);
}

/** Generate into `port` until the end, an error or a "stop" that comes on it. */
export async function generate(
  python: Python,
  session: number,
  prompt: Prompt,
  options: string,
  port: MessagePort,
): Promise<void> {
  const say = (message: FromRun): void => port.postMessage(message);
  let stopped = false;
  port.onmessage = (event: MessageEvent<ToRun>) => {
    if (event.data.type === "stop") stopped = true;
  };
  try {
    const begun = begin(python, session, prompt, options);
    let context = begun.reused;
    say({ type: "begun", ...begun });
    let first = true;
    await yieldToMessages(); // a constraint may have taken its time
    while (!stopped) {
      // The first token goes out alone: what the visitor waits for is that something comes.
      const batch = python.call<Batch>("run", session, first ? 0 : BATCH_MS);
      context = batch.context;
      if (batch.count > 0) {
        first = false;
        say({ type: "batch", batch });
      }
      if (batch.finish_reason !== null) break;
      await yieldToMessages();
    }
    if (stopped) python.call("stop", session);
    say({ type: "done", context });
  } catch (error) {
    if (error instanceof EngineError && error.name === "StoppedError") {
      return say({ type: "done", context: python.call<number>("stop", session) });
    }
    say({ type: "failed", error: describe(error) });
  }
}
