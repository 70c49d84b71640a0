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

import { abortable } from "./api/abort";
import { ThimbleError } from "./api/errors";
import type { PromptOptions } from "./api/options";
import type { TokenChunk } from "./api/stream";
import { chatChunks, completionChunks, wholeChat, wholeCompletion } from "./openai/answer";
import type { Telling, Writing } from "./openai/answer";
import { answersOf, chatOptions, completionOptions, conversingOf, messagesOf, promptsOf } from "./openai/request";
import { fetchOf } from "./openai/fetch";
import { chatRequestOf, eventsOf } from "./openai/responses";
import { Stream } from "./openai/stream";
import type {
  ChatCompletion, ChatCompletionChunk, ChatRequest, Completion, CompletionRequest, EmbeddingList,
  EmbeddingRequest, ModelEntry, RequestOptions, ResponseEvent, ResponseObject, ResponseRequest,
} from "./openai/types";
import type { Prompt } from "./protocol/core";
import { Thimble } from "./thimble";
import type { ModelChoice } from "./thimble";

export { Stream, Thimble, ThimbleError };
export type * from "./openai/types";

/** What a request is read from: its answers, and what ends them. */
interface Asked {
  readonly writings: readonly Writing[];
  readonly telling: Telling;
  readonly controller: AbortController;
  readonly ended: AbortSignal;
}

/** What is asked for, of a request of either kind. */
interface Wanted {
  readonly prompts: readonly Prompt[];
  readonly options: PromptOptions;
  readonly logprobs: boolean;
}

/** The client: models stay in memory, a session each, whose requests take turns. */
export class OpenAI {
  readonly #sessions = new Map<ModelChoice | undefined, Promise<Thimble>>();
  readonly chat = { completions: { create: this.#chat.bind(this) as ChatCreate } };
  readonly completions = { create: this.#complete.bind(this) as CompletionCreate };
  readonly embeddings = { create: this.#embed.bind(this) as EmbeddingCreate };
  readonly responses = { create: this.#respond.bind(this) as ResponseCreate };
  readonly models = { list: listModels };
  /** The same for clients that believe in a server: give it to them as their `fetch`. */
  readonly fetch: typeof fetch = fetchOf({
    chat: this.#chat.bind(this) as ChatCreate & Answering, complete: this.#complete.bind(this) as Answering,
    respond: this.#respond.bind(this) as Answering, embed: this.#embed.bind(this) as Answering, models: listModels,
  });

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

  #session(model: ModelChoice | null | undefined): Promise<Thimble> {
    const key = model ?? undefined;
    let session = this.#sessions.get(key);
    if (!session) {
      session = Thimble.create(key === undefined ? {} : { model: key });
      this.#sessions.set(key, session);
      session.catch(() => this.#forget(key));
    }
    return session;
  }

  /** The next request gets another session. */
  #forget(model: ModelChoice | undefined): void {
    this.#sessions.delete(model);
  }

  /** Begin all answers that a request wants; they are written whether anybody reads them or not. */
  async #ask(request: ChatRequest | CompletionRequest, wanted: Wanted, beside: RequestOptions): Promise<Asked> {
    const controller = new AbortController();
    const ended = either(controller.signal, request.signal, beside.signal);
    const signal = timely(ended, beside);
    signal.throwIfAborted();
    const n = answersOf(request);
    const session = await abortable(this.#session(request.model), signal);
    const writings = wanted.prompts.flatMap((prompt, first) =>
      Array.from({ length: n }, (_, again): Writing => {
        const seed = again === 0 ? {} : { seed: ((request.seed ?? 0) + again) % 2 ** 32 };
        let read = 0;
        const written = session.write(prompt, { ...wanted.options, ...seed, signal }, (news) => {
          if (news.type === "begun") read = news.prompt;
          else if (news.type === "failed" && news.error.name === "CrashError") this.#forget(request.model);
        });
        const chunks = written as unknown as AsyncIterable<TokenChunk>;
        return { index: first * n + again, chunks: chunksIn(chunks), prompt: () => read };
      }),
    );
    const usage = request.stream_options?.include_usage === true;
    const telling = { model: session.model.name, logprobs: wanted.logprobs, usage, n };
    return { writings, telling, controller, ended };
  }

  async #chat(request: ChatRequest, beside: RequestOptions = {}): Promise<ChatCompletion | Stream<ChatCompletionChunk>> {
    const options = { ...chatOptions(request), conversation: conversingOf(request) };
    const prompts = [messagesOf(request.messages)];
    const wanted = { prompts, options, logprobs: request.logprobs === true };
    const { writings, telling, controller, ended } = await this.#ask(request, wanted, beside);
    if (request.stream) return Stream.begun(chatChunks(writings, telling), controller, ended);
    return wholeChat(writings, telling);
  }

  async #complete(request: CompletionRequest, beside: RequestOptions = {}): Promise<Completion | Stream<Completion>> {
    const options = completionOptions(request);
    const logprobs = typeof request.logprobs === "number";
    const wanted = { prompts: promptsOf(request), options, logprobs };
    const { writings, telling, controller, ended } = await this.#ask(request, wanted, beside);
    if (request.stream) return Stream.begun(completionChunks(writings, telling), controller, ended);
    return wholeCompletion(writings, telling);
  }

  async #respond(request: ResponseRequest, beside: RequestOptions = {}): Promise<ResponseObject | Stream<ResponseEvent>> {
    const chunks = await this.#chat(chatRequestOf(request), beside) as Stream<ChatCompletionChunk>;
    const events = eventsOf(request, chunks);
    if (request.stream) return new Stream(events, chunks.controller, either(beside.signal, request.signal));
    let whole: ResponseObject | undefined;
    for await (const { response } of events) whole = response ?? whole;
    return whole as ResponseObject;
  }

  async #embed(request: EmbeddingRequest, beside: RequestOptions = {}): Promise<EmbeddingList<number[] | string>> {
    const { input, encoding_format: format = "float", dimensions } = request;
    const texts = typeof input === "string" ? [input] : input;
    if (!Array.isArray(texts) || texts.length === 0 || texts.some((text) => typeof text !== "string")) {
      throw new ThimbleError("OptionError", `input is ${JSON.stringify(input)}; it must be a text or a list of texts`);
    }
    const signal = timely(either(beside.signal), beside);
    signal.throwIfAborted();
    const session = await abortable(this.#session(request.model), signal);
    const { dim, name: model } = session.model;
    if (dimensions !== undefined && dimensions !== dim) {
      throw new ThimbleError("OptionError", `dimensions is ${String(dimensions)}; the vectors of ${model} have ${dim}`);
    }
    const [vectors, ids] = await abortable(
      Promise.all([session.embed(texts), Promise.all(texts.map((text) => session.tokenize(text)))]), signal,
    );
    const tokens = ids.reduce((sum, { length }) => sum + length, 0);
    const data = vectors.map((vector, index) => ({
      object: "embedding" as const, index, embedding: format === "base64" ? base64(vector) : [...vector],
    }));
    return { object: "list", data, model, usage: { prompt_tokens: tokens, total_tokens: tokens } };
  }
}

/** Whoever of those that ask ends a request. */
function either(...signals: readonly (AbortSignal | null | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((one) => one !== undefined && one !== null));
}

/** The same, and its time. */
function timely(signal: AbortSignal, { timeout }: RequestOptions): AbortSignal {
  return timeout === undefined ? signal : either(signal, AbortSignal.timeout(timeout));
}

/** A stream's chunks; not every browser can iterate over one. */
async function* chunksIn<Chunk>(chunks: AsyncIterable<Chunk>): AsyncGenerator<Chunk> {
  const reader = (chunks as unknown as ReadableStream<Chunk>).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    void reader.cancel().catch(() => undefined); // ends what is still being written
  }
}

/** The vector's float32 numbers, as OpenAI sends them. */
function base64(vector: Float32Array): string {
  const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** The site's models: a page that can be read by `data`, or one after another. */
async function listModels(): Promise<{ object: "list"; data: ModelEntry[] } & AsyncIterable<ModelEntry>> {
  const models = await Thimble.models();
  const data = models.map(({ name }) => ({ id: name, object: "model" as const, created: 0, owned_by: "thimble" }));
  return { object: "list", data, async *[Symbol.asyncIterator]() { yield* data; } };
}

type Answering = (request: object, options?: RequestOptions) => Promise<object>;

interface ResponseCreate {
  (request: ResponseRequest & { stream: true }, options?: RequestOptions): Promise<Stream<ResponseEvent>>;
  (request: ResponseRequest & { stream?: false | null }, options?: RequestOptions): Promise<ResponseObject>;
}

interface ChatCreate {
  (request: ChatRequest & { stream: true }, options?: RequestOptions): Promise<Stream<ChatCompletionChunk>>;
  (request: ChatRequest & { stream?: false | null }, options?: RequestOptions): Promise<ChatCompletion>;
}

interface CompletionCreate {
  (request: CompletionRequest & { stream: true }, options?: RequestOptions): Promise<Stream<Completion>>;
  (request: CompletionRequest & { stream?: false | null }, options?: RequestOptions): Promise<Completion>;
}

interface EmbeddingCreate {
  (request: EmbeddingRequest & { encoding_format: "base64" }, options?: RequestOptions): Promise<EmbeddingList<string>>;
  (request: EmbeddingRequest & { encoding_format?: "float" }, options?: RequestOptions): Promise<EmbeddingList>;
}

export default OpenAI;
