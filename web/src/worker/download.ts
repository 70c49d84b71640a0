/** Bytes on their way in: streamed, counted, never all held at once. */

import { dropModel, findModel, isLocal, saveModel } from "../storage/models";
import type { ModelSource } from "../protocol";
import { Chunks } from "./chunks";
import { EngineError } from "./python";

/** How far the download may run ahead of whoever takes the bytes: as far as a small model is long,
 * which comes while Python starts; more would count against a large one's memory. */
const AHEAD = 4 * 1024 * 1024;

/** A model's bytes, read from now on, whether somebody takes them already or not. */
export class Download {
  readonly #abort = new AbortController();
  readonly #chunks: Uint8Array[] = [];
  #incoming: Chunks | null = null;
  #waiting = 0;
  #done = false;
  #failure: unknown = null;
  #wake: (() => void) | null = null;
  #keeping: Promise<void> | null = null;
  bytes = 0;

  constructor(
    private readonly source: ModelSource,
    onBytes: () => void,
  ) {
    this.#read(source, onBytes).catch((error: unknown) => {
      this.#failure = error;
      this.#wake?.();
    });
  }

  cancel(): void {
    this.#abort.abort();
  }

  /** What came was no good: it is not saved, nor what was saved before. */
  async forget(): Promise<void> {
    const { source } = this;
    if (!source.keep || typeof source.from !== "string" || isLocal(source.from)) return;
    await this.#keeping?.catch(() => undefined);
    await dropModel(source.from).catch(() => undefined);
  }

  /** The chunks in order, each until the next is asked for; throws what went wrong on the way. */
  async *chunks(): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.#waiting -= chunk.length;
        this.#wake?.();
        yield chunk;
        this.#incoming?.giveBack(chunk);
      } else if (this.#failure !== null) {
        throw this.#failure;
      } else if (this.#done) {
        return;
      } else {
        await this.#change();
      }
    }
  }

  async #read(source: ModelSource, onBytes: () => void): Promise<void> {
    const incoming = new Chunks(await this.#open(source));
    this.#incoming = incoming;
    for (;;) {
      const chunk = await incoming.next((bytes) => {
        this.bytes += bytes;
        onBytes();
      }).catch((error: unknown) => {
        throw this.#lost(source, error);
      });
      if (!chunk) break;
      this.#waiting += chunk.length;
      this.#chunks.push(chunk);
      this.#wake?.();
      while (this.#waiting > AHEAD) await this.#change();
    }
    this.#done = true;
    this.#wake?.();
  }

  async #open(source: ModelSource): Promise<ReadableStream<Uint8Array>> {
    if (source.from instanceof MessagePort) throw new Error("a port is read by arriving.ts");
    if (typeof source.from !== "string") return source.from.stream();
    // Also for who keeps nothing: a frame on this site shows what the page around it has saved.
    const isHere = isLocal(source.from); // and nowhere else, so it cannot come anew
    const saved = source.fresh && !isHere ? null : await findModel(source.from);
    if (saved) return saved;
    if (isHere) {
      const words = `model ${source.name} is not saved on this machine any more: open it again`;
      throw new EngineError("LoadError", words);
    }
    const response = await fetch(source.from, {
      signal: this.#abort.signal,
      credentials: "omit",
      cache: source.fresh ? "reload" : "default",
    }).catch((error: unknown) => {
      throw this.#lost(source, error);
    });
    if (!response.ok || !response.body) {
      const status = `${response.status} ${response.statusText}`.trim();
      throw new EngineError("LoadError", `the server answered ${status} for model ${source.name}`);
    }
    return source.keep ? this.#keep(source, source.from, response.body) : response.body;
  }

  /** Keep the bytes for the next time while they pass; without room they only pass. */
  #keep(
    source: ModelSource,
    from: string,
    body: ReadableStream<Uint8Array>,
  ): ReadableStream<Uint8Array> {
    const { name, bytes, sha256 } = source;
    if (bytes === null) return body;
    const [taken, saved] = body.tee();
    this.#keeping = saveModel(from, saved, { name, bytes, sha256, source: null });
    this.#keeping.catch((error: unknown) => {
      const words = error instanceof Error ? error.message : String(error);
      if (!this.#abort.signal.aborted) console.info(`thimble: the model is not saved: ${words}`);
    });
    return taken;
  }

  #lost(source: ModelSource, error: unknown): unknown {
    if (this.#abort.signal.aborted) return error;
    const of = source.bytes === null ? "" : ` of ${source.bytes}`;
    return new EngineError(
      "LoadError",
      `the download of model ${source.name} broke off after ${this.bytes}${of} bytes; ` +
        "check the connection and try again",
    );
  }

  /** Reader and taker both wait here; each looks again at its own condition. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      const earlier = this.#wake;
      this.#wake = () => {
        this.#wake = null;
        earlier?.();
        resolve();
      };
    });
  }
}
