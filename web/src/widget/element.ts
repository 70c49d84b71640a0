/** `<thimble-lm>`: its attributes, methods and events, and when it begins. */

import { LitElement } from "lit";
import type { PropertyDeclaration, PropertyDeclarations, PropertyValues, TemplateResult } from "lit";
import { abortable } from "../api/abort";
import type { TokenChunk, ModelInfo, Thimble } from "../thimble";
import { number, oneOf, optionsOf } from "./attributes";
import type { Options } from "./attributes";
import { tell } from "./events";
import type { ErrorDetail, FinishDetail, ProgressDetail, ThimbleLmEventMap } from "./events";
import { openSession } from "./opener";
import { styles } from "./styles";
import { render } from "./view";
import type { State } from "./view";

/** A text that grows. */
type Result = { -readonly [Name in keyof FinishDetail]: FinishDetail[Name] };

/** Pixels below what is seen that a growing text is followed over: some lines. */
const FOLLOWED = 100;

/** Reflected; without its attribute a property has the value that the constructor gives it. */
const PLAIN: PropertyDeclaration = { reflect: true, useDefault: true };

export class ThimbleLm extends LitElement {
  static override styles = styles;
  static override properties: PropertyDeclarations = {
    model: PLAIN,
    defaultPrompt: { ...PLAIN, attribute: "prompt" },
    loading: { ...PLAIN, converter: oneOf("lazy", "eager") },
    reveal: { ...PLAIN, converter: oneOf("auto", "manual") },
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
   * Write a text that begins with `text`, or with what is in the prompt's field, instead of any
   * other; gives what was written, up to where it was stopped if it was.
   */
  async prompt(text?: string): Promise<string> {
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
      if (!this.isConnected) this.#leave();
    });
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("defaultPrompt") && this.hasUpdated) this.#typed = null;
    if (!changed.has("model") || !this.hasUpdated) return;
    this.#leave();
    this.#arm();
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
    return { "max-tokens": maxTokens, temperature, "top-p": topP, seed };
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
    this.#become("loading");
    try {
      await this.#open();
      if (this.#state !== "loading") return;
      this.#revealed ||= this.reveal === "auto";
      this.#become("ready");
    } catch (error) {
      if (!this.#leaving.signal.aborted) throw this.#fail(error);
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
      const session = await abortable(this.#open(), signal);
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
        this.#progress = { loaded, bytes, totalBytes, stage };
        tell(this, "progress", this.#progress);
        this.requestUpdate();
      },
    });
    this.#opening = opening;
    opening.then(
      (session) => {
        signal.addEventListener("abort", () => session.destroy());
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
    this.#abort?.abort();
    this.#leaving.abort(new DOMException("the element is gone", "AbortError"));
    this.#opening = this.#info = this.#progress = null;
    this.#begun = this.#result !== null;
    if (this.#state === "loading" || this.#state === "ready") this.#become("idle");
  }

  #fail(error: unknown): Error {
    const failure = error instanceof Error ? error : new Error(String(error));
    if (failure.name === "CrashError") this.#opening = this.#info = null; // its session went too
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

// The events by their types, for listeners written in TypeScript.
export interface ThimbleLm {
  addEventListener<Name extends keyof ThimbleLmEventMap>(
    type: Name,
    listener: (this: ThimbleLm, event: ThimbleLmEventMap[Name]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}
