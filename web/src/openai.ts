/**
 * Small language models behind the names of OpenAI's client, for code that was written for it, for
 * WebLLM or for wllama:
 *
 *     import { OpenAI } from "https://example.org/openai.js";
 *     const client = new OpenAI();
 *     const answer = await client.chat.completions.create({ messages: [{ role: "user", content }] });
 *
 * What it does not do is refused by name. Nothing leaves the machine.
 */

import { ThimbleError } from "./api/errors";
import { encodeOptions } from "./api/options";
import type { SamplingOptions } from "./api/options";
import { chunksOf } from "./api/stream";
import type { TokenChunk, Texts } from "./api/stream";
import type { TalkNews, Message } from "./protocol/talk";
import { Thimble } from "./thimble";
import type { ModelChoice } from "./thimble";

export { Thimble, ThimbleError };

interface Shared {
  /** A name out of `models.list()`; the site's default without it. */
  model?: ModelChoice;
  stream?: boolean;
  /** With `include_usage` a stream's last chunk has no choices but the usage. */
  stream_options?: { include_usage?: boolean } | null;
  max_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  seed?: number | null;
  stop?: string | string[] | null;
  logit_bias?: Record<string, number> | null;
  /** Only 1. */
  n?: 1 | null;
  signal?: AbortSignal;
}

export interface ChatRequest extends Shared {
  messages: readonly Message[];
  max_completion_tokens?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  response_format?:
    | { type: "text" | "json_object" }
    | { type: "json_schema"; json_schema: { name?: string; schema: object; strict?: boolean } }
    | null;
}

export interface CompletionRequest extends Shared {
  prompt: string;
  /** How many of the best tokens to tell at each position. */
  logprobs?: number | null;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: { token: string; logprob: number; bytes: number[] }[];
}

type Finish = "stop" | "length" | null;

interface Head<Kind extends string> {
  id: string;
  object: Kind;
  created: number;
  model: string;
}

export interface ChatCompletion extends Head<"chat.completion"> {
  choices: {
    index: 0;
    message: { role: "assistant"; content: string };
    logprobs: { content: TokenLogprob[] } | null;
    finish_reason: Finish;
  }[];
  usage: Usage;
}

export interface ChatCompletionChunk extends Head<"chat.completion.chunk"> {
  choices: {
    index: 0;
    delta: { role?: "assistant"; content?: string };
    logprobs: { content: TokenLogprob[] } | null;
    finish_reason: Finish;
  }[];
  usage?: Usage | null;
}

export interface Completion extends Head<"text_completion"> {
  choices: {
    index: 0;
    text: string;
    logprobs: { content: TokenLogprob[] } | null;
    finish_reason: Finish;
  }[];
  usage?: Usage | null;
}

/** What was written, token by token, and what the prompt cost. */
interface Writing {
  chunks: AsyncIterable<TokenChunk>;
  prompt: () => number;
}

const PASSED = ["temperature", "top_p", "seed", "stop", "logit_bias"] as const;
const OWN = ["model", "stream", "stream_options", "max_tokens", "n", "signal", ...PASSED];

function check(request: object, also: readonly string[]): void {
  const known = [...OWN, ...also];
  for (const [name, value] of Object.entries(request) as [string, unknown][]) {
    if (value === undefined || value === null) continue;
    if (!known.includes(name)) {
      throw new ThimbleError("OptionError", `${name} is not supported; there are ${known.join(", ")}`);
    }
    if (name === "n" && value !== 1) {
      throw new ThimbleError("OptionError", `n is ${JSON.stringify(value)}; only 1 is supported`);
    }
  }
}

/** The options that mean the same here; OpenAI sends null for what is not chosen. */
function passed(request: Shared): SamplingOptions {
  const options: Record<string, unknown> = {};
  for (const name of [...PASSED, "max_tokens"] as const) {
    if (request[name] !== undefined && request[name] !== null) options[name] = request[name];
  }
  return options;
}

function formatOf(format: ChatRequest["response_format"]): SamplingOptions {
  if (!format || format.type === "text") return {};
  if (format.type === "json_object") return { responseConstraint: { type: "object" } };
  if (format.type === "json_schema") return { responseConstraint: format.json_schema.schema };
  const words = `response_format is ${JSON.stringify(format)}; its type must be text, json_object or json_schema`;
  throw new ThimbleError("OptionError", words);
}

function logprobOf(chunk: TokenChunk): TokenLogprob {
  const told = (token: string, logprob: number) => ({
    token,
    logprob,
    bytes: [...new TextEncoder().encode(token)],
  });
  const top = chunk.top_logprobs.map(({ text, logprob }) => told(text, logprob));
  return { ...told(chunk.text, chunk.logprob), top_logprobs: top };
}

function head<Kind extends string>(kind: Kind, model: string): Head<Kind> {
  const created = Math.floor(Date.now() / 1000);
  return { id: `thimble-${crypto.randomUUID()}`, object: kind, created, model };
}

function usageOf(prompt: number, completion: number): Usage {
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  };
}

/** A chat turn's tokens as they come, on the worker's port. */
async function* turn(
  session: Thimble,
  messages: readonly Message[],
  options: string,
  begun: (prompt: number) => void,
  signal: AbortSignal | undefined,
): AsyncGenerator<TokenChunk> {
  const texts: Texts = new Map();
  const waiting: TokenChunk[] = [];
  let wake: () => void = () => undefined;
  let over = false;
  let failure: unknown = null;
  const stop = (): void => void session.ask((engine, id) => engine.talk.stop(id)).catch(() => undefined);
  const said = session.listen<void, TalkNews>(
    (engine, id, port) => engine.talk.say(id, messages, options, port),
    (news) => {
      if (news.type === "begun") begun(news.prompt);
      else waiting.push(...(chunksOf(news.batch, texts) as TokenChunk[]));
      wake();
    },
  );
  const ended = said.then(
    () => undefined,
    (error: unknown) => (failure = error),
  ).then(() => ((over = true), wake()));
  signal?.addEventListener("abort", stop, { once: true });
  try {
    for (;;) {
      const chunk = waiting.shift();
      if (chunk) yield chunk;
      else if (over) break;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    if (failure) throw failure as Error;
    signal?.throwIfAborted();
  } finally {
    signal?.removeEventListener("abort", stop);
    if (!over) stop(); // whoever read has had enough
    await ended;
  }
}

/** The client: models stay in memory, a session each, whose requests take turns. */
export class OpenAI {
  readonly #sessions = new Map<ModelChoice | undefined, Promise<Thimble>>();
  readonly #turns = new WeakMap<Thimble, Promise<void>>();
  readonly chat = {
    completions: { create: this.#chat.bind(this) as ChatCreate },
  };
  readonly completions = { create: this.#complete.bind(this) as CompletionCreate };
  readonly models = {
    list: async (): Promise<{ object: "list"; data: { id: string; object: "model" }[] }> => ({
      object: "list",
      data: (await Thimble.models()).map(({ name }) => ({ id: name, object: "model" })),
    }),
  };

  /** `site`: take engine and models from there; a bundle needs it. Other settings are ignored. */
  constructor({ site }: { site?: string | URL } = {}) {
    if (site) Thimble.configure({ site });
  }

  /** Free the sessions and end what they write. */
  async close(): Promise<void> {
    const open = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of open) (await session).destroy();
  }

  #session(model: ModelChoice | undefined): Promise<Thimble> {
    let session = this.#sessions.get(model);
    if (!session) {
      session = Thimble.create(model === undefined ? {} : { model });
      this.#sessions.set(model, session);
      session.catch(() => this.#sessions.delete(model));
    }
    return session;
  }

  /** Run when the session's earlier requests are over; the answer ends its turn. */
  async *#inTurn(session: Thimble, chunks: () => AsyncIterable<TokenChunk>): AsyncGenerator<TokenChunk> {
    const before = this.#turns.get(session);
    let over: () => void = () => undefined;
    this.#turns.set(session, new Promise((resolve) => (over = resolve)));
    try {
      await before;
      yield* chunks();
    } finally {
      over();
    }
  }

  async #chat(request: ChatRequest): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>> {
    check(request, ["messages", "max_completion_tokens", "logprobs", "top_logprobs", "response_format"]);
    if (!Array.isArray(request.messages)) {
      throw new ThimbleError("OptionError", "messages must be a list of { role, content }");
    }
    const session = await this.#session(request.model);
    const most = request.max_completion_tokens ?? request.max_tokens;
    const top = request.top_logprobs ? { top_logprobs: request.top_logprobs } : {};
    const options = { ...passed(request), ...formatOf(request.response_format), ...top };
    const encoded = encodeOptions(
      { ...options, ...(most ? { max_tokens: most } : {}), logprobs: true },
      { own: [] },
    );
    let prompt = 0;
    const chunks = this.#inTurn(session, () =>
      turn(session, request.messages, encoded, (tokens) => (prompt = tokens), request.signal),
    );
    const writing = { chunks, prompt: () => prompt };
    const model = session.model.name;
    return request.stream
      ? chatChunks(writing, model, request)
      : chatWhole(writing, model, Boolean(request.logprobs));
  }

  async #complete(request: CompletionRequest): Promise<Completion | AsyncIterable<Completion>> {
    check(request, ["prompt", "logprobs"]);
    if (typeof request.prompt !== "string") {
      throw new ThimbleError("OptionError", "prompt must be a text");
    }
    const session = await this.#session(request.model);
    const top = request.logprobs ? { top_logprobs: request.logprobs } : {};
    const options = { ...passed(request), ...top };
    let prompt = 0;
    const signal = request.signal ? { signal: request.signal } : {};
    async function* write(): AsyncGenerator<TokenChunk> {
      // The prompt alone first, to know how many tokens it has; nothing is computed twice.
      await session.prompt(request.prompt, { max_tokens: 0, ...signal });
      prompt = session.contextUsage;
      const rest = { ...options, ...signal, continue: true, logprobs: true } as const;
      yield* session.promptStreaming("", rest) as unknown as AsyncIterable<TokenChunk>;
    }
    const writing = { chunks: this.#inTurn(session, write), prompt: () => prompt };
    const told = request.logprobs !== undefined && request.logprobs !== null;
    const parts = completionChunks(writing, session.model.name, told, request);
    if (request.stream) return parts;
    return joined(parts, session.model.name);
  }
}

async function* chatChunks(
  { chunks, prompt }: Writing,
  model: string,
  request: ChatRequest,
): AsyncGenerator<ChatCompletionChunk> {
  const same = head("chat.completion.chunk", model);
  let count = 0;
  for await (const chunk of chunks) {
    const delta = { ...(count === 0 ? { role: "assistant" as const } : {}), content: chunk.text };
    const logprobs = request.logprobs ? { content: [logprobOf(chunk)] } : null;
    count += 1;
    yield { ...same, choices: [{ index: 0, delta, logprobs, finish_reason: chunk.finish_reason }] };
  }
  if (request.stream_options?.include_usage) {
    yield { ...same, choices: [], usage: usageOf(prompt(), count) };
  }
}

async function chatWhole(writing: Writing, model: string, told: boolean): Promise<ChatCompletion> {
  const found: TokenLogprob[] = [];
  let [content, count] = ["", 0];
  let reason: Finish = "length";
  for await (const chunk of writing.chunks) {
    content += chunk.text;
    count += 1;
    reason = chunk.finish_reason;
    if (told) found.push(logprobOf(chunk));
  }
  const message = { role: "assistant", content } as const;
  const logprobs = told ? { content: found } : null;
  return {
    ...head("chat.completion", model),
    choices: [{ index: 0, message, logprobs, finish_reason: reason }],
    usage: usageOf(writing.prompt(), count),
  };
}

async function* completionChunks(
  { chunks, prompt }: Writing,
  model: string,
  told: boolean,
  request: CompletionRequest,
): AsyncGenerator<Completion> {
  const same = head("text_completion", model);
  let count = 0;
  for await (const chunk of chunks) {
    const logprobs = told ? { content: [logprobOf(chunk)] } : null;
    count += 1;
    const choice = { index: 0, text: chunk.text, logprobs, finish_reason: chunk.finish_reason } as const;
    yield { ...same, choices: [choice] };
  }
  if (!request.stream || request.stream_options?.include_usage) {
    yield { ...same, choices: [], usage: usageOf(prompt(), count) };
  }
}

/** A stream of completions as one. */
async function joined(parts: AsyncIterable<Completion>, model: string): Promise<Completion> {
  const whole: Completion = { ...head("text_completion", model), choices: [], usage: null };
  const choice: Completion["choices"][number] = {
    index: 0,
    text: "",
    logprobs: null,
    finish_reason: "length",
  };
  for await (const part of parts) {
    if (part.usage) whole.usage = part.usage;
    for (const one of part.choices) {
      choice.text += one.text;
      choice.finish_reason = one.finish_reason;
      if (choice.logprobs) choice.logprobs.content.push(...(one.logprobs?.content ?? []));
      else choice.logprobs = one.logprobs;
    }
  }
  whole.choices.push(choice);
  return whole;
}

interface ChatCreate {
  (request: ChatRequest & { stream: true }): Promise<AsyncIterable<ChatCompletionChunk>>;
  (request: ChatRequest & { stream?: false }): Promise<ChatCompletion>;
}

interface CompletionCreate {
  (request: CompletionRequest & { stream: true }): Promise<AsyncIterable<Completion>>;
  (request: CompletionRequest & { stream?: false }): Promise<Completion>;
}

export default OpenAI;
