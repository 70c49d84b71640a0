/**
 * A conversation with the live model: its turns, and a session of its own, so that what Write shows
 * stays as it is and the keys and values of earlier turns stay too. It knows no element of the page.
 *
 * It tells "change" when a turn, a count or what it is doing is another. Keeping it is another
 * module's (keeper.ts).
 */

import type { LiveSession } from "../live";
import { MOST_ROUNDS } from "../prompt-api/tools";
import type { Begun, FromRun, Message } from "../protocol";
import type { Conversing } from "../protocol/talk";
import type { PromptOptions, SamplingOptions, Thimble as Session } from "../thimble";
import { grow, messagesOf, open } from "./asides";
import type { Aside, Call } from "./asides";
import { Reading } from "./reading";
import { toldOf } from "./tools";
import type { ToolName } from "./tools";
import { Tree, newId } from "./tree";
import type { Turn } from "./tree";

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

/** The tools that a model may call, and who carries them out. */
export interface Tools {
  readonly names: readonly ToolName[];
  /** Whether an answer begins with a call: small models do not come upon it by themselves. */
  readonly first: boolean;
  carryOut(call: Call, signal: AbortSignal): Promise<string>;
}

const NO_TOOLS: Tools = { names: [], first: false, carryOut: () => Promise.reject(new Error("there are no tools")) };

/** Whether a message was refused because the model's context cannot hold it. */
export function isTooLong(error: unknown): boolean {
  return error instanceof Error && error.name === "ContextError";
}

export class Conversation extends EventTarget {
  readonly #live: LiveSession;
  #session: Session | null = null;
  /** The model that the session is on. */
  #model = "";
  #opening: Promise<Session> | null = null;
  /** Aborted to stop the answer that is being written. */
  #stop = new AbortController();
  #answering: Promise<void> = Promise.resolve();
  /** What it is kept by. */
  id = newId();
  tree = new Tree();
  /** The first turn that the model still reads: the context has no place for those before it. */
  first = 0;
  system = "";
  tools: Tools = NO_TOOLS;
  /** Whether the model thinks before it answers; null leaves it to its template. */
  thinks: boolean | null = null;
  /** Tokens after which a thought is closed; null for none. */
  budget: number | null = null;
  busy = false;
  counts: Counts | null = null;
  /** The turn that the session's tokens end with. */
  #held: Turn | null = null;
  /** How much of it was there before its tokens that the session holds. */
  #kept: { readonly text: string; readonly asides: readonly Aside[] } = { text: "", asides: [] };
  /** Whether what the model has read is kept on this machine. */
  keeps = (): boolean => false;
  readonly #reading = new Reading(() => this.keeps());
  /** What was there before it was cleared. */
  #before: Pick<Conversation, "id" | "tree" | "first" | "counts"> | null = null;

  constructor(live: LiveSession) {
    super();
    this.#live = live;
    live.addEventListener("restart", () => {
      this.#session = this.#held = null;
      this.#reading.leave();
    });
  }

  /** What is read of the tree. */
  get turns(): readonly Turn[] {
    return this.tree.path;
  }

  /** Say something, and have it answered. Rejects with the reason where it is not. */
  async send(text: string, settings: SamplingOptions): Promise<void> {
    this.tree.add(this.turns.at(-1) ?? null, { role: "user", text, tokens: 0, finish: null });
    this.#before = null;
    await this.#answer(settings);
  }

  /** Say something else at the place of a turn; what was said there stays beside it. */
  async resend(at: number, text: string, settings: SamplingOptions): Promise<void> {
    this.tree.cut(this.turns[at - 1] ?? null);
    this.first = Math.min(this.first, at);
    await this.send(text, settings);
  }

  /** Another answer to what was said last, by a seed that no other answer to it has. */
  async regenerate(settings: SamplingOptions): Promise<void> {
    const last = this.turns.at(-1);
    if (!last) return;
    const question = last.role === "user" ? last : (this.turns.at(-2) ?? null);
    const others = this.tree.all.filter(({ parent }) => parent === (question?.id ?? null)).length;
    const before = this.tree.leaf;
    this.tree.cut(question);
    await this.#answer({ ...settings, seed: ((settings.seed ?? 0) + others) % 2 ** 32 }, undefined, before);
  }

  /** Read another version of a turn. */
  choose(turn: Turn): void {
    if (this.busy) return;
    const at = this.turns.findIndex(({ parent }) => parent === turn.parent);
    this.tree.choose(turn);
    this.first = Math.min(this.first, Math.max(at, 0));
    this.#held = null;
    this.#tell();
  }

  /** Whether the last answer was cut off, or stopped. */
  get canContinue(): boolean {
    const last = this.turns.at(-1);
    if (this.busy || last?.role !== "assistant" || last.finish === "stop" || last.finish === "tool_calls") return false;
    return !last.asides || (this.#held === last && open(last).length === 0);
  }

  /** Go on with the last answer, as if its length had been larger. */
  async continue(settings: SamplingOptions): Promise<void> {
    const last = this.turns.at(-1);
    if (!this.canContinue || !last) return;
    await this.#answer({ ...settings, seed: last.seed ?? settings.seed ?? 0 }, last);
  }

  /** Begin afresh; `restore` brings back what was there, until something new is said. */
  clear(): void {
    const { id, tree, first, counts } = this;
    this.#before = { id, tree, first, counts };
    this.take(newId(), new Tree());
  }

  /** Let another conversation take this one's place. */
  take(id: string, tree: Tree): void {
    Object.assign(this, { id, tree, first: 0, counts: null });
    this.#held = null;
    this.#tell();
  }

  /** Take over what was said elsewhere in this conversation, and read on there. */
  merge(turns: readonly Turn[]): void {
    if (!this.tree.merge(turns)) return;
    const last = this.turns.at(-1);
    if (last) this.tree.choose(last);
    this.#held = null;
    this.#tell();
  }

  /** Forget what `restore` would bring back. */
  forget(): void {
    this.#before = null;
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

  /** A message may come: take up what was read of those before it, and split it into tokens, once. */
  async prepare(): Promise<void> {
    if (this.busy || this.turns.length === 0) return;
    const session = await this.#oneSession();
    if (!(await this.#reading.enter(session, this.id)) || this.busy) return;
    const messages = this.#messages(null);
    await session.ask((engine, number) => engine.talk.measure(number, messages, { append: true }));
  }

  /** The page may go: keep what is not kept yet. */
  rest(): void {
    void this.#reading.flush();
  }

  /** Give the memory of its keys and values back; the turns stay. */
  close(): void {
    this.#session?.destroy();
    this.#session = null;
    this.#held = null;
    this.#reading.leave();
  }

  async #answer(settings: SamplingOptions, cut?: Turn, before: string | null = this.tree.leaf): Promise<void> {
    await (this.#answering = this.#answerLast(settings, cut, before));
  }

  async #answerLast(settings: SamplingOptions, cut: Turn | undefined, leaf: string | null): Promise<void> {
    const { seed } = settings;
    const turn = cut ?? this.tree.add(this.turns.at(-1) ?? null, {
      role: "assistant", text: "", model: this.#live.model, tokens: 0, finish: null,
      ...(seed === undefined ? {} : { seed }),
    });
    const before = { ...turn };
    this.busy = true;
    const { signal } = (this.#stop = new AbortController());
    this.#reading.begins();
    this.#tell();
    try {
      const session = await this.#open();
      const first = 1 + Math.max(-1, ...(turn.asides ?? []).map((one) => (one.kind === "call" ? one.round : -1)));
      for (let round = first; !signal.aborted; round += 1) {
        await this.#write(session, turn, cut !== undefined && round === first, round, { ...settings, signal });
        if (turn.finish !== "tool_calls" || open(turn).length === 0) break;
        for (const call of open(turn)) {
          call.result = await this.tools.carryOut(call, signal);
          this.#tell();
        }
      }
    } catch (error) {
      if (error instanceof Error && error.name === "CrashError") this.close();
      if (!signal.aborted) throw error;
    } finally {
      this.busy = false;
      if (turn.tokens === 0 && !before.text) this.tree.remove(turn, leaf);
      else this.#reading.answered();
      this.#tell();
    }
  }

  /**
   * How the answer begins. One that is cut off goes on from the session's very tokens; where they are
   * gone, or fill the context, its text is what the model goes on from.
   */
  #how(turn: Turn, cut: boolean, round: number): Conversing {
    const isFull = this.counts !== null && this.counts.context >= this.counts.window;
    const { names, first } = this.tools;
    const how: Conversing = {
      ...(names.length > 0 && round < MOST_ROUNDS ? { tools: toldOf(names), parallel_tool_calls: false } : {}),
      ...(names.length > 0 && first && round === 0 ? { tool_choice: "required" } : {}),
      ...(this.thinks === null ? {} : { enable_thinking: this.thinks }),
      ...(this.budget === null ? {} : { thinking_budget: this.budget }),
    };
    if (cut && this.#held === turn && !isFull) return { ...how, resume: true };
    return { ...how, keep: 0, newest: 1, ...(cut ? { prefix: true } : {}) };
  }

  async #write(
    session: Session, turn: Turn, cut: boolean, round: number, settings: PromptOptions,
  ): Promise<void> {
    const began = performance.now();
    let first = 0;
    let fresh = 0;
    const conversation = this.#how(turn, cut, round);
    const messages = this.#messages(turn, cut || turn.asides !== undefined);
    if (!conversation.resume) this.#kept = { text: turn.text, asides: [...(turn.asides ?? [])] };
    this.#held = null;
    const hear = (news: FromRun): void => {
      const window = session.contextWindow;
      if (news.type === "begun") {
        const { prompt, reused } = news;
        this.#leaveOut(news.left_out);
        this.#held = turn;
        if (news.resumed) this.#resume(turn, news.resumed, round);
        this.counts = { context: prompt, window, reused, read: prompt - reused, speed: null };
      } else if (news.type === "batch") {
        const { text = "", parts, count, context, finish_reason: finish } = news.batch;
        const now = performance.now();
        if (parts) grow(turn, parts, round);
        else turn.text += text;
        turn.tokens += count;
        fresh += count;
        turn.finish = finish;
        if (first === 0 && count > 0) {
          first = now;
          if (!cut) turn.wait ??= now - began;
        }
        const speed = now > first ? (1000 * (fresh - 1)) / (now - first) : null;
        if (speed && fresh > 1) turn.rate = speed;
        if (this.counts) this.counts = { ...this.counts, context, speed };
      }
      this.#tell();
    };
    // What is asked for stands in the arguments of a call again: no penalty on that.
    const alone = conversation.tool_choice === "required" ? { repetition_penalty: 1 } : {};
    const options = { ...settings, ...alone, logprobs: false, conversation };
    const reader = session.write(messages, options, hear).getReader();
    while (!(await reader.read()).done);
  }

  /** The system's word and the turns before this one that are still read, in their order; with
   * `cut` this one too; without one all of them. */
  #messages(turn: Turn | null, cut = false): Message[] {
    const end = turn ? this.turns.indexOf(turn) + Number(cut) : this.turns.length;
    const said = this.turns.slice(this.first, end);
    const turns = said.flatMap((one) => this.#said(one));
    const system = this.system.trim();
    return system ? [{ role: "system", content: system }, ...turns] : turns;
  }

  async #open(): Promise<Session> {
    const session = await this.#oneSession();
    await this.#reading.enter(session, this.id);
    return session;
  }

  /** A turn as the messages that the model is asked with. */
  #said(turn: Turn): Message[] {
    return turn.role === "user" ? [{ role: "user", content: turn.text }] : messagesOf(turn);
  }

  /** So many messages, from the first that is read on, have no place in the context any more. */
  #leaveOut(messages: number): void {
    for (let left = messages; left > 0 && this.first < this.turns.length; this.first += 1) {
      left -= this.#said(this.turns[this.first] as Turn).length;
    }
  }

  /** What goes on is the answer as the session has it, behind what was there before that. */
  #resume(turn: Turn, { text, tokens, parts }: NonNullable<Begun["resumed"]>, round: number): void {
    if (!parts) return void Object.assign(turn, { text, tokens });
    turn.text = this.#kept.text;
    turn.asides = [...this.#kept.asides];
    grow(turn, parts, round);
  }

  /** The session, which is opened once whoever asks meanwhile. */
  #oneSession(): Promise<Session> {
    return (this.#opening ??= this.#opened().finally(() => (this.#opening = null)));
  }

  async #opened(): Promise<Session> {
    const { model } = this.#live;
    if (this.#session && this.#model === model) return this.#session;
    this.close();
    const session = await this.#live.createSession(model, () => undefined);
    if (this.#model !== model) this.first = 0; // another model may read more
    this.#model = model;
    return (this.#session = session);
  }

  #tell(): void {
    this.dispatchEvent(new Event("change"));
  }
}
