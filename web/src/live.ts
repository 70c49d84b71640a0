/**
 * The one live session that every panel shows: what it is doing, the text so far, how fast it goes.
 *
 * It knows the public API and no element of the page. Panels listen to "state" (something other
 * than text changed), "text" (new text) and "progress" (a load came further).
 */

import type { Chunk, DownloadProgressEvent, SamplingOptions, Thimble as Session } from "./thimble";

type ThimbleClass = typeof import("./thimble").Thimble;

export type State =
  | "loading" | "ready" | "writing" | "stopped" | "finished" | "failed";

export interface Failure {
  readonly name: string;
  readonly message: string;
}

/** How the text now on the page was made. */
export interface Recipe {
  readonly prompt: string;
  readonly model: string;
  readonly settings: SamplingOptions;
}

export class TextEvent extends Event {
  constructor(readonly text: string) {
    super("text");
  }
}

export class ProgressEvent extends Event {
  constructor(readonly progress: DownloadProgressEvent) {
    super("progress");
  }
}

/** Counted in the page, from the question to the worker to the text that comes back. */
export interface Measures {
  tokens: number;
  /** Milliseconds to the first token. */
  first: number | null;
  /** Tokens a second from the first token on. */
  speed: number | null;
}

export class LiveSession extends EventTarget {
  readonly #thimble: ThimbleClass;
  #session: Session | null = null;
  #opening: Promise<Session> | null = null;
  #abort: AbortController | null = null;
  #running: Promise<void> = Promise.resolve();
  state: State = "loading";
  model = "";
  recipe: Recipe | null = null;
  text = "";
  measures: Measures = { tokens: 0, first: null, speed: null };
  finishReason: "stop" | "length" | null = null;
  failure: Failure | null = null;

  constructor(thimble: ThimbleClass) {
    super();
    this.#thimble = thimble;
  }

  get contextUsage(): number {
    return this.#session?.contextUsage ?? 0;
  }

  get contextWindow(): number {
    return this.#session?.contextWindow ?? 0;
  }

  /** Whether there is text that can be gone on with. */
  get canContinue(): boolean {
    return this.#session !== null && this.contextUsage > 0 && this.finishReason !== "stop" &&
      this.contextUsage < this.contextWindow && this.state !== "writing";
  }

  /** Get a model ready, instead of the one that was. */
  async open(model: string): Promise<void> {
    await this.stop();
    this.#session?.destroy();
    this.#session = null;
    this.model = model;
    this.#become("loading");
    const opening = this.#create(model);
    this.#opening = opening;
    try {
      const session = await opening;
      if (this.#opening !== opening) return session.destroy(); // another model was chosen since
      this.#session = session;
      if (this.state === "loading") this.#become("ready");
    } catch (error) {
      if (this.#opening === opening) this.#fail(error);
    } finally {
      if (this.#opening === opening) this.#opening = null;
    }
  }

  #create(model: string): Promise<Session> {
    return this.#thimble.create({
      model,
      monitor: (monitor) =>
        monitor.addEventListener("downloadprogress", (event) =>
          this.dispatchEvent(new ProgressEvent(event as DownloadProgressEvent)),
        ),
    });
  }

  /** Write a new text; while the model loads, as soon as it is there. */
  async write(prompt: string, settings: SamplingOptions): Promise<void> {
    await this.#run(prompt, settings, false);
  }

  /** Write on where the text ends. */
  async continue(settings: SamplingOptions): Promise<void> {
    await this.#run("", settings, true);
  }

  /** The same text again, from the same prompt, settings and seed. */
  async regenerate(): Promise<void> {
    if (this.recipe) await this.write(this.recipe.prompt, this.recipe.settings);
  }

  /** Stop; what is written stays. */
  async stop(): Promise<void> {
    this.#abort?.abort();
    await this.#running;
  }

  async #run(prompt: string, settings: SamplingOptions, more: boolean): Promise<void> {
    await this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.#running = this.#generate(prompt, settings, more, abort.signal);
    await this.#running;
  }

  async #generate(
    prompt: string,
    settings: SamplingOptions,
    more: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    this.finishReason = null;
    this.failure = null;
    this.measures = { tokens: 0, first: null, speed: null };
    if (!more) {
      this.text = "";
      this.recipe = { prompt, settings, model: this.model };
    }
    this.#become("writing");
    try {
      const session = this.#session ?? (await this.#opening) ?? (await this.#reopen());
      signal.throwIfAborted();
      // Waiting for the model is not the model's time.
      const started = performance.now();
      const chunks = session.promptStreaming(prompt, {
        ...settings, continue: more, logprobs: true, signal,
      });
      const reader = chunks.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        this.#take(value, started);
      }
      this.#become("finished");
    } catch (error) {
      if (signal.aborted) this.#become("stopped");
      else this.#fail(error);
    }
  }

  #take(chunk: Chunk, started: number): void {
    const { measures } = this;
    const now = performance.now() - started;
    measures.tokens += 1;
    if (measures.first === null) measures.first = now;
    else measures.speed = ((measures.tokens - 1) / (now - measures.first)) * 1000;
    this.finishReason = chunk.finish_reason;
    if (!chunk.text) return;
    this.text += chunk.text;
    this.dispatchEvent(new TextEvent(chunk.text));
  }

  /** A session after the last one was lost with its worker. */
  async #reopen(): Promise<Session> {
    this.#session = await this.#create(this.model);
    return this.#session;
  }

  #fail(error: unknown): void {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    this.failure = { name, message };
    if (name === "CrashError") this.#session = null;
    this.#become("failed");
  }

  #become(state: State): void {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
