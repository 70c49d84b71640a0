/**
 * OpenAI's Responses: a request becomes one of chat completions, and its chunks become events. What
 * earlier responses said is not kept here: send it as `input`.
 */

import { ThimbleError } from "../api/errors";
import type { Tool, ToolCall, ToolChoice } from "../protocol/core";
import { randomId } from "./answer";
import type {
  ChatCompletionChunk, ChatMessage, ChatRequest, ResponseEvent, ResponseItem, ResponseObject, ResponseOutput, ResponseRequest, ResponseTool, Usage,
} from "./types";

function refuse(words: string): never {
  throw new ThimbleError("OptionError", words);
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 60);
}

/** Members that mean the same in a chat. */
const SAME = [
  "model", "temperature", "top_p", "parallel_tool_calls", "user", "metadata", "store", "signal", "seed", "top_k",
  "min_p", "top_logprobs", "stop", "service_tier", "safety_identifier", "prompt_cache_key",
  "thinking_budget",
];
const OWN = ["input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens", "stream"];
/** Values that ask for nothing. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  truncation: ["disabled"], include: [], background: [false], previous_response_id: [],
};

/** The same request of a chat. */
export function chatRequestOf(request: ResponseRequest): ChatRequest & { stream: true } {
  for (const [name, value] of Object.entries(request) as [string, unknown][]) {
    if (value === undefined || value === null || SAME.includes(name) || OWN.includes(name)) continue;
    const isEmpty = Array.isArray(value) && value.length === 0;
    if (NEUTRAL[name]?.some((one) => one === value) || (name in NEUTRAL && isEmpty)) continue;
    refuse(`${name} is ${shown(value)}; this is not supported`);
  }
  const { instructions, tools, tool_choice, text, reasoning, max_output_tokens } = request;
  const same = Object.fromEntries(Object.entries(request).filter(([name]) => SAME.includes(name)));
  const system: ChatMessage[] = instructions ? [{ role: "system", content: instructions }] : [];
  return {
    ...same,
    messages: [...system, ...messagesOf(request.input)],
    ...(tools ? { tools: tools.map(toolOf) } : {}),
    ...(tool_choice ? { tool_choice: choiceOf(tool_choice) } : {}),
    ...(text?.format ? { response_format: formatOf(text.format) } : {}),
    ...(reasoning?.effort ? { reasoning_effort: reasoning.effort } : {}),
    ...(max_output_tokens === undefined || max_output_tokens === null ? {} : { max_tokens: max_output_tokens }),
    stream: true,
    stream_options: { include_usage: true },
  };
}

function toolOf({ type, name, description, parameters, strict }: ResponseTool): Tool {
  if (type !== "function") refuse(`a tool has the type ${shown(type)}; it must be function`);
  return {
    type, function: {
      name, ...(description ? { description } : {}), ...(parameters ? { parameters } : {}), ...(strict ? { strict } : {}),
    },
  };
}

function choiceOf(choice: NonNullable<ResponseRequest["tool_choice"]>): ToolChoice {
  return typeof choice === "string" ? choice : { type: "function", function: { name: choice.name } };
}

function formatOf(format: NonNullable<NonNullable<ResponseRequest["text"]>["format"]>): NonNullable<ChatRequest["response_format"]> {
  if (format.type !== "json_schema") return format;
  return { type: "json_schema", json_schema: { name: format.name ?? "answer", schema: format.schema } };
}

/** Items of an input as messages; calls next to each other are one message's. */
function messagesOf(input: ResponseRequest["input"]): ChatMessage[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  if (!Array.isArray(input)) return refuse(`input is ${shown(input)}; it must be a text or a list of items`);
  const messages: ChatMessage[] = [];
  for (const [at, item] of (input as readonly ResponseItem[]).entries()) {
    if (item.type === "reasoning") continue;
    if (item.type === "function_call") {
      const call: ToolCall = { id: item.call_id, type: "function", function: { name: item.name, arguments: item.arguments } };
      const last = messages.at(-1);
      if (last?.role === "assistant") messages[messages.length - 1] = { ...last, tool_calls: [...(last.tool_calls ?? []), call] };
      else messages.push({ role: "assistant", content: null, tool_calls: [call] });
    } else if (item.type === "function_call_output") {
      messages.push({ role: "tool", tool_call_id: item.call_id, content: contentOf(item.output, at) });
    } else if ("role" in item) {
      messages.push({ role: item.role, content: contentOf(item.content, at) });
    } else {
      refuse(`input[${at}] is ${shown(item)}; it must be a message, a function_call or a function_call_output`);
    }
  }
  return messages;
}

function contentOf(content: unknown, at: number): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return refuse(`input[${at}] has the content ${shown(content)}; it must be a text or parts`);
  return content.map((part: { type?: string; text?: unknown; refusal?: unknown } | null) => {
    const text = part?.type === "refusal" ? part.refusal : part?.text;
    const known = ["input_text", "output_text", "text", "refusal"].includes(part?.type ?? "");
    return known && typeof text === "string" ? text : refuse(`input[${at}] has the part ${shown(part)}; these models read texts`);
  }).join("");
}

/** The items of a response as they grow, and the events that tell of it. */
class Output {
  readonly items: ResponseOutput[] = [];
  #open: ResponseOutput | null = null;
  #number = 0;

  event(type: string, more: object): ResponseEvent {
    return { type, ...more, sequence_number: this.#number++ };
  }

  /** Where the open item stands. */
  #place({ id }: ResponseOutput): { item_id: string; output_index: number } {
    return { item_id: id, output_index: this.items.length - 1 };
  }

  *#begin(item: ResponseOutput): Generator<ResponseEvent> {
    yield* this.end();
    this.items.push((this.#open = item));
    const { item_id, output_index } = this.#place(item);
    yield this.event("response.output_item.added", { output_index, item: { ...structuredClone(item), ...(item.type === "message" ? { content: [] } : {}) } });
    if (item.type !== "message") return;
    yield this.event("response.content_part.added", { item_id, output_index, content_index: 0, part: structuredClone(item.content[0]) });
  }

  /** The open item is whole. */
  *end(): Generator<ResponseEvent> {
    const item = this.#open;
    if (!item) return;
    this.#open = null;
    const at = this.#place(item);
    if (item.type === "function_call") {
      yield this.event("response.function_call_arguments.done", { ...at, name: item.name, arguments: item.arguments });
    } else {
      const [part] = item.content;
      const kind = item.type === "message" ? "output_text" : "reasoning_text";
      yield this.event(`response.${kind}.done`, { ...at, content_index: 0, text: part.text, ...(item.type === "message" ? { logprobs: [] } : {}) });
      if (item.type === "message") yield this.event("response.content_part.done", { ...at, content_index: 0, part: { ...part } });
    }
    item.status = "completed";
    yield this.event("response.output_item.done", { output_index: at.output_index, item: structuredClone(item) });
  }

  /** More words, of the answer or of a thought. */
  *say(type: "message" | "reasoning", delta: string): Generator<ResponseEvent> {
    if (this.#open?.type !== type) {
      yield* this.#begin(type === "message"
        ? { id: `msg_${randomId()}`, type, role: "assistant", status: "in_progress", content: [{ type: "output_text", text: "", annotations: [] }] }
        : { id: `rs_${randomId()}`, type, summary: [], status: "in_progress", content: [{ type: "reasoning_text", text: "" }] });
    }
    const item = this.#open as Exclude<ResponseOutput, { type: "function_call" }>;
    item.content[0].text += delta;
    const kind = type === "message" ? "output_text" : "reasoning_text";
    yield this.event(`response.${kind}.delta`, { ...this.#place(item), content_index: 0, delta, ...(type === "message" ? { logprobs: [] } : {}) });
  }

  *call(call_id: string, name: string): Generator<ResponseEvent> {
    yield* this.#begin({ id: `fc_${randomId()}`, type: "function_call", call_id, name, arguments: "", status: "in_progress" });
  }

  *arguments(delta: string): Generator<ResponseEvent> {
    const item = this.#open;
    if (item?.type !== "function_call") return;
    item.arguments += delta;
    yield this.event("response.function_call_arguments.delta", { ...this.#place(item), delta });
  }
}

/** What a chat's chunks tell, as events: the last has the whole response. */
export async function* eventsOf(
  request: ResponseRequest, chunks: AsyncIterable<ChatCompletionChunk>,
): AsyncGenerator<ResponseEvent> {
  const output = new Output();
  let response = begun(request);
  let finish: string | null = null;
  yield output.event("response.created", { response });
  yield output.event("response.in_progress", { response });
  for await (const { usage, model, choices: [choice] } of chunks) {
    response = { ...response, model, ...(usage ? { usage: usageOf(usage) } : {}) };
    if (!choice) continue;
    finish = choice.finish_reason ?? finish;
    const { content, reasoning_content: thought, tool_calls = [] } = choice.delta;
    if (thought) yield* output.say("reasoning", thought);
    if (content) yield* output.say("message", content);
    for (const { id, function: made } of tool_calls) {
      if (id) yield* output.call(id, made?.name ?? "");
      if (made?.arguments) yield* output.arguments(made.arguments);
    }
  }
  yield* output.end();
  const cut = finish === "length";
  const output_text = output.items.map((item) => (item.type === "message" ? item.content[0].text : "")).join("");
  response = {
    ...response, output: output.items, output_text, status: cut ? "incomplete" : "completed",
    incomplete_details: cut ? { reason: "max_output_tokens" } : null,
  };
  yield output.event(cut ? "response.incomplete" : "response.completed", { response });
}

function usageOf({ prompt_tokens, completion_tokens, total_tokens }: Usage): ResponseObject["usage"] {
  return {
    input_tokens: prompt_tokens, input_tokens_details: { cached_tokens: 0 }, output_tokens: completion_tokens,
    output_tokens_details: { reasoning_tokens: 0 }, total_tokens,
  };
}

function begun(request: ResponseRequest): ResponseObject {
  const { instructions, tools, tool_choice, text, temperature, top_p, max_output_tokens, metadata, parallel_tool_calls } = request;
  return {
    id: `resp_${randomId()}`, object: "response", created_at: Math.floor(Date.now() / 1000), status: "in_progress",
    error: null, incomplete_details: null, instructions: instructions ?? null, model: String(request.model ?? ""), output: [],
    output_text: "", parallel_tool_calls: parallel_tool_calls ?? true, temperature: temperature ?? null, top_p: top_p ?? null,
    max_output_tokens: max_output_tokens ?? null, tools: tools ?? [], tool_choice: tool_choice ?? "auto",
    text: text ?? { format: { type: "text" } }, metadata: metadata ?? null, usage: null,
  };
}
