/** From OpenAI's requests to Thimble's options and messages. What cannot be done is refused by name. */

import { ThimbleError } from "../api/errors";
import type { SamplingOptions } from "../api/options";
import { ENGINE_OPTIONS } from "../api/sampling-options";
import type { Message } from "../protocol/core";
import type { Conversing } from "../protocol/talk";
import type { ChatRequest, CompletionRequest } from "./types";

const PASSED = [...ENGINE_OPTIONS, "grammar", "json_options", "parse_special"];
const OWN = ["model", "stream", "stream_options", "n", "signal", ...PASSED];
const CHAT = [
  "messages", "max_completion_tokens", "logprobs", "response_format", "tools", "tool_choice",
  "parallel_tool_calls", "reasoning_effort", "enable_thinking", "chat_template_kwargs",
  "thinking_budget",
];
const COMPLETION = ["prompt", "logprobs"];

/** Labels for OpenAI's own books; they go nowhere. */
const LABELS = [
  "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata", "store",
  "service_tier",
];

/** What Thimble lacks, and the values that do not ask for it. */
const LACKS: Readonly<Record<string, readonly unknown[]>> = {
  functions: [[]], function_call: ["none", "auto"],
  modalities: [["text"]], audio: [], prediction: [], web_search_options: [], echo: [false], suffix: [""],
  best_of: [1], verbosity: ["medium"],
};

const MOST_ANSWERS = 128;

function refuse(words: string): never {
  throw new ThimbleError("OptionError", words);
}

/** At most 60 characters of a value. */
function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 60);
}

function check(request: object, also: readonly string[]): void {
  if (typeof request !== "object" || request === null) refuse(`a request is an object, not ${shown(request)}`);
  const known = [...OWN, ...also];
  for (const [name, value] of Object.entries(request) as [string, unknown][]) {
    if (value === undefined || value === null || known.includes(name) || LABELS.includes(name)) continue;
    const neutral = Object.hasOwn(LACKS, name) ? LACKS[name] : undefined;
    if (!neutral) refuse(`${name} is not supported; there are ${known.join(", ")}`);
    if (neutral.some((one) => shown(one) === shown(value))) continue;
    const allowed = neutral.map(shown).join(" or ") || "null";
    refuse(`${name} is ${shown(value)}; this is not supported, only ${allowed} is`);
  }
}

/** How many answers are wanted to each prompt. */
export function answersOf({ n }: { n?: number | null }): number {
  const count = n ?? 1;
  if (Number.isInteger(count) && count >= 1 && count <= MOST_ANSWERS) return count;
  return refuse(`n is ${shown(n)}; it must be a whole number from 1 to ${MOST_ANSWERS}`);
}

/** The options that mean the same here; OpenAI sends null for what is not chosen. */
function passed(request: object): SamplingOptions {
  const options: Record<string, unknown> = {};
  const given = request as Record<string, unknown>;
  for (const name of PASSED) {
    if (given[name] !== undefined && given[name] !== null) options[name] = given[name];
  }
  return options;
}

function schemaOf(schema: unknown): object {
  if (typeof schema === "object" && schema !== null) return schema;
  let read: unknown = null;
  try {
    read = JSON.parse(String(schema));
  } catch {
    // Said below.
  }
  if (typeof read === "object" && read !== null) return read;
  return refuse(`response_format.schema is ${shown(schema)}; it must be a JSON Schema, as an object or as its text`);
}

function formatOf(format: ChatRequest["response_format"]): SamplingOptions {
  switch (format?.type) {
    case undefined:
      if (!format) return {};
      break;
    case "text": return {};
    case "json_object":
      return { responseConstraint: format.schema === undefined ? { type: "object" } : schemaOf(format.schema) };
    case "json_schema": return { responseConstraint: format.json_schema?.schema ?? true };
    case "grammar": return { grammar: format.grammar };
  }
  return refuse(
    `response_format is ${shown(format)}; its type must be text, json_object, json_schema or grammar`,
  );
}

export function chatOptions(request: ChatRequest): SamplingOptions {
  check(request, CHAT);
  const most = request.max_completion_tokens ?? request.max_tokens;
  const options = { ...passed(request), ...formatOf(request.response_format), logprobs: true };
  return typeof most === "number" ? { ...options, max_tokens: most } : options;
}

/** How the conversation is written: tools and thoughts. The engine checks them. */
export function conversingOf(request: ChatRequest): Conversing {
  const { tools, tool_choice, parallel_tool_calls, reasoning_effort, thinking_budget } = request;
  const enable_thinking = request.enable_thinking ?? request.chat_template_kwargs?.enable_thinking;
  const given = { tools, tool_choice, parallel_tool_calls, reasoning_effort, thinking_budget, enable_thinking };
  const said = Object.entries(given).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(said) as Conversing;
}

export function completionOptions(request: CompletionRequest): SamplingOptions {
  check(request, COMPLETION);
  const top = request.logprobs ? { top_logprobs: request.logprobs } : {};
  return { ...passed(request), ...top, logprobs: true };
}

/** The texts to go on from. */
export function promptsOf({ prompt }: CompletionRequest): readonly string[] {
  const prompts = typeof prompt === "string" ? [prompt] : prompt;
  const right = Array.isArray(prompts) && prompts.length > 0 && prompts.every((one) => typeof one === "string");
  return right ? prompts : refuse(`prompt is ${shown(prompt)}; it must be a text or a list of texts`);
}

const ROLES: Readonly<Record<string, Message["role"]>> = {
  system: "system", developer: "system", user: "user", assistant: "assistant", tool: "tool",
};

/** What a message may have beside these. */
const ALSO: Readonly<Record<string, readonly string[]>> = {
  assistant: ["tool_calls", "reasoning_content"], tool: ["tool_call_id"],
};

/** Names as OpenAI allows them: none can spell what a template writes. */
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** Members of a message that say nothing where they are empty, as an answer has them. */
const EMPTY = ["refusal", "audio", "annotations", "function_call", "tool_calls"];

/** A conversation in the engine's words. */
export function messagesOf(messages: unknown): Message[] {
  if (!Array.isArray(messages)) return refuse("messages must be a list of { role, content }");
  return messages.map((message: unknown, at) => messageOf(message, `messages[${at}]`));
}

function messageOf(given: unknown, where: string): Message {
  if (typeof given !== "object" || given === null) return refuse(`${where} is ${shown(given)}; it must be { role, content }`);
  const message = given as Record<string, unknown>;
  const said = String(message["role"]);
  const own = (Object.hasOwn(ALSO, said) ? ALSO[said] : undefined) ?? [];
  for (const [name, value] of Object.entries(message)) {
    if (["role", "content", "name", ...own].includes(name) || value === undefined || value === null) continue;
    if (!EMPTY.includes(name) || !isEmpty(value)) refuse(`${where}.${name} is ${shown(value)}, which is not supported`);
  }
  const { role, content, name } = message;
  const known = typeof role === "string" && Object.hasOwn(ROLES, role) ? ROLES[role] : undefined;
  if (!known) return refuse(`${where} has role ${shown(role)}; roles are ${Object.keys(ROLES).join(", ")}`);
  const more = Object.fromEntries(own.filter((key) => message[key] !== undefined && message[key] !== null && !isEmpty(message[key]))
    .map((key) => [key, message[key]])) as Partial<Message>;
  const mayLack = known === "assistant" && (content === null || (content === undefined && more.tool_calls !== undefined));
  const text = mayLack ? "" : contentOf(content, `${where}.content`);
  if (name === undefined || name === null) return { role: known, content: text, ...more };
  if (typeof name === "string" && NAME.test(name)) return { role: known, content: text, name, ...more };
  return refuse(`${where}.name is ${shown(name)}; a name has 1 to 64 letters, digits, _ or -`);
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

/** A content's text: its parts, one after another. */
function contentOf(content: unknown, where: string): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return refuse(`${where} is ${shown(content)}; it must be a text or a list of parts`);
  return content.map((part: Record<string, unknown> | null, at) => {
    const type = part?.["type"];
    const text = type === "text" || type === "refusal" ? part?.[type] : undefined;
    if (typeof text === "string") return text;
    return refuse(`${where}[${at}] is ${shown(part)}; these models read parts { type: "text", text } only`);
  }).join("");
}
