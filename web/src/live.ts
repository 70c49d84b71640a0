/**
 * The one live session that every panel shows: what it is doing, the text so far, how fast it goes.
 *
 * It knows the module that is public, with those members of it that are for this page alone, and no
 * element of the page. Panels listen to "state" (something other than text changed), "text" (new
 * text), "token" (a new token, whether it brought text or not), "select" (another token is looked
 * at), "models" (there are others to choose from), "progress" (a load came further), "busy" (work that
 * takes long, or no longer does), "restart" (what was in the engine is gone), "changes" (inside the
 * model: lens/changes.ts) and "adapter" (ui/adapter.ts).
 */

import { abortable } from "./api/abort";
import { ProgressEvent, TextEvent, TokenEvent } from "./live/events";
import { OwnModels } from "./live/own-models";
import { addToken, count, nothingYet } from "./live/writing";
import type { Draft, Writing } from "./live/writing";
import type { RemoteEngine } from "./protocol";
import type { AdapterInfo } from "./protocol/adapter";
import type { ComingModel } from "./protocol/bring";
import type { SavedModel } from "./storage/models";
import type {
  DownloadProgressEvent,
  PromptOptions,
  SamplingOptions,
  Thimble as Session,
  TokenChunk,
} from "./thimble";

type ThimbleClass = typeof import("./thimble").Thimble;

export type State = "loading" | "ready" | "writing" | "stopped" | "finished" | "failed";

/** A slice of the engine's work takes less; after this it may take for ever. */
const PATIENCE_MS = 800;

/** A question that takes longer than this is shown as work that can be stopped. */
const LONG_MS = 2000;

/** An interrupt is answered sooner; only code that no interrupt reaches is not. */
const INTERRUPT_MS = 1500;

/** Marks the end of what a visitor waits for, once a page, for whoever asks what came before it. */
const READY = "thimble-ready";

/** Alternatives that come with every token. */
const ALTERNATIVES = 10;

export class LiveSession extends EventTarget {
  readonly #thimble: ThimbleClass;
  #session: Session | null = null;
  #opening: Promise<Session> | null = null;
  #abort: AbortController | null = null;
  #running: Promise<void> = Promise.resolve();
  state: State = "loading";
  model = "";
  writing: Writing | null = null;
  failure: Error | null = null;
  /** What a new text would begin from, as it stands in the form where the visitor says it. */
  draft: () => Draft = () => ({ prompt: "", settings: {}, constraint: {} });
  /** The visitor's own function that chooses the tokens, by its name; null for Thimble's own. */
  sampler: string | null = null;
  /** What stands changed inside the model: see lens/changes.ts. */
  changes: readonly string[] = [];
  /** The adapter on the model: see ui/adapter.ts. */
  adapter: AdapterInfo | null = null;
  #selected: number | null = null;
  /** Questions that take long, by their timers. */
  readonly #late = new Set<number>();
  /** The text whose tokens a worker took with it when it was ended. */
  #lost: Writing | null = null;
  /** Models that are not part of the site, by the names that the panels use. */
  readonly files = new OwnModels();

  constructor(thimble: ThimbleClass) {
    super();
    this.#thimble = thimble;
  }

  /** Whether a session is there to write with. */
  get isOpen(): boolean {
    return this.#session !== null;
  }

  /** Bytes of the live model's weights. */
  get modelBytes(): number {
    return this.#session?.model.bytes ?? 0;
  }

  get parameters(): number {
    return this.#session?.model.parameters ?? 0;
  }

  get contextUsage(): number {
    return this.#session?.contextUsage ?? 0;
  }

  get contextWindow(): number {
    return this.#session?.contextWindow ?? 0;
  }

  /** Whether there is text that can be gone on with. */
  get canContinue(): boolean {
    return (
      this.state !== "writing" && this.writing !== null && this.writing.finishReason !== "stop" &&
      this.contextUsage > 0 && this.contextUsage < this.contextWindow
    );
  }

  /** Whether the text can be made again as it was. */
  get canRegenerate(): boolean {
    return this.state !== "writing" && this.isOpen && this.writing?.request.model === this.model;
  }

  /** The place of the token that every panel looks at; null for the text's end. */
  get selected(): number | null {
    return this.#selected;
  }

  /** Look at another token, in every panel. */
  select(index: number | null): void {
    const there = index !== null && index >= 0 && index < (this.writing?.tokens.length ?? 0);
    const selected = there ? index : null;
    if (selected === this.#selected) return;
    this.#selected = selected;
    this.dispatchEvent(new Event("select"));
  }

  /** Ask the worker something about this session, which waits until there is one. */
  async ask<Value>(
    question: (engine: RemoteEngine, session: number) => Promise<Value>,
  ): Promise<Value> {
    return this.#asked((session) => this.#timed(session.ask(question)));
  }

  /** The same where messages come before the answer, on a port; the last is null. */
  async listen<Value, Message>(
    question: (engine: RemoteEngine, session: number, port: MessagePort) => Promise<Value>,
    hear: (message: Message) => void,
  ): Promise<Value> {
    return this.#asked((session) => session.listen(question, hear));
  }

  async #asked<Value>(ask: (session: Session) => Promise<Value>): Promise<Value> {
    const session = await this.#whenOpen();
    try {
      return await ask(session);
    } catch (error) {
      // The worker is gone and the session with it: the next question gets another one.
      const died = error instanceof Error && error.name === "CrashError";
      if (died && session === this.#session && this.state !== "writing") this.#fail(error);
      throw error;
    }
  }

  /** Note a question that takes long. What sends messages meanwhile has a Stop of its own. */
  async #timed<Value>(answer: Promise<Value>): Promise<Value> {
    const late: number = window.setTimeout(() => {
      this.#late.add(late);
      this.dispatchEvent(new Event("busy"));
    }, LONG_MS);
    try {
      return await answer;
    } finally {
      clearTimeout(late);
      if (this.#late.delete(late)) this.dispatchEvent(new Event("busy"));
    }
  }

  /** Whether the engine has worked for a while on something that has no Stop of its own. */
  get isBusy(): boolean {
    return this.#late.size > 0 && this.state !== "writing";
  }

  /** The session that there is, or the one that comes; one that another replaces is waited for no more. */
  async #whenOpen(): Promise<Session> {
    while (!this.#session) await (this.#opening ?? this.#load());
    return this.#session;
  }

  /** Told when another sampler chooses the tokens. */
  sampledBy(sampler: string | null): void {
    if (sampler === this.sampler) return;
    this.sampler = sampler;
    this.#become(this.state);
  }

  /** Let Thimble's own sampler choose again. */
  async resetSampler(): Promise<void> {
    await this.ask((engine, session) => engine.console.resetSampler(session));
    this.sampledBy(null);
  }

  /** Interrupt the visitor's own code in the worker; false where that is impossible. */
  interrupt(): boolean {
    return this.#thimble.interrupt();
  }

  /**
   * Start the engine anew, where nothing else can stop it; the text stays and can be gone on with.
   * "restart" tells that whatever else was in the engine is gone.
   */
  async restart(): Promise<void> {
    this.#thimble.end();
    this.dispatchEvent(new Event("restart"));
    await this.#running; // it has lost its worker, and says what text there is
    this.#lost = this.writing;
    await this.open(this.model);
  }

  /** Let a new session hold the text of the one that was lost with its worker. */
  async #putBack(session: Session): Promise<Session> {
    const lost = this.#lost;
    this.#lost = null;
    if (!lost || lost !== this.writing || lost.tokens.length === 0) return session;
    const known = JSON.stringify(lost.tokens.map((token) => token.id));
    const context = await session.ask((engine, id) =>
      engine.console.putBack(id, lost.request.prompt, known),
    );
    session.used(context);
    return session;
  }

  /** Get a model ready, instead of the one that was. */
  async open(model: string): Promise<void> {
    await this.stop();
    this.#session?.destroy();
    this.#session = null;
    this.model = model;
    this.#become("loading");
    await this.#load().catch(() => undefined); // the state tells
  }

  /** Get a model of the visitor's own ready; "models" says that there are others to choose from. */
  async openFile(file: Blob | SavedModel, name: string): Promise<void> {
    this.files.set(name, file);
    this.dispatchEvent(new Event("models"));
    await this.open(name);
  }

  /** Make room for another model that comes; `retake` gets this one ready again. */
  async release(): Promise<void> {
    await this.stop();
    this.#session?.destroy();
    this.#session = null;
    this.#become("loading");
  }

  /** After `release`, unless somebody has asked for a model since. */
  async retake(): Promise<void> {
    if (!this.#session && !this.#opening) await this.open(this.model);
  }

  /** Free the models that no session uses. */
  tidy = (): void => this.#thimble.tidy();

  /** Offer a model of the visitor's own no longer. */
  forgetFile(name: string): void {
    this.files.delete(name);
    this.dispatchEvent(new Event("models"));
  }

  /** Create a session on the chosen model. */
  #load(): Promise<Session> {
    const opening: Promise<Session> = this.#create(this.model).then((session) =>
      isCurrent() ? this.#putBack(session) : session,
    );
    const isCurrent = (): boolean => this.#opening === opening;
    this.#opening = opening;
    opening
      .then(
        (session) => {
          if (!isCurrent()) return session.destroy(); // another model was chosen since
          this.#session = session;
          if (!performance.getEntriesByName(READY).length) performance.mark(READY);
          this.sampler = null; // it was the session's before
          // It may be about to write, have been stopped while it waited, or hold a text again.
          this.#become(this.state === "writing" ? "writing" : this.#stateOf(session));
        },
        (error: unknown) => {
          if (isCurrent()) this.#fail(error);
        },
      )
      .finally(() => {
        if (isCurrent()) this.#opening = null;
      });
    return opening;
  }

  /** What a session that does nothing is: whether its text has ended, or that it has none yet. */
  #stateOf(session: Session): State {
    if (!this.writing || session.contextUsage === 0) return "ready";
    return this.writing.finishReason === null ? "stopped" : "finished";
  }

  #create(model: string): Promise<Session> {
    const hear = (progress: DownloadProgressEvent) => this.dispatchEvent(new ProgressEvent(progress));
    return this.createSession(model, hear);
  }

  /** A session beside the live one, on a model by the name that the panels use, or one that comes. */
  createSession(
    model: string | ComingModel,
    progress: (progress: DownloadProgressEvent) => void,
    signal?: AbortSignal,
  ): Promise<Session> {
    return this.#thimble.create({
      model: typeof model === "string" ? (this.files.get(model) ?? model) : model,
      monitor: (monitor) =>
        monitor.addEventListener("downloadprogress", (event) =>
          progress(event as DownloadProgressEvent),
        ),
      ...(signal ? { signal } : {}),
    });
  }

  /** Write a new text; while the model loads, as soon as it is there. */
  async write(prompt: string, settings: SamplingOptions): Promise<void> {
    await this.stop();
    const before = this.writing;
    const request = { prompt, settings, model: this.model, changes: this.changes };
    this.writing = { request, text: "", tokens: [], measures: nothingYet(), finishReason: null };
    this.select(null);
    await this.#run(this.writing, prompt, { ...settings, continue: false }, before);
  }

  /** Write on where the text ends. */
  async continue(settings: SamplingOptions): Promise<void> {
    await this.stop();
    const before = this.writing;
    if (!before) return;
    const tokens = [...before.tokens];
    this.writing = { ...before, tokens, measures: nothingYet(), finishReason: null };
    await this.#run(this.writing, "", { ...settings, continue: true }, before);
  }

  /** The same text again, from the same prompt, settings and seed. */
  async regenerate(): Promise<void> {
    if (this.writing) await this.write(this.writing.request.prompt, this.writing.request.settings);
  }

  /** Stop; what is written stays. */
  async stop(): Promise<void> {
    while (this.state === "writing") {
      this.#abort?.abort();
      await this.insist(this.#running);
    }
  }

  /**
   * See work that was told to stop to its end. What does not hear of it, a long prompt, a template, a
   * mask, a sampler of the visitor's own, loses its worker, and another one gets model and text.
   */
  async insist(work: Promise<unknown>): Promise<void> {
    const over = work.then(() => true, () => true);
    const isOver = (within: number): Promise<boolean> =>
      Promise.race([over, new Promise<false>((resolve) => setTimeout(() => resolve(false), within))]);
    if (await isOver(PATIENCE_MS)) return;
    // An interrupt is heard in code of the visitor's own alone.
    if (this.sampler !== null && this.interrupt() && (await isOver(INTERRUPT_MS))) return;
    await this.restart();
  }

  /**
   * Let a panel move in the text by its own means: it asks the worker and tells by `replace` and
   * `grow` what came of it, until it is done or the signal says stop.
   */
  async drive(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    await this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.failure = null;
    this.#become("writing");
    this.#running = work(abort.signal).then(
      () => this.#become(this.writing?.finishReason == null ? "stopped" : "finished"),
      (error: unknown) => this.#fail(error),
    );
    await this.#running;
  }

  /** Show another text as this session's, which has so many tokens in its context. */
  replace(writing: Omit<Writing, "text" | "measures">, context: number): void {
    const text = writing.tokens.map((token) => token.text).join("");
    const measures = { ...nothingYet(), tokens: writing.tokens.length };
    this.writing = { ...writing, text, measures };
    this.#session?.used(context);
    if (this.#selected !== null && this.#selected >= writing.tokens.length) this.select(null);
    if (this.state === "writing") return; // told when the drive is over
    this.#become(writing.finishReason === null ? "stopped" : "finished");
  }

  /** Put tokens at the text's end that a panel's own means brought. */
  grow(tokens: readonly TokenChunk[], context: number): void {
    const { writing } = this;
    if (!writing) throw new Error("there is no text that could grow");
    this.#session?.used(context);
    for (const token of tokens) {
      writing.measures.tokens += 1;
      this.#add(writing, token);
    }
    if (this.state === "writing") return;
    this.#become(writing.finishReason === null ? "stopped" : "finished");
  }

  async #run(
    writing: Writing,
    prompt: string,
    options: PromptOptions,
    before: Writing | null,
  ): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.failure = null;
    this.#become("writing");
    this.#running = this.#generate(writing, prompt, { ...options, signal: abort.signal }).then(
      () => this.#become("finished"),
      (error: unknown) => {
        if (writing.measures.tokens === 0) this.writing = before; // nothing came: keep what was
        if (!abort.signal.aborted) this.#fail(error);
        else if (!this.isOpen) this.#become("loading");
        else this.#become(writing.finishReason === null ? "stopped" : "finished");
      },
    );
    await this.#running;
  }

  async #generate(
    writing: Writing,
    prompt: string,
    options: PromptOptions & { signal: AbortSignal },
  ): Promise<void> {
    // Without a session the model is still on its way, or was lost with its worker.
    const session =
      this.#session ?? (await abortable(this.#whenOpen(), options.signal));
    // Waiting for the model was not the model's time.
    const started = performance.now();
    const details = { logprobs: true, top_logprobs: ALTERNATIVES } as const;
    const chunks = session.promptStreaming(prompt, { ...options, ...details });
    const reader = chunks.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      count(writing.measures, performance.now() - started);
      this.#add(writing, value);
    }
  }

  #add(writing: Writing, token: TokenChunk): void {
    addToken(writing, token);
    this.dispatchEvent(new TokenEvent(token, writing.tokens.length - 1));
    if (token.text) this.dispatchEvent(new TextEvent(token.text));
  }

  #fail(error: unknown): void {
    this.failure = error instanceof Error ? error : new Error(String(error));
    if (this.failure.name === "CrashError") this.#session = null;
    this.#become("failed");
  }

  #become(state: State): void {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
