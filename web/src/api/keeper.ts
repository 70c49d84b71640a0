/**
 * When the snapshot for the next visit is made: while nobody waits for anything. It is made in a
 * worker of its own, because the kernels, once loaded, do not survive one; if somebody asks for
 * text meanwhile, that worker ends, and another one begins when it is quiet again.
 */

import { wrap } from "comlink";
import type { Boot, Core } from "../protocol";

/** Quiet milliseconds after which nobody seems to be waiting. */
const QUIET_MS = 2_000;

export type SnapshotState = "none" | "waiting" | "making" | "saved" | "refused";

export class SnapshotKeeper {
  readonly #boot: Boot;
  readonly #start: () => Worker;
  #busy = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #worker: Worker | null = null;
  state: SnapshotState = "none";

  constructor(boot: Boot, start: () => Worker) {
    this.#boot = boot;
    this.#start = start;
  }

  /** A snapshot is wanted. */
  ask(): void {
    this.state = "waiting";
    this.#wait();
  }

  /** Somebody waits for the engine until the answer is called. */
  hold(): () => void {
    this.#busy += 1;
    this.#interrupt();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#busy -= 1;
      this.#wait();
    };
  }

  /** The engine is gone, and its page maybe with it. */
  close(): void {
    this.#interrupt();
    this.state = "none";
  }

  #wait(): void {
    clearTimeout(this.#timer);
    if (this.state !== "waiting" || this.#busy > 0) return;
    this.#timer = setTimeout(() => void this.#make(), QUIET_MS);
  }

  #interrupt(): void {
    clearTimeout(this.#timer);
    if (this.state !== "making") return;
    this.#end();
    this.state = "waiting";
  }

  #end(): void {
    this.#worker?.terminate();
    this.#worker = null;
  }

  async #make(): Promise<void> {
    const worker = (this.#worker = this.#start());
    this.state = "making";
    try {
      const failed = new Promise<never>((_resolve, reject) => {
        worker.addEventListener("error", (event) => {
          event.preventDefault();
          reject(new Error(event.message || "its worker died"));
        });
      });
      await Promise.race([wrap<Core>(worker).keepSnapshot(this.#boot), failed]);
      this.#over(worker, "saved");
    } catch (error) {
      if (worker !== this.#worker) return;
      const words = error instanceof Error ? error.message : String(error);
      console.warn(`thimble: the next visit will start without a snapshot: ${words}`);
      this.#over(worker, "refused");
    }
  }

  #over(worker: Worker, state: SnapshotState): void {
    if (worker !== this.#worker) return;
    this.#end();
    this.state = state;
  }
}
