/**
 * `LanguageModel`, as the Prompt API specifies it (webmachinelearning/prompt-api), on Thimble's
 * sessions: a conversation that is kept here and written down by the model's own chat template.
 *
 * What does not fit is the oldest turns; the initial prompts stay. An aborted prompt leaves no trace.
 */

import { abortable } from "../api/abort";
import type { FromRun, Message, ToolCall } from "../protocol/core";
import type { Conversing } from "../protocol/talk";
import { Thimble } from "../thimble";
import type { Availability, ModelChoice } from "../thimble";
import { domException, quotaExceeded } from "./errors";
import { canonicalPrompt, isSupported, PARAMS, samplingOf, withConstraint } from "./messages";
import type { Canonical, Sampling } from "./messages";
import { carriedOut, describedTools, MOST_ROUNDS, toolsOf } from "./tools";
import type {
  AppendOptions, CoreOptions, CreateOptions, LanguageModelParams, LanguageModelPrompt, LanguageModelTool,
  PromptOptions, SamplingMode,
} from "./types";

/** What a session is made of: its conversation, and how its answers are drawn. */
interface Parts {
  readonly session: Thimble;
  readonly sampling: Sampling;
  readonly seed: number | undefined;
  readonly tools: readonly LanguageModelTool[];
  readonly messages: readonly Message[];
  readonly initial: number;
  readonly usage: number;
}

/** Thimble's own option: a name out of `Thimble.models()`, or a GGUF file. */
interface OnModel {
  model?: ModelChoice;
}

/** Only this module makes sessions. */
const OWN = Symbol("own");

type Handler = ((this: LanguageModel, event: Event) => unknown) | null;

export class LanguageModel extends EventTarget {
  readonly #session: Thimble;
  readonly #sampling: Sampling;
  readonly #seed: number | undefined;
  readonly #tools: readonly LanguageModelTool[];
  readonly #destroyed = new AbortController();
  #messages: readonly Message[];
  #initial: number;
  #usage: number;
  /** Prompts take turns. */
  #turn: Promise<unknown> = Promise.resolve();
  #handler: Handler = null;

  /** @internal There is `create` for it. */
  constructor(own: symbol, parts: Parts) {
    super();
    if (own !== OWN) throw new TypeError("Illegal constructor");
    this.#session = parts.session;
    this.#sampling = parts.sampling;
    this.#seed = parts.seed;
    this.#tools = parts.tools;
    this.#messages = parts.messages;
    this.#initial = parts.initial;
    this.#usage = parts.usage;
  }

  static async availability(options: CoreOptions & OnModel = {}): Promise<Availability> {
    samplingOf(options);
    toolsOf(options.tools);
    if (!isSupported(options)) return "unavailable";
    return Thimble.availability(options.model === undefined ? {} : { model: options.model });
  }

  /** What `temperature` and `topK` are without a choice, and at most; null where nothing runs. */
  static async params(): Promise<LanguageModelParams | null> {
    return (await Thimble.availability()) === "unavailable" ? null : { ...PARAMS };
  }

  static async create(options: CreateOptions & OnModel = {}): Promise<LanguageModel> {
    const { model, signal, monitor, initialPrompts, seed } = options;
    const sampling = samplingOf(options);
    const tools = toolsOf(options.tools);
    const supported = isSupported(options);
    const first = initialPrompts === undefined ? null : canonicalPrompt(initialPrompts, false);
    signal?.throwIfAborted();
    if (!supported) throw new DOMException("these models read and write text", "NotSupportedError");
    try {
      const session = await Thimble.create({
        ...(model === undefined ? {} : { model }), ...(signal ? { signal } : {}), ...(monitor ? { monitor } : {}),
      });
      const made = new LanguageModel(OWN, { session, sampling, seed, tools, messages: [], initial: 0, usage: 0 });
      const abort = (): void => made.#end(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
      if (first && [...(initialPrompts ?? [])].length > 0) await made.#begin(first);
      return made;
    } catch (error) {
      throw signal?.aborted ? signal.reason : domException(error);
    }
  }

  /** The whole answer to a prompt. */
  async prompt(input: LanguageModelPrompt, options: PromptOptions = {}): Promise<string> {
    let answer = "";
    const reader = this.promptStreaming(input, options).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return answer;
      answer += value;
    }
  }

  /** The same as it is written. */
  promptStreaming(input: LanguageModelPrompt, options: PromptOptions = {}): ReadableStream<string> {
    const cancelled = new AbortController();
    return new ReadableStream<string>({
      start: (to) => {
        const answered = this.#answer(input, options, cancelled.signal, (text) => {
          if (text && !cancelled.signal.aborted) to.enqueue(text);
        });
        answered.then(
          () => cancelled.signal.aborted || to.close(),
          (error: unknown) => to.error(error),
        );
      },
      cancel: () => cancelled.abort(),
    });
  }

  /** Put messages into the context; nothing is answered. */
  async append(input: LanguageModelPrompt, { signal }: AppendOptions = {}): Promise<void> {
    const ended = this.#ended(signal);
    ended.throwIfAborted();
    const asked = canonicalPrompt(input, this.#messages.length > 0);
    await this.#inTurn(ended, () => this.#compute(asked, ended));
  }

  /** How many tokens of the context a prompt would take. */
  async measureContextUsage(input: LanguageModelPrompt, options: PromptOptions = {}): Promise<number> {
    const ended = this.#ended(options.signal);
    ended.throwIfAborted();
    const asked = this.#constrained(canonicalPrompt(input, false), options);
    try {
      const [all, before] = await abortable(Promise.all([
        this.#measure([...this.#messages, ...asked.messages], {}),
        this.#messages.length > 0 ? this.#measure(this.#messages, { append: true }) : 0,
      ]), ended);
      return Math.max(0, all - before);
    } catch (error) {
      throw ended.aborted ? ended.reason : domException(error);
    }
  }

  get contextUsage(): number {
    return this.#usage;
  }

  get contextWindow(): number {
    return this.#session.contextWindow;
  }

  get samplingMode(): SamplingMode {
    return this.#sampling.samplingMode;
  }

  get temperature(): number {
    return this.#sampling.temperature;
  }

  get topK(): number {
    return this.#sampling.topK;
  }

  get oncontextoverflow(): Handler {
    return this.#handler;
  }

  set oncontextoverflow(handler: Handler) {
    if (this.#handler) this.removeEventListener("contextoverflow", this.#handler);
    this.#handler = typeof handler === "function" ? handler : null;
    if (this.#handler) this.addEventListener("contextoverflow", this.#handler);
  }

  /** An independent session with the same conversation. */
  async clone({ signal }: AppendOptions = {}): Promise<LanguageModel> {
    const ended = this.#ended(signal);
    ended.throwIfAborted();
    const cloning = this.#session.clone();
    try {
      const session = await abortable(cloning, ended);
      const [messages, initial, usage] = [this.#messages, this.#initial, this.#usage];
      const [sampling, seed, tools] = [this.#sampling, this.#seed, this.#tools];
      return new LanguageModel(OWN, { session, sampling, seed, tools, messages, initial, usage });
    } catch (error) {
      void cloning.then((session) => session.destroy(), () => undefined);
      throw ended.aborted ? ended.reason : domException(error);
    }
  }

  /** End what is being answered, and free the session. */
  destroy(): void {
    this.#end(new DOMException("the session was destroyed", "AbortError"));
  }

  #end(reason: unknown): void {
    if (this.#destroyed.signal.aborted) return;
    this.#destroyed.abort(reason);
    this.#session.destroy();
  }

  #ended(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
    return AbortSignal.any([this.#destroyed.signal, ...signals.filter((one) => one !== undefined)]);
  }

  /** When the prompts before it are over; one that is aborted while it waits is never computed. */
  async #inTurn<Value>(ended: AbortSignal, work: () => Promise<Value>): Promise<Value> {
    const before = this.#turn;
    const mine = abortable(before, ended).then(work);
    // The next one's turn comes when both this one and those before it are over.
    this.#turn = Promise.allSettled([before, mine]);
    return mine;
  }

  async #begin(asked: Canonical): Promise<void> {
    this.#initial = asked.messages.length;
    try {
      await this.#compute(asked, this.#destroyed.signal);
    } catch (error) {
      this.#end(error);
      throw error;
    }
  }

  /** Compute what is appended, as far as the template writes it down before somebody asks. */
  async #compute(asked: Canonical, ended: AbortSignal): Promise<void> {
    const options = { max_tokens: 0 };
    const conversation = { append: !asked.prefix, prefix: asked.prefix };
    try {
      await this.#write(asked, options, conversation, ended, () => undefined);
    } catch (error) {
      // Some templates want a user's word first; what is wrong with it the prompt will say.
      const cause = (error as { cause?: Error }).cause;
      if (cause?.name !== "OptionError") throw error;
      this.#messages = [...this.#messages, ...asked.messages];
    }
  }

  async #answer(
    input: LanguageModelPrompt, options: PromptOptions, cancelled: AbortSignal, hear: (text: string) => void,
  ): Promise<void> {
    const ended = this.#ended(options.signal, cancelled);
    ended.throwIfAborted();
    const asked = this.#constrained(canonicalPrompt(input, this.#messages.length > 0), options);
    const { temperature, topK: top_k, topP: top_p } = this.#sampling;
    const constraint = options.responseConstraint as object | undefined;
    const sampling = {
      temperature, top_k, top_p, max_tokens: this.contextWindow,
      seed: this.#seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
      ...(constraint === undefined || constraint === null ? {} : { responseConstraint: constraint }),
    };
    await this.#inTurn(ended, () => this.#converse(asked, sampling, ended, hear));
  }

  /** Answers, and what tools say to the calls in them, until one has no call; all of it or nothing. */
  async #converse(asked: Canonical, sampling: object, ended: AbortSignal, hear: (text: string) => void): Promise<void> {
    const [messages, usage] = [this.#messages, this.#usage];
    const free = this.#tools.length > 0 && !("responseConstraint" in sampling);
    try {
      let next = asked;
      for (let round = 1; ; round += 1) {
        const choice = free && round <= MOST_ROUNDS ? "auto" : "none";
        const how = { prefix: next.prefix, ...(this.#tools.length > 0 ? { tool_choice: choice } as const : {}) };
        const calls = await this.#write(next, sampling, how, ended, hear);
        if (calls.length === 0 || choice === "none") return;
        next = { messages: await carriedOut(calls, this.#tools, ended), prefix: false };
      }
    } catch (error) {
      this.#messages = messages;
      this.#usage = usage;
      throw error;
    }
  }

  /** The messages with words about the constraint, unless they shall be left out. */
  #constrained(asked: Canonical, { responseConstraint: given, omitResponseConstraintInput: omit }: PromptOptions): Canonical {
    if (given === undefined || given === null) {
      if (omit) throw new TypeError("omitResponseConstraintInput is for a responseConstraint, and there is none");
      return asked;
    }
    if (typeof given !== "object" && typeof given !== "boolean") {
      throw new TypeError(`responseConstraint is ${String(given)}; it must be a JSON Schema or a RegExp`);
    }
    return omit ? asked : { ...asked, messages: withConstraint(asked.messages, given) };
  }

  /** One exchange: the conversation is another only when it is over. Gives the calls of tools. */
  async #write(
    asked: Canonical, options: object, how: Conversing, ended: AbortSignal, hear: (text: string) => void,
  ): Promise<ToolCall[]> {
    const before = this.#messages;
    const messages = [...before, ...asked.messages];
    // The answers of tools stay with the question.
    const asks = asked.messages[0]?.role === "tool" ? before.findLastIndex(({ role }) => role === "user") : before.length;
    const newest = messages.length - Math.max(0, asks);
    const conversation = { ...this.#told(how), keep: Math.min(this.#initial, before.length), newest };
    const calls: { name: string; arguments: string }[] = [];
    let lost = 0;
    let answer = "";
    const told = (news: FromRun): void => {
      if (news.type === "batch") {
        for (const [, kind, text, call] of news.batch.parts ?? []) {
          if (kind === "call") calls[call] = { name: text, arguments: "" };
          else if (kind === "arguments" && calls[call]) calls[call].arguments += text;
        }
      }
      if (news.type !== "begun" || news.left_out === 0) return;
      lost = news.left_out;
      this.dispatchEvent(new Event("contextoverflow"));
    };
    try {
      const reader = this.#session.write(messages, { ...options, conversation, signal: ended }, told).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        answer += value as string;
        hear(value as string);
      }
    } catch (error) {
      if (ended.aborted) throw ended.reason;
      if ((error as Error).name !== "ContextError") throw domException(error);
      const requested = await this.#measure(messages, how);
      throw quotaExceeded((error as Error).message, { requested, quota: this.contextWindow });
    }
    const made = calls.filter((call) => isWhole(call.arguments)).map((call, at): ToolCall => (
      { id: `${messages.length}.${at}`, type: "function", function: call }
    ));
    const kept = [...before.slice(0, conversation.keep), ...before.slice(conversation.keep + lost), ...asked.messages];
    const last = kept.at(-1);
    if (how.append || (how.prefix && answer === "")) this.#messages = kept;
    else if (how.prefix && last) this.#messages = [...kept.slice(0, -1), { ...last, content: last.content + answer }];
    else this.#messages = [...kept, { role: "assistant", content: answer, ...(made.length > 0 ? { tool_calls: made } : {}) }];
    this.#usage = this.#session.contextUsage;
    return made;
  }

  /** How the conversation is written, the session's tools told. */
  #told(how: Conversing): Conversing {
    return this.#tools.length > 0 ? { ...how, tools: describedTools(this.#tools) } : how;
  }

  #measure(messages: readonly Message[], how: Conversing): Promise<number> {
    return this.#session.ask((engine, id) => engine.talk.measure(id, messages, this.#told(how)));
  }

  get [Symbol.toStringTag](): string {
    return "LanguageModel";
  }
}

/** Whether a call's arguments came to their end. */
function isWhole(json: string): boolean {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
}
