/**
 * A conversation with the live model: its turns, and a session of its own, so that what Write shows
 * stays as it is and the keys and values of earlier turns stay too. It knows no element of the page.
 *
 * It tells "change" when a turn, a count or what it is doing is another. Nothing of it is kept.
 */

import type { LiveSession } from "../live";
import type { FinishReason, FromRun, Message } from "../protocol";
import type { Conversing } from "../protocol/talk";
import type { PromptOptions, SamplingOptions, Thimble as Session } from "../thimble";

export interface Turn {
  readonly role: "user" | "assistant";
  text: string;
  /** The model that wrote it. */
  readonly model?: string;
  tokens: number;
  /** Null while it is being written, or where it was stopped. */
  finish: FinishReason | null;
  /** What its tokens are drawn by. */
  seed?: number;
}

export interface Counts {
  /** Tokens of the conversation, the answer included. */
  readonly context: number;
  readonly window: number;
  /** Tokens of the last question that were in the cache already, and those that were computed. */
  readonly reused: number;
  readonly read: number;
  /** Tokens a second, from the answer's first one on. */
  readonly speed: number | null;
}

/** Whether a message was refused because the model's context cannot hold it. */
export function isTooLong(error: unknown): boolean {
  return error instanceof Error && error.name === "ContextError";
}

export class Conversation extends EventTarget {
  readonly #live: LiveSession;
  #session: Session | null = null;
  /** The model that the session is on. */
  #model = "";
  /** Aborted to stop the answer that is being written. */
  #stop = new AbortController();
  #answering: Promise<void> = Promise.resolve();
  turns: Turn[] = [];
  /** The first turn that the model still reads: the context has no place for those before it. */
  first = 0;
  system = "";
  busy = false;
  counts: Counts | null = null;
  /** Other answers that were asked for at this place. */
  #again = 0;
  /** The turn that the session's tokens end with. */
  #held: Turn | null = null;
  /** What was there before it was cleared. */
  #before: Pick<Conversation, "turns" | "first" | "counts"> | null = null;

  constructor(live: LiveSession) {
    super();
    this.#live = live;
    live.addEventListener("restart", () => (this.#session = this.#held = null));
  }

  /** Say something, and have it answered. Rejects with the reason where it is not. */
  async send(text: string, settings: SamplingOptions): Promise<void> {
    this.turns.push({ role: "user", text, tokens: 0, finish: null });
    this.#before = null;
    this.#again = 0;
    await this.#answer(settings);
  }

  /** Say something else at the place of a turn; all that came after it is dropped. */
  async resend(at: number, text: string, settings: SamplingOptions): Promise<void> {
    this.turns.length = at;
    this.first = Math.min(this.first, at);
    await this.send(text, settings);
  }

  /** Another answer to what was said last. */
  async regenerate(settings: SamplingOptions): Promise<void> {
    if (this.turns.at(-1)?.role === "assistant") this.turns.pop();
    this.#again += 1;
    const seed = ((settings.seed ?? 0) + this.#again) % 2 ** 32;
    await this.#answer({ ...settings, seed });
  }

  /** Whether the last answer was cut off, or stopped. */
  get canContinue(): boolean {
    const last = this.turns.at(-1);
    return !this.busy && last?.role === "assistant" && last.finish !== "stop";
  }

  /** Go on with the last answer, as if its length had been larger. */
  async continue(settings: SamplingOptions): Promise<void> {
    const last = this.turns.at(-1);
    if (!this.canContinue || !last) return;
    await this.#answer({ ...settings, seed: last.seed ?? settings.seed ?? 0 }, last);
  }

  /** Begin afresh; `restore` brings back what was there, until something new is said. */
  clear(): void {
    const { turns, first, counts } = this;
    this.#before = { turns, first, counts };
    this.turns = [];
    this.first = 0;
    this.counts = null;
    this.#again = 0;
    this.#tell();
  }

  get canRestore(): boolean {
    return this.#before !== null && this.turns.length === 0;
  }

  restore(): void {
    if (!this.#before || !this.canRestore) return;
    Object.assign(this, this.#before);
    this.#before = null;
    this.#tell();
  }

  /** What is written stays. */
  stop(): void {
    this.#stop.abort();
    if (this.busy) void this.#live.insist(this.#answering);
  }

  /** Give the memory of its keys and values back; the turns stay. */
  close(): void {
    this.#session?.destroy();
    this.#session = null;
    this.#held = null;
  }

  async #answer(settings: SamplingOptions, cut?: Turn): Promise<void> {
    await (this.#answering = this.#answerLast(settings, cut));
  }

  async #answerLast(settings: SamplingOptions, cut?: Turn): Promise<void> {
    const { seed } = settings;
    const turn: Turn = cut ?? {
      role: "assistant", text: "", model: this.#live.model, tokens: 0, finish: null,
      ...(seed === undefined ? {} : { seed }),
    };
    if (!cut) this.turns.push(turn);
    const before = { ...turn };
    this.busy = true;
    const { signal } = (this.#stop = new AbortController());
    this.#tell();
    try {
      const session = await this.#open();
      if (!signal.aborted) await this.#write(session, turn, cut !== undefined, { ...settings, signal });
    } catch (error) {
      if (error instanceof Error && error.name === "CrashError") this.close();
      if (!signal.aborted) throw error;
    } finally {
      this.busy = false;
      if (turn.tokens === 0 && !before.text) this.turns.splice(this.turns.indexOf(turn), 1);
      this.#tell();
    }
  }

  /**
   * How the answer begins. One that is cut off goes on from the session's very tokens; where they are
   * gone, or fill the context, its text is what the model goes on from.
   */
  #how(turn: Turn, cut: boolean): Conversing {
    const isFull = this.counts !== null && this.counts.context >= this.counts.window;
    if (cut && this.#held === turn && !isFull) return { resume: true };
    return { keep: 0, newest: 1, ...(cut ? { prefix: true } : {}) };
  }

  async #write(
    session: Session, turn: Turn, cut: boolean, settings: PromptOptions,
  ): Promise<void> {
    let first = 0;
    let fresh = 0;
    const conversation = this.#how(turn, cut);
    const messages = this.#messages(turn, cut);
    this.#held = null;
    const hear = (news: FromRun): void => {
      const window = session.contextWindow;
      if (news.type === "begun") {
        const { prompt, reused } = news;
        this.first += news.left_out;
        this.#held = turn;
        if (news.resumed) Object.assign(turn, news.resumed);
        this.counts = { context: prompt, window, reused, read: prompt - reused, speed: null };
      } else if (news.type === "batch") {
        const { text = "", count, context, finish_reason: finish } = news.batch;
        const now = performance.now();
        turn.text += text;
        turn.tokens += count;
        fresh += count;
        turn.finish = finish;
        if (first === 0) first = now;
        const speed = now > first ? (1000 * (fresh - 1)) / (now - first) : null;
        if (this.counts) this.counts = { ...this.counts, context, speed };
      }
      this.#tell();
    };
    const options = { ...settings, logprobs: false, conversation };
    const reader = session.write(messages, options, hear).getReader();
    while (!(await reader.read()).done);
  }

  /** The system's word and the turns before this one that are still read, in their order; with
   * `cut` this one too. */
  #messages(turn: Turn, cut: boolean): Message[] {
    const said = this.turns.slice(this.first, this.turns.indexOf(turn) + Number(cut));
    const turns = said.map(({ role, text }): Message => ({ role, content: text }));
    const system = this.system.trim();
    return system ? [{ role: "system", content: system }, ...turns] : turns;
  }

  async #open(): Promise<Session> {
    const { model } = this.#live;
    if (this.#session && this.#model === model) return this.#session;
    this.close();
    this.#session = await this.#live.createSession(model, () => undefined);
    if (this.#model !== model) this.first = 0; // another model may read more
    this.#model = model;
    return this.#session;
  }

  #tell(): void {
    this.dispatchEvent(new Event("change"));
  }
}
