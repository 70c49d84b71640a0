/** The training worker, seen from the page: a second Python, which nothing else waits for. */

import { transfer } from "comlink";
import { Build } from "../api/build";
import { EngineHost } from "../api/engine";
import { revive } from "../api/errors";
import type { RemoteEngine } from "../protocol";
import type { FromTraining, ToTraining, TrainOrder } from "../protocol/train";
import { sentence } from "../ui/format";

export class TrainingHost {
  #host: EngineHost | null = null;

  private constructor(readonly build: Build) {}

  static async open(): Promise<TrainingHost> {
    // Beside the public module: this one lies in assets/.
    return new TrainingHost(await Build.read(new URL("../thimble.js", import.meta.url).href));
  }

  /** Ask the worker; one that has died is replaced, without what was in its memory. */
  ask<Value>(question: (engine: RemoteEngine) => Promise<Value>): Promise<Value> {
    return this.#alive().call(question);
  }

  /** Give an order; `hear` is called until "ended" or "failed". The answer stops it. */
  follow(order: TrainOrder, hear: (message: FromTraining) => void): () => void {
    const { port1, port2 } = new MessageChannel();
    let over = false;
    const pass = (message: FromTraining): void => {
      if (over) return;
      over = message.type === "ended" || message.type === "failed";
      if (over) port1.close();
      hear(message);
    };
    port1.onmessage = (event: MessageEvent<FromTraining>) => pass(event.data);
    // Answered when the order is done, so that a worker that dies is heard of meanwhile.
    this.ask((engine) => engine.train.run(order, transfer(port2, [port2]))).catch((error: unknown) => {
      const { name, message } = revive(error);
      pass({ type: "failed", error: { name, message } });
    });
    return () => port1.postMessage({ type: "stop" } satisfies ToTraining);
  }

  /** End the worker; the next question starts another one. */
  close(): void {
    this.#host?.end();
  }

  #alive(): EngineHost {
    if (!this.#host?.alive) this.#host = new EngineHost(this.build, { keepsSnapshot: false });
    return this.#host;
  }
}

/** What went wrong, as a sentence. */
export function complaint(error: unknown): string {
  return sentence(error instanceof Error ? error.message : String(error));
}
