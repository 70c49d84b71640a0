/**
 * A stream's bytes, in buffers that come back where the browser can fill them. What a stream makes
 * itself is garbage until the browser looks for it: of a large model up to a hundred megabytes.
 */

/** Bytes of a buffer. */
const SIZE = 512 * 1024;

function filling(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | null {
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    return null; // not a stream of bytes, to this browser
  }
}

export class Chunks {
  readonly #fills: ReadableStreamBYOBReader | null;
  readonly #plain: ReadableStreamDefaultReader<Uint8Array> | null;
  readonly #free: ArrayBuffer[] = [];

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#fills = filling(stream);
    this.#plain = this.#fills ? null : stream.getReader();
  }

  /** The next bytes, or null after the last; `came` hears of them as they come. */
  async next(came: (bytes: number) => void): Promise<Uint8Array | null> {
    if (this.#fills) return this.#fill(this.#fills, came);
    const { value } = (await this.#plain?.read()) ?? {};
    if (!value) return null;
    came(value.length);
    return value;
  }

  /** A chunk that nobody reads any more. */
  giveBack({ buffer }: Uint8Array): void {
    if (this.#fills && buffer instanceof ArrayBuffer) this.#free.push(buffer);
  }

  async #fill(
    reader: ReadableStreamBYOBReader, came: (bytes: number) => void,
  ): Promise<Uint8Array | null> {
    let buffer = this.#free.pop() ?? new ArrayBuffer(SIZE);
    let filled = 0;
    while (filled < SIZE) {
      const { done, value } = await reader.read(new Uint8Array(buffer, filled));
      if (value) ({ buffer } = value);
      if (done) break;
      filled += value.length;
      came(value.length);
    }
    return filled > 0 ? new Uint8Array(buffer, 0, filled) : null;
  }
}
