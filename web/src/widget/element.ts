/** `<thimble-lm>`: its attributes, methods and events, and when it begins. */

import type { PropertyDeclaration, PropertyDeclarations, PropertyValues, TemplateResult } from "lit";
import { abortable } from "../api/abort";
import type { TokenChunk, ModelInfo, Thimble } from "../thimble";
import { LOADING, REVEAL, asNumber, asText, number, optionsOf } from "./attributes";
import type { Options } from "./attributes";
import { tell } from "./events";
import type { ErrorDetail, FinishDetail, ProgressDetail, ThimbleLmEventMap } from "./events";
import { openSession } from "./opener";
import { styles } from "./styles";
import { TellingElement } from "./telling";
import { render } from "./view";
import type { State } from "./view";

/** A text that grows. */
type Result = { -readonly [Name in keyof FinishDetail]: FinishDetail[Name] };

/** Pixels below what is seen that a growing text is followed over: some lines. */
const FOLLOWED = 100;

/** Reflected; without its attribute a property has the value that the constructor gives it. */
const PLAIN: PropertyDeclaration = { reflect: true, useDefault: true };

export class ThimbleLm extends TellingElement<ThimbleLmEventMap> {
  static override styles = styles;
  static override properties: PropertyDeclarations = {
    model: PLAIN,
    defaultPrompt: { ...PLAIN, attribute: "prompt" },
    loading: { ...PLAIN, converter: LOADING },
    reveal: { ...PLAIN, converter: REVEAL },
    poster: PLAIN,
    readOnly: { ...PLAIN, attribute: "readonly", type: Boolean },
    maxTokens: { ...PLAIN, attribute: "max-tokens", converter: number },
    temperature: { ...PLAIN, converter: number },
    topP: { ...PLAIN, attribute: "top-p", converter: number },
    seed: { ...PLAIN, converter: number },
  };

  /** A name out of the site's models; its default one without it. */
  declare model: string | null;
  /** The attribute `prompt`, which is what the text begins with unless the visitor changes it. */
  declare defaultPrompt: string | null;
  /** "lazy": nothing is fetched before the element is seen; "eager": at once. */
  declare loading: "lazy" | "eager";
  /** "auto": the element writes as soon as it can; "manual": when somebody asks. */
  declare reveal: "auto" | "manual";
  /** The address of a picture that is shown until the element begins. */
  declare poster: string | null;
  /** Whether the visitor may not change the prompt. */
  declare readOnly: boolean;
  declare maxTokens: number | null;
  declare temperature: number | null;
  declare topP: number | null;
  declare seed: number | null;

  #state: State = "idle";
  /** What the visitor made of the prompt. */
  #typed: string | null = null;
  #result: Result | null = null;
  #progress: ProgressDetail | null = null;
  #info: ModelInfo | null = null;
  #failure: ErrorDetail | null = null;
  #revealed = false;
  #begun = false;
  #opening: Promise<Thimble> | null = null;
  /** Ends the loading and, with it, the session. */
  #leaving = new AbortController();
  #abort: AbortController | null = null;
  #running: Promise<unknown> = Promise.resolve();
  #observer: IntersectionObserver | null = null;

  constructor() {
    super();
    this.model = this.defaultPrompt = this.poster = null;
    this.loading = "lazy";
    this.reveal = "auto";
    this.readOnly = false;
    this.maxTokens = this.temperature = this.topP = this.seed = null;
    // Assigned before the element was defined: it would stand before the accessor.
    const early = Object.getOwnPropertyDescriptor(this, "prompt")?.value as unknown;
    if (early === undefined) return;
    Reflect.deleteProperty(this, "prompt");
    this.prompt = asText(early);
  }

  /** What it does: "idle", "loading", "ready", "writing", "stopped", "finished" or "failed". */
  get state(): State {
    return this.#state;
  }

  /** What was written last, without the prompt. */
  get text(): string {
    return this.#result?.text ?? "";
  }

  /**
   * Called: write a text that begins with `text`, or with what is in the prompt's field, instead of
   * any other; gives what was written, up to where it was stopped if it was.
   *
   * Assigned: the attribute `prompt`, which is what React, Vue and Preact mean by it.
   */
  get prompt(): (text?: string) => Promise<string> {
    return (text) => this.#ask(text);
  }

  set prompt(text: string | null | undefined) {
    this.defaultPrompt = asText(text);
  }

  async #ask(text?: string): Promise<string> {
    if (text !== undefined) this.#typed = String(text);
    while (this.#abort) await this.stop();
    const abort = (this.#abort = new AbortController());
    const writing = this.#write(this.#prompt, abort.signal);
    this.#running = writing
      .catch(() => undefined)
      .then(() => {
        this.#abort = null;
        this.requestUpdate();
      });
    return writing;
  }

  /** Stop; what is written stays. */
  async stop(): Promise<void> {
    while (this.#abort) {
      this.#abort.abort();
      await this.#running;
    }
  }

  /** Stop, and be as if nothing had been written or typed. */
  async clear(): Promise<void> {
    await this.stop();
    this.#typed = this.#result = this.#failure = null;
    this.#become(this.#info ? "ready" : "idle");
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.hasUpdated) this.#arm();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#observer?.disconnect();
    // An element that is moved is away for a moment only.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#abort?.abort();
      this.#leave();
    });
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    this.#convert(changed);
    if (changed.has("defaultPrompt") && this.hasUpdated) this.#typed = null;
    if (!changed.has("model") || !this.hasUpdated || changed.get("model") === this.model) return;
    // A text that waits for its model waits for the other one; one that is written ends.
    if (this.#state !== "loading") this.#abort?.abort();
    this.#leave();
    this.#arm();
  }

  /** What a framework has assigned, as its attribute would have been read. */
  #convert(changed: PropertyValues<this>): void {
    for (const name of ["maxTokens", "temperature", "topP", "seed"] as const) {
      if (changed.has(name)) this[name] = asNumber(this[name]);
    }
    for (const name of ["model", "defaultPrompt", "poster"] as const) {
      if (changed.has(name)) this[name] = asText(this[name]);
    }
    if (changed.has("loading")) this.loading = LOADING.fromAttribute(this.loading);
    if (changed.has("reveal")) this.reveal = REVEAL.fromAttribute(this.reveal);
    this.readOnly = Boolean(this.readOnly);
  }

  protected override firstUpdated(): void {
    this.#arm();
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has("loading") || changed.has("reveal")) this.#arm();
    if (this.#state === "writing") this.#follow();
  }

  /** In an element of a fixed height show the end of the text, unless its reader has gone back. */
  #follow(): void {
    const text = this.renderRoot.querySelector(".text");
    if (!text) return;
    const hidden = text.scrollHeight - text.clientHeight - text.scrollTop;
    if (hidden > 0 && hidden < FOLLOWED) text.scrollTop = text.scrollHeight;
  }

  protected override render(): TemplateResult {
    return render({
      state: this.#state,
      busy: this.#abort !== null,
      prompt: this.#prompt,
      model: this.model,
      readOnly: this.readOnly,
      covered: !this.#revealed && this.#hasPoster(),
      poster: this.poster,
      result: this.#result,
      progress: this.#progress,
      failure: this.#failure,
      options: this.#sampling,
      type: (text) => (this.#typed = text),
      write: () => void this.prompt().catch(() => undefined), // told by the state
      stop: () => void this.stop(),
    });
  }

  get #prompt(): string {
    return this.#typed ?? this.defaultPrompt ?? "";
  }

  get #sampling(): Options {
    const { maxTokens, temperature, topP, seed } = this;
    const values = { "max-tokens": maxTokens, temperature, "top-p": topP, seed };
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, asNumber(value)])) as Options;
  }

  #hasPoster(): boolean {
    return this.poster !== null || this.querySelector(":scope > [slot=poster]") !== null;
  }

  /** Begin by itself when the attributes and the visitor's eyes say so. */
  #arm(): void {
    this.#observer?.disconnect();
    if (this.#begun) return;
    if (this.loading === "eager") return void this.#begin();
    if (this.reveal === "manual" || savesData()) return;
    this.#observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) void this.#begin();
    });
    this.#observer.observe(this);
  }

  async #begin(): Promise<void> {
    if (this.#begun || this.#abort) return;
    this.#begun = true;
    this.#observer?.disconnect();
    try {
      if (this.reveal === "auto" && this.defaultPrompt !== null) await this.prompt();
      else await this.#load();
    } catch {
      // Told by the state and by an event.
    }
  }

  /** Get the session ready without writing. */
  async #load(): Promise<void> {
    this.#failure = null;
    this.#become("loading");
    try {
      await this.#session();
      if (this.#state !== "loading") return;
      this.#revealed ||= this.reveal === "auto";
      this.#become("ready");
    } catch (error) {
      if (this.isConnected) throw this.#fail(error);
    }
  }

  /** The session, on whichever model it is by the time it is there. */
  async #session(signal?: AbortSignal): Promise<Thimble> {
    for (;;) {
      const opening = this.#open();
      const left = this.#leaving.signal;
      const session = await abortable(opening, signal).catch((error: unknown) => {
        if (!left.aborted || signal?.aborted || !this.isConnected) throw error;
      });
      if (session && !left.aborted) return session;
    }
  }

  async #write(prompt: string, signal: AbortSignal): Promise<string> {
    this.#begun = true;
    this.#failure = null;
    const result: Result = { prompt, text: "", tokens: 0, reason: "stopped", seed: 0 };
    try {
      const options = optionsOf(this, this.#sampling);
      result.seed = options.seed;
      this.#revealed ||= this.reveal === "manual";
      if (!this.#info) this.#become("loading");
      const session = await this.#session(signal);
      this.#revealed = true;
      this.#result = result;
      this.#become("writing");
      const stream = session.promptStreaming(prompt, { ...options, signal, logprobs: true });
      await each(stream, (chunk) => this.#take(result, chunk));
    } catch (error) {
      if (!signal.aborted) throw this.#fail(error);
    }
    if (result.tokens > 0) this.#become(result.reason === "stopped" ? "stopped" : "finished");
    else this.#become(this.#info ? "ready" : "idle");
    tell(this, "finish", { ...result });
    return result.text;
  }

  #take(result: Result, { text, id, logprob, entropy, finish_reason }: TokenChunk): void {
    result.text += text;
    result.tokens += 1;
    result.reason = finish_reason ?? "stopped";
    tell(this, "token", { text, id, logprob, entropy });
    this.requestUpdate();
  }

  #open(): Promise<Thimble> {
    if (this.#opening) return this.#opening;
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    const opening = openSession({
      model: this.model,
      signal,
      progress: ({ loaded, bytes, totalBytes, stage }) => {
        if (signal.aborted) return;
        this.#progress = { loaded, bytes, totalBytes, stage };
        tell(this, "progress", this.#progress);
        this.requestUpdate();
      },
    });
    this.#opening = opening;
    opening.then(
      (session) => {
        if (signal.aborted) return;
        this.#info = session.model;
        tell(this, "load", { model: session.model });
      },
      () => {
        if (this.#opening === opening) this.#opening = null;
      },
    );
    return opening;
  }

  /** Give back what the element holds of the engine. */
  #leave(): void {
    this.#leaving.abort(new DOMException("the element is gone", "AbortError"));
    this.#opening = this.#info = this.#progress = null;
    this.#begun = this.#result !== null;
    const waits = this.isConnected && this.#state === "loading";
    if (waits) this.#begun = true;
    else if (this.#state === "loading" || this.#state === "ready") this.#become("idle");
  }

  #fail(error: unknown): Error {
    const failure = error instanceof Error ? error : new Error(String(error));
    if (failure.name === "CrashError") this.#leave(); // its session went too
    const { name, message } = failure;
    this.#failure = { name, message };
    this.#revealed = true;
    this.#become("failed");
    tell(this, "error", { name, message });
    return failure;
  }

  #become(state: State): void {
    this.#state = state;
    this.requestUpdate();
  }
}

async function each<Value>(
  stream: ReadableStream<Value>,
  take: (value: Value) => void,
): Promise<void> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    take(value);
  }
}

/** Whether the visitor has asked pages to spare what they download. */
function savesData(): boolean {
  const { connection } = navigator as { connection?: { saveData?: boolean } };
  return connection?.saveData ?? false;
}
