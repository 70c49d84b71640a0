/** From what the engine writes to OpenAI's answers, whole and in chunks. It knows no request. */

import type { TokenChunk } from "../api/stream";
import type {
  ChatCompletion, ChatCompletionChunk, Completion, CompletionLogprobs, Finish, Head, TokenLogprob,
  ToolCallDelta, TopLogprob, Usage,
} from "./types";

/** One answer as it is written, and how many tokens its prompt has once it has begun. */
export interface Writing {
  readonly index: number;
  readonly chunks: AsyncIterable<TokenChunk>;
  readonly prompt: () => number;
}

export interface Telling {
  readonly model: string;
  readonly logprobs: boolean;
  /** Whether a stream tells the usage, at its end. */
  readonly usage: boolean;
  /** How many answers there are to each prompt: its tokens are counted once. */
  readonly n: number;
}

/** `crypto.randomUUID` is for pages that came by HTTPS only. */
export function randomId(): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function head<Kind extends string>(object: Kind, model: string): Head<Kind> {
  const prefix = object === "text_completion" ? "cmpl" : "chatcmpl";
  return { id: `${prefix}-${randomId()}`, object, created: Math.floor(Date.now() / 1000), model };
}

function usageOf(writings: readonly Writing[], { n }: Telling, completion: number): Usage {
  const prompts = writings.filter((_, at) => at % n === 0).reduce((sum, { prompt }) => sum + prompt(), 0);
  return { prompt_tokens: prompts, completion_tokens: completion, total_tokens: prompts + completion };
}

function told(text: string, bytes: readonly number[] = [], logprob: number): TopLogprob {
  return { token: text, logprob, bytes: [...bytes] };
}

/** A token by its own text and bytes: what of it could be shown then is another matter. */
function logprobOf({ token = "", bytes = [], logprob, top_logprobs }: TokenChunk): TokenLogprob {
  const top = top_logprobs.map((one) => told(one.text, one.bytes, one.logprob));
  return { ...told(token, bytes, logprob), top_logprobs: top };
}

/** The chunks of an answer; one without tokens ends all the same. */
async function* endingChunks({ chunks }: Writing): AsyncGenerator<TokenChunk | null> {
  let ended = false;
  for await (const chunk of chunks) {
    ended = chunk.finish_reason !== null;
    yield chunk;
  }
  if (!ended) yield null;
}

type Delta = ChatCompletionChunk["choices"][number]["delta"];

/** What a token brings to an answer: words, unless it brings something else. */
function deltaOf(chunk: TokenChunk | null): Delta {
  if (!chunk?.parts) return { content: chunk?.text ?? "" };
  const textOf = (kind: string): string => chunk.parts?.filter((part) => part.kind === kind).map(({ text }) => text).join("") ?? "";
  const tool_calls = chunk.parts.flatMap(({ kind, text, call: index }): ToolCallDelta[] => {
    if (kind === "arguments") return [{ index, function: { arguments: text } }];
    if (kind !== "call") return [];
    return [{ index, id: `call_${randomId()}`, type: "function", function: { name: text, arguments: "" } }];
  });
  const [content, reasoning_content] = [textOf("content"), textOf("reasoning")];
  const other = { ...(reasoning_content ? { reasoning_content } : {}), ...(tool_calls.length > 0 ? { tool_calls } : {}) };
  return content || Object.keys(other).length === 0 ? { content, ...other } : other;
}

type Said = ChatCompletion["choices"][number]["message"];

/** A message with what a delta adds to it. */
function added(said: Said, { content, reasoning_content: thought, tool_calls = [] }: Delta): Said {
  const calls = [...(said.tool_calls ?? [])];
  for (const { index, id = "", function: { name = "", arguments: more = "" } = {} } of tool_calls) {
    const before = calls[index] ?? { id, type: "function" as const, function: { name, arguments: "" } };
    calls[index] = { ...before, function: { ...before.function, arguments: before.function.arguments + more } };
  }
  return {
    ...said,
    content: (said.content ?? "") + (content ?? ""),
    ...(thought ? { reasoning_content: (said.reasoning_content ?? "") + thought } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

export async function* chatChunks(
  writings: readonly Writing[], telling: Telling,
): AsyncGenerator<ChatCompletionChunk> {
  const same = head("chat.completion.chunk", telling.model);
  const without = telling.usage ? { usage: null } : {};
  let count = 0;
  for (const writing of writings) {
    const { index } = writing;
    let first = true;
    for await (const chunk of endingChunks(writing)) {
      const delta = { ...(first ? { role: "assistant" as const } : {}), ...deltaOf(chunk) };
      const logprobs = telling.logprobs && chunk ? { content: [logprobOf(chunk)], refusal: null } : null;
      first = false;
      if (chunk) count += 1;
      const finish_reason: Finish | null = chunk ? chunk.finish_reason : "length";
      yield { ...same, choices: [{ index, delta, logprobs, finish_reason }], ...without };
    }
  }
  if (telling.usage) yield { ...same, choices: [], usage: usageOf(writings, telling, count) };
}

export async function wholeChat(
  writings: readonly Writing[], telling: Telling,
): Promise<ChatCompletion> {
  const answer: ChatCompletion = { ...head("chat.completion", telling.model), choices: [] };
  let count = 0;
  for (const { index, chunks } of writings) {
    const found: TokenLogprob[] = [];
    let message: Said = { role: "assistant", content: "", refusal: null };
    let finish_reason: Finish = "length";
    for await (const chunk of chunks) {
      message = added(message, deltaOf(chunk));
      count += 1;
      finish_reason = chunk.finish_reason ?? finish_reason;
      if (telling.logprobs) found.push(logprobOf(chunk));
    }
    const logprobs = telling.logprobs ? { content: found, refusal: null } : null;
    if (message.tool_calls && !message.content) message = { ...message, content: null };
    answer.choices.push({ index, message, logprobs, finish_reason });
  }
  return { ...answer, usage: usageOf(writings, telling, count) };
}

function completionLogprobs(chunk: TokenChunk, offset: number): CompletionLogprobs {
  return {
    tokens: [chunk.token ?? ""],
    token_logprobs: [chunk.logprob],
    top_logprobs: [Object.fromEntries(chunk.top_logprobs.map(({ text, logprob }) => [text, logprob]))],
    text_offset: [offset],
  };
}

export async function* completionChunks(
  writings: readonly Writing[], telling: Telling,
): AsyncGenerator<Completion> {
  const same = head("text_completion", telling.model);
  let count = 0;
  for (const writing of writings) {
    let offset = 0;
    for await (const chunk of endingChunks(writing)) {
      const logprobs = telling.logprobs && chunk ? completionLogprobs(chunk, offset) : null;
      const text = chunk?.text ?? "";
      offset += text.length;
      if (chunk) count += 1;
      const finish_reason = (chunk ? chunk.finish_reason : "length") as Exclude<Finish, "tool_calls">;
      yield { ...same, choices: [{ index: writing.index, text, logprobs, finish_reason }] };
    }
  }
  if (telling.usage) yield { ...same, choices: [], usage: usageOf(writings, telling, count) };
}

/** A stream of completions as one. */
export async function wholeCompletion(
  writings: readonly Writing[], telling: Telling,
): Promise<Completion> {
  const whole: Completion = { ...head("text_completion", telling.model), choices: [] };
  for await (const part of completionChunks(writings, { ...telling, usage: true })) {
    if (part.usage) whole.usage = part.usage;
    for (const one of part.choices) {
      const before = whole.choices.find(({ index }) => index === one.index);
      if (!before) whole.choices.push(one);
      else {
        before.text += one.text;
        before.finish_reason = one.finish_reason;
        if (before.logprobs && one.logprobs) join(before.logprobs, one.logprobs);
      }
    }
  }
  return whole;
}

function join(before: CompletionLogprobs, more: CompletionLogprobs): void {
  before.tokens.push(...more.tokens);
  before.token_logprobs.push(...more.token_logprobs);
  before.top_logprobs.push(...more.top_logprobs);
  before.text_offset.push(...more.text_offset);
}
