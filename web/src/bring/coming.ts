/**
 * A model that is loaded while it comes. The page that fetches it hands its pieces to the engine's
 * worker by a port, and the model that stands goes on beside it; only a large one makes room first,
 * and is loaded again where the other does not come.
 */

import type { LiveSession } from "../live";
import { ProgressEvent } from "../live/events";
import type { ComingModel } from "../protocol/bring";

/** Bytes of a model that may stand beside one that comes; bringing counts with so much: bring.py. */
const BESIDE = 64e6;

export class Coming {
  readonly #live: LiveSession;
  readonly #freedMemory: boolean;
  readonly #abort = new AbortController();
  /** For who fetches it. */
  readonly port: MessagePort;
  /** Settles when the model is in memory; with the reason where it cannot be. */
  readonly loaded: Promise<Error | null>;
  #letGo: () => void = () => undefined;

  private constructor(live: LiveSession, model: Omit<ComingModel, "port">, freedMemory: boolean) {
    this.#live = live;
    this.#freedMemory = freedMemory;
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const coming = { ...model, port: port2 };
    const session = live.createSession(
      coming, (progress) => freedMemory && live.dispatchEvent(new ProgressEvent(progress)), this.#abort.signal,
    );
    this.loaded = session.then(
      (opened) => {
        this.#letGo = () => opened.destroy();
        if (this.#abort.signal.aborted) opened.destroy();
        return null;
      },
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
  }

  static async begin(live: LiveSession, model: Omit<ComingModel, "port">): Promise<Coming> {
    const freesMemory = live.modelBytes > BESIDE;
    if (freesMemory) await live.release();
    return new Coming(live, model, freesMemory);
  }

  /** It does not come: what is in memory of it goes, and the model from before stands. */
  cancel(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(new DOMException("the load was cancelled", "AbortError"));
    this.#letGo();
    if (this.#freedMemory) void this.#live.retake();
  }

  /** It is there, for whoever opens it by its name: the next that is loaded would take its place. */
  leave(): void {
    this.#letGo();
  }
}
