/** An engine that writes what it is told to, a token a turn of the event loop. It knows no model. */

import type { EngineHost } from "../src/api/engine";
import type { FromRun, Message, PartRow, Prompt } from "../src/protocol";
import type { Conversing } from "../src/protocol/talk";
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
  /** How many messages its context holds. */
  window = Infinity;
  sessions = 1;
  /** What each token brings to an answer of parts, if it has such. */
  parts: readonly (readonly [kind: PartRow[1], text: string, call?: number][])[] | null = null;

  constructor(tokens: readonly string[], refusal: string | null = null) {
    this.#tokens = tokens;
    this.#refusal = refusal;
  }

  generate(_session: number, prompt: Prompt, options: string, hear: (message: FromRun) => void): () => void {
    this.asked.push({ prompt, options: JSON.parse(options) as Record<string, unknown> });
    this.most = Math.max(this.most, (this.#running += 1));
    let stopped = false;
    void this.#write(hear, () => stopped, this.#leftOut(prompt, options)).finally(() => (this.#running -= 1));
    return () => {
      stopped = true;
      this.stopped += 1;
    };
  }

  /** How many messages are left out for the rest to fit; null where they may not be. */
  #leftOut(prompt: Prompt, options: string): number | null {
    const { conversation = {} } = JSON.parse(options) as { conversation?: Conversing };
    const { keep, newest = 1 } = conversation;
    const over = typeof prompt === "string" ? 0 : 2 * Math.ceil((prompt.length - this.window) / 2);
    if (over <= 0) return 0;
    return keep !== undefined && over <= prompt.length - keep - newest ? over : null;
  }

  async #write(
    hear: (message: FromRun) => void, stopped: () => boolean, leftOut: number | null,
  ): Promise<void> {
    const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
    await turn();
    const refusal = leftOut === null ? "too long" : this.#refusal;
    if (refusal) return hear({ type: "failed", error: { name: "ContextError", message: refusal } });
    hear({ type: "begun", prompt: 7, reused: 0, left_out: leftOut ?? 0 });
    const { max_tokens = Infinity, logprobs } = this.asked.at(-1)?.options as { max_tokens?: number; logprobs?: boolean };
    for (const [at, token] of this.#tokens.slice(0, max_tokens).entries()) {
      await turn();
      if (stopped()) break;
      const { count, context, finish_reason, text, ...told } = this.#batch(token, at);
      const parts = this.parts?.[at]?.map(([kind, words, call = 0]): PartRow => [0, kind, words, call]);
      const calls = this.parts?.some((some) => some.some(([kind]) => kind === "call"));
      const why = calls && finish_reason === "stop" ? "tool_calls" : finish_reason;
      const batch = { count, context, finish_reason: why, ...(parts ? { parts } : {}) };
      hear({ type: "batch", batch: logprobs ? { ...batch, ...told } : { ...batch, text: text ?? "" } });
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
      talk: { measure: (_id: number, messages: readonly Message[]) => Promise.resolve(7 * messages.length) },
      embed: { texts: (_id: number, texts: readonly string[]) => Promise.resolve(vectors(texts)) },
      tokenize: (_id: number, text: string) => Promise.resolve([...text].map((sign) => sign.codePointAt(0))),
    });
  }

  clone(): Promise<number> {
    this.sessions += 1;
    return Promise.resolve(this.sessions);
  }

  destroy(): void {
    this.sessions -= 1;
  }
}

/** A session of the real module on an engine of this kind. */
export function session(host: FakeHost): Thimble {
  const Made = Thimble as unknown as new (host: EngineHost, id: number, model: object, usage: number) => Thimble;
  return new Made(host as unknown as EngineHost, 1, { name: "tiny", dim: 2, contextWindow: 100 }, 0);
}

