/** An engine that writes what it is told to, a token a turn of the event loop. It knows no model. */

import type { EngineHost } from "../src/api/engine";
import type { FromRun, Prompt } from "../src/protocol";
import { Thimble } from "../src/thimble";

/** Stands for half a character in a token's text. */
const HALF = "\u{efff}";

export class FakeHost {
  readonly asked: { prompt: Prompt; options: Record<string, unknown> }[] = [];
  /** How many generations ran at once, at most, and how many were stopped. */
  most = 0;
  stopped = 0;
  #running = 0;
  readonly #tokens: readonly string[];
  readonly #refusal: string | null;

  constructor(tokens: readonly string[], refusal: string | null = null) {
    this.#tokens = tokens;
    this.#refusal = refusal;
  }

  generate(_session: number, prompt: Prompt, options: string, hear: (message: FromRun) => void): () => void {
    this.asked.push({ prompt, options: JSON.parse(options) as Record<string, unknown> });
    this.most = Math.max(this.most, (this.#running += 1));
    let stopped = false;
    void this.#write(hear, () => stopped).finally(() => (this.#running -= 1));
    return () => {
      stopped = true;
      this.stopped += 1;
    };
  }

  async #write(hear: (message: FromRun) => void, stopped: () => boolean): Promise<void> {
    const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
    await turn();
    if (this.#refusal) return hear({ type: "failed", error: { name: "ContextError", message: this.#refusal } });
    hear({ type: "begun", prompt: 7, reused: 0, left_out: 0 });
    for (const [at, token] of this.#tokens.entries()) {
      await turn();
      if (stopped()) break;
      hear({ type: "batch", batch: this.#batch(token, at) });
    }
    hear({ type: "done", context: 7 + this.#tokens.length });
  }

  /** A token and one alternative, as thimble/browser/engine.py packs them. */
  #batch(token: string, at: number): (FromRun & { type: "batch" })["batch"] {
    const numbers = [...new Uint8Array(new Int32Array([1, at, 0]).buffer), ...new Uint8Array(new Float32Array([-1, 1]).buffer),
      ...new Uint8Array(new Int32Array([at]).buffer), ...new Uint8Array(new Float32Array([-1]).buffer)];
    const last = at === this.#tokens.length - 1;
    const bytes = [...token].flatMap((sign) => (sign === HALF ? [0xc3] : [...new TextEncoder().encode(sign)]));
    return {
      count: 1, context: 8 + at, finish_reason: last ? "stop" : null, text: token,
      tokens: [token.replace(HALF, "")], numbers: btoa(String.fromCharCode(...numbers)),
      texts: { [at]: token.replace(HALF, "\ufffd") }, ...(token.includes(HALF) ? { bytes: { [at]: bytes } } : {}),
    };
  }

  call(question: (engine: unknown) => Promise<unknown>): Promise<unknown> {
    const vectors = (texts: readonly string[]): { numbers: string } => {
      const bytes = new Uint8Array(new Float32Array(texts.flatMap(({ length }) => [length, 1])).buffer);
      return { numbers: btoa(String.fromCharCode(...bytes)) };
    };
    return question({
      embed: { texts: (_id: number, texts: readonly string[]) => Promise.resolve(vectors(texts)) },
      tokenize: (_id: number, text: string) => Promise.resolve([...text].map((sign) => sign.codePointAt(0))),
    });
  }

  destroy(): void {
    // Nothing is held.
  }
}

/** A session of the real module on an engine of this kind. */
export function session(host: FakeHost): Thimble {
  const Made = Thimble as unknown as new (host: EngineHost, id: number, model: object, usage: number) => Thimble;
  return new Made(host as unknown as EngineHost, 1, { name: "tiny", dim: 2, contextWindow: 100 }, 0);
}

