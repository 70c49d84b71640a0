/**
 * A model's bytes from the page that fetches them: piece by piece, each asked for by saying that the
 * one before it is in memory. The last message is null: all have come, and they are the right ones.
 */

/** Bytes that Python takes at once: it holds a copy of them. */
const STEP = 2 ** 20;

export class Arriving {
  readonly #port: MessagePort;
  readonly #onBytes: () => void;
  readonly #pieces: (Uint8Array | null)[] = [];
  #cancelled = false;
  #wake: () => void = () => undefined;
  bytes = 0;

  constructor(port: MessagePort, onBytes: () => void) {
    this.#port = port;
    this.#onBytes = onBytes;
    port.onmessage = ({ data }: MessageEvent<Uint8Array | null>) => {
      this.#pieces.push(data);
      this.#wake();
    };
  }

  cancel(): void {
    this.#cancelled = true;
    this.#port.close();
    this.#wake();
  }

  /** The bytes in order; throws an AbortError once it is cancelled. */
  async *chunks(): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      if (this.#cancelled) throw new DOMException("the load was cancelled", "AbortError");
      const piece = this.#pieces.shift();
      if (piece === undefined) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      if (piece === null) return this.#port.close();
      this.bytes += piece.length;
      this.#onBytes();
      for (let at = 0; at < piece.length; at += STEP) yield piece.subarray(at, at + STEP);
      this.#port.postMessage(piece.length);
    }
  }
}
