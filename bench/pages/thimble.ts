/** Thimble through its public API, as any page would use it. */

import type { Prompt, Runner, Sample, ModelSpec } from "./types";
import { Stopwatch } from "./types";

type Api = typeof import("../../web/src/thimble");
type Session = Awaited<ReturnType<Api["Thimble"]["create"]>>;

/** The API as the site serves it. The address is no literal, so that it is not bundled. */
export function api(): Promise<Api> {
  const address = new URL("/thimble.js", location.href).href;
  return import(address) as Promise<Api>;
}

export class ThimbleRunner implements Runner {
  readonly #details: boolean;
  #session: Session | null = null;

  /** With details, every token comes with its id and log-probability; else as text. */
  constructor({ details = false } = {}) {
    this.#details = details;
  }

  async load(model: ModelSpec, threads: number): Promise<string | null> {
    const { Thimble } = await api();
    this.#session?.destroy();
    this.#session = await Thimble.create({ model: model.name, temperature: 0 });
    // It takes as many threads as the page allows: the driver arranges the page.
    const given = (this.#session.model as { threads?: number }).threads ?? 1;
    if (given === threads) return null;
    return given === 1 ? "not there yet: it runs on one thread" : `it runs on ${given} threads`;
  }

  async generate(prompt: Prompt, tokens: number): Promise<Sample> {
    const session = this.#session;
    if (!session) throw new Error("no model is loaded");
    const watch = new Stopwatch();
    const options = { max_tokens: tokens };
    const stream: ReadableStream<unknown> = this.#details
      ? session.promptStreaming(prompt.text, { ...options, logprobs: true })
      : session.promptStreaming(prompt.text, options);
    const reader = stream.getReader();
    while (!(await reader.read()).done) watch.piece();
    return watch.sample(prompt.ids.length, session.contextUsage - prompt.ids.length);
  }
}
