/**
 * The debugger, seen from the page: it asks the worker, one question at a time, and keeps the live
 * session's text where the debugger stands. Listeners hear "view" (it stands elsewhere, or the next
 * token comes about otherwise), "error" and "busy".
 */

import type { LiveSession } from "../live";
import type { GenerationRequest } from "../live/writing";
import type { RemoteEngine } from "../protocol";
import type { StepTokenRow, StepView, PromptTokenRow, ReplayView, RunEnd } from "../protocol/step";
import type { TokenChunk, SamplingOptions } from "../thimble";
import type { Token } from "../ui/token";

/** Milliseconds of work between two answers: under a frame, and long against one crossing. */
const SLICE_MS = 12;

/** A token, and a word about how it came. */
export type StepToken = TokenChunk & { readonly note: string };

/** What every question needs: whom to ask, and what the page has. */
export interface Asking {
  readonly engine: RemoteEngine;
  readonly session: number;
  /** How many tokens the page has. */
  readonly known: number;
  /** The settings as JSON. */
  readonly options: string;
}

type Question<Answer> = (asking: Asking) => Promise<Answer>;

function stepTokenOf([text, id, logprob, entropy, top, note]: StepTokenRow): StepToken {
  const top_logprobs = top.map(([id, text, logprob]) => ({ id, text, logprob }));
  return { text, id, logprob, entropy, top_logprobs, note, finish_reason: null };
}

/** A token of the prompt; a mark that says nothing and that nothing came before is left out. */
function givenOf([text, id, logprob, entropy, top]: PromptTokenRow): Token[] {
  if (!text && logprob === null) return [];
  const alternatives = top.map(([id, text, logprob]) => ({ id, text, logprob }));
  return [{ text, id, logprob, entropy, top: alternatives, given: true }];
}

const NONE: readonly Token[] = [];

export class Stepper extends EventTarget {
  readonly #live: LiveSession;
  /** Where the debugger stands; null while nobody has asked, and while somebody else writes. */
  view: StepView | null = null;
  /** What the last question failed with. */
  error: Error | null = null;
  /** Whether tokens are being taken one after another. */
  running = false;
  /** Milliseconds from the last question to the page that shows its answer. */
  took: number | null = null;
  #asking = 0;
  #turn: Promise<void> = Promise.resolve();
  #ours = false;
  #stepping = false;
  /** The constraint that the view's next token is kept to. */
  #constraint = "";
  /** The prompt's tokens, and the text and length for which they are known. */
  #given = { request: undefined as GenerationRequest | undefined, length: 0, tokens: NONE };

  constructor(live: LiveSession) {
    super();
    this.#live = live;
    live.addEventListener("state", () => {
      if (this.#ours || this.running) return;
      this.view = null; // somebody else has moved
      this.#tell("view");
    });
  }

  /** Whether an answer is awaited. */
  get isBusy(): boolean {
    return this.#asking > 0;
  }

  /** Whether there is a session that can be asked, and nobody else is at it. */
  get isReady(): boolean {
    return this.#live.isOpen && (this.#live.state !== "writing" || this.running);
  }

  /** The tokens of the prompt, as far as they are known. */
  get given(): readonly Token[] {
    return this.#given.request === this.#live.writing?.request ? this.#given.tokens : NONE;
  }

  /** Whether the visitor has asked for another constraint since the next token was shown. */
  get isStale(): boolean {
    return Boolean(this.view?.context) && this.#constraint !== encode(this.#live.draft().constraint);
  }

  /** Find out where the session stands. */
  async refresh(): Promise<void> {
    const ids = JSON.stringify((this.#live.writing?.tokens ?? []).map((token) => token.id));
    await this.#inTurn(async () => {
      this.#show(await this.#ask((a) => a.engine.step.view(a.session, ids, a.options)));
      await this.#learnGiven();
    });
  }

  /** Ask for something that ends in a view; not while tokens are being taken. */
  async move(question: Question<StepView>): Promise<void> {
    await this.#inTurn(async () => this.#show(await this.#ask(question)));
  }

  /** Ask for something else; undefined where that failed. */
  async ask<Answer>(question: Question<Answer>): Promise<Answer | undefined> {
    let answer: Answer | undefined;
    await this.#guard(async () => (answer = await this.#ask(question)));
    return answer;
  }

  /** A new text from the prompt that the visitor has given. */
  async begin(): Promise<void> {
    await this.#inTurn(() => this.#begin());
  }

  /** Take one token; the first begins the text. Not while one is being taken: keys repeat. */
  async step(): Promise<void> {
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      await this.#stepOnce();
    } finally {
      this.#stepping = false;
    }
  }

  async #stepOnce(): Promise<void> {
    const started = performance.now();
    const work = async (): Promise<void> => {
      if (!this.#hasText) await this.#begin();
      this.#show(await this.#ask((a) => a.engine.step.step(a.session, a.known, a.options)));
    };
    // A sampler of the visitor's own, or a mask, may never answer: there must be a way to stop it.
    if (this.#live.sampler === null && !this.#settings.grammar) await this.#inTurn(work);
    else await this.#drive(work);
    this.took = performance.now() - started;
    this.#tell("view");
  }

  /** Take tokens until something stops them; why, or null where it was the visitor. */
  async run(): Promise<RunEnd | null> {
    let over: RunEnd | null = null;
    await this.#drive(async (signal) => {
      if (!this.#hasText) await this.#begin();
      this.#show(await this.#ask((a) => a.engine.step.start(a.session, a.known, a.options)));
      while (!signal.aborted && over === null) {
        const view = await this.#ask((a) => a.engine.step.run(a.session, a.known, SLICE_MS));
        over = view.over;
        this.#show(view);
      }
      if (over === null) await this.#look();
    });
    return over;
  }

  /** Replay a recorded run; its last view, or null where it could not even begin. */
  async replay(content: string): Promise<ReplayView | null> {
    let last: ReplayView | null = null;
    await this.#drive(async (signal) => {
      let view = await this.#ask((a) => a.engine.step.open(a.session, content));
      const { settings } = this.#live.draft();
      const { model, changes } = this.#live;
      const { constraint } = view.replay;
      const grammar = constraint ? { grammar: constraint } : {};
      const request = { settings: { ...settings, ...grammar }, prompt: view.prompt[1], model, changes };
      this.#show(view, request);
      await this.#learnGiven();
      while (!view.replay.over && !signal.aborted) {
        view = await this.#ask((a) => a.engine.step.replay(a.session, a.known, SLICE_MS));
        this.#show(view);
      }
      last = view;
      if (!view.replay.over) await this.#look();
    });
    return last;
  }

  /** Stop what runs. */
  async pause(): Promise<void> {
    await this.#live.stop();
  }

  get #hasText(): boolean {
    return this.#live.writing !== null && (this.view === null || this.view.context > 0);
  }

  async #begin(): Promise<void> {
    const { prompt } = this.#live.draft();
    const settings = this.#settings;
    const options = encode(settings);
    const view = await this.#ask((a) => a.engine.step.begin(a.session, prompt, options));
    this.#live.select(null);
    this.#show(view, { prompt, settings, model: this.#live.model });
    await this.#learnGiven();
  }

  /** Ask for the prompt's tokens, once for each prompt. */
  async #learnGiven(): Promise<void> {
    const request = this.#live.writing?.request;
    const [length] = this.view?.prompt ?? [0];
    if (!request || !length) return;
    if (request === this.#given.request && length === this.#given.length) return;
    const tokens = await this.#ask(({ engine, session }) => engine.step.given(session));
    this.#given = { request, length, tokens: tokens.flatMap(givenOf) };
    this.#tell("view");
  }

  async #look(): Promise<void> {
    this.#show(await this.#ask((a) => a.engine.step.settings(a.session, a.known, a.options)));
  }

  async #ask<Answer>(question: Question<Answer>): Promise<Answer> {
    this.#asking += 1;
    this.#tell("busy");
    try {
      const known = this.#live.writing?.tokens.length ?? 0;
      const options = encode(this.#settings);
      return await this.#live.ask((engine, session) =>
        question({ engine, session, known, options }),
      );
    } finally {
      this.#asking -= 1;
      this.#tell("busy");
    }
  }

  /** By which the next token comes. */
  get #settings(): SamplingOptions {
    const { settings, constraint } = this.#live.draft();
    return { ...settings, ...constraint };
  }

  /** Let the page's text be the view's. */
  #show(view: StepView, request: GenerationRequest | undefined = this.#live.writing?.request): void {
    const live = this.#live;
    this.view = view;
    this.#constraint = encode(live.draft().constraint);
    const before = live.writing?.tokens ?? [];
    const fresh = view.tokens.map(stepTokenOf);
    const last = fresh.at(-1);
    if (last) fresh[fresh.length - 1] = { ...last, finish_reason: view.reason };
    this.#ours = true;
    if (request && (request !== live.writing?.request || view.keep < before.length)) {
      const tokens = [...before.slice(0, view.keep), ...fresh];
      live.replace({ request, tokens, finishReason: view.reason }, view.context);
    } else if (live.writing && fresh.length > 0) {
      live.grow(fresh, view.context);
    }
    this.#ours = false;
    this.#tell("view");
  }

  /** Work when the questions before this one are answered, and when nothing runs. */
  async #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(async () => {
      if (this.isReady && !this.running) await this.#guard(work);
    });
    this.#turn = mine;
    await mine;
  }

  async #drive(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    await this.#turn;
    if (!this.isReady || this.running) return;
    this.running = true;
    await this.#live.drive((signal) => this.#guard(() => work(signal)));
    this.running = false;
    if (this.#live.state === "failed") this.view = null;
    this.#tell("view");
  }

  async #guard(work: () => Promise<unknown>): Promise<void> {
    this.error = null;
    try {
      await work();
    } catch (error) {
      this.error = error instanceof Error ? error : new Error(String(error));
      // The session is lost with its worker; the live session tells everybody.
      const { error: lost } = this;
      if (lost.name === "CrashError") {
        if (this.running) throw lost;
        await this.#live.drive(() => Promise.reject(lost));
      }
      this.#tell("error");
    }
  }

  #tell(what: "view" | "error" | "busy"): void {
    this.dispatchEvent(new Event(what));
  }
}

function encode(settings: SamplingOptions): string {
  return JSON.stringify(settings);
}
