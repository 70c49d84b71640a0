/**
 * The engine's end of a model that is being saved: the same bytes go to it while they come, by a port
 * of its own, over which it says nothing but how many of them are in its memory. It is never more
 * than a piece behind, so whoever sends waits for it and holds a few pieces at most.
 */

import { PIECE } from "../storage/partial";

export type Chunks = Uint8Array<ArrayBuffer>[];

export async function together(chunks: Chunks): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

export class Feed {
  #port: MessagePort | null;
  readonly #held: Chunks = [];
  #heldBytes = 0;
  /** Resolves when the piece that was sent last is in. */
  #free: Promise<void> = Promise.resolve();
  #taken: () => void = () => undefined;
  /** Called when the engine has taken another piece. */
  heard: () => void = () => undefined;
  /** Bytes in the engine's memory. */
  loaded = 0;

  /** Without a port nobody loads the model while it comes. */
  constructor(port: MessagePort | null) {
    this.#port = port;
    if (!port) return;
    port.onmessage = ({ data }: MessageEvent<number>) => {
      this.loaded += data;
      this.#taken();
      this.heard();
    };
  }

  get isOn(): boolean {
    return this.#port !== null;
  }

  /** The next bytes, which make pieces here. */
  async take(chunk: Uint8Array<ArrayBuffer>): Promise<void> {
    if (!this.#port) return;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes >= PIECE) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#heldBytes === 0) return;
    const piece = await together(this.#held);
    this.#held.length = 0;
    this.#heldBytes = 0;
    await this.give(piece);
  }

  /** Hand a piece over, and it is gone from here; waits until the one before it is in. */
  async give(piece: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#free;
    if (!this.#port) return;
    this.#free = new Promise((resolve) => (this.#taken = resolve));
    this.#port.postMessage(piece, [piece.buffer]);
  }

  /** All is given, and it is the right file: resolves when the engine has it. */
  async end(): Promise<void> {
    await this.flush();
    await this.#free;
    this.#port?.postMessage(null);
  }

  /** The engine takes no more. */
  off(): void {
    this.#port?.close();
    this.#port = null;
    this.#held.length = this.#heldBytes = 0;
    this.loaded = 0;
    this.#taken();
  }
}
