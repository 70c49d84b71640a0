/** Requests and answers in OpenAI's shape: those of its npm client's types that are text. */

import type { EngineOptions } from "../api/sampling-options";
import type { Tool, ToolCall, ToolChoice } from "../protocol/core";
import type { Constraint } from "../api/options";
import type { ModelChoice } from "../thimble";

/** Thimble's own sampling options are taken beside OpenAI's: `top_k`, `min_p` and the like. */
type Own = Omit<EngineOptions, "max_tokens" | "temperature" | "top_p" | "seed" | "stop" | "logit_bias"
  | "frequency_penalty" | "presence_penalty" | "top_logprobs">;

interface Shared extends Own {
  /** A name out of `models.list()`, or a GGUF file; the site's default without it. */
  model?: ModelChoice;
  stream?: boolean | null;
  /** With `include_usage` a stream's last chunk has no choices but the usage. */
  stream_options?: { include_usage?: boolean } | null;
  max_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  seed?: number | null;
  stop?: string | string[] | null;
  logit_bias?: Record<string, number> | null;
  /** How many answers; each has the next seed. */
  n?: number | null;
  /** A label, which stays here. */
  user?: string;
  grammar?: string | Constraint;
  /** Let prompts and messages spell control tokens. */
  parse_special?: boolean;
  signal?: AbortSignal;
}

export interface TextPart {
  type: "text";
  text: string;
}

export interface RefusalPart {
  type: "refusal";
  refusal: string;
}

export interface ChatMessage {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  content?: string | readonly (TextPart | RefusalPart)[] | null;
  name?: string;
  refusal?: string | null;
  /** What the assistant thought, and which tools it called: its message, as it came. */
  reasoning_content?: string | null;
  tool_calls?: readonly ToolCall[];
  /** Of a tool: which call it answers. */
  tool_call_id?: string;
}

export type { Tool, ToolCall, ToolChoice };

export interface ChatRequest extends Shared {
  messages: readonly ChatMessage[];
  max_completion_tokens?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  response_format?:
    | { type: "text" }
    /** `schema` as WebLLM takes it: a JSON Schema, as a text or as an object. */
    | { type: "json_object"; schema?: string | object }
    | { type: "json_schema"; json_schema: { name?: string; schema?: object; strict?: boolean | null } }
    | { type: "grammar"; grammar: string }
    | null;
  tools?: readonly Tool[];
  tool_choice?: ToolChoice;
  parallel_tool_calls?: boolean;
  /** "none" answers without a thought; the others let a model think that can. */
  reasoning_effort?: "none" | "minimal" | "low" | "medium" | "high" | null;
  /** A thought of so many tokens is closed. */
  thinking_budget?: number;
  /** The same as the switch that templates have. */
  enable_thinking?: boolean;
  chat_template_kwargs?: { enable_thinking?: boolean };
}

export interface CompletionRequest extends Shared {
  prompt: string | readonly string[];
  /** How many of the best tokens to tell at each position. */
  logprobs?: number | null;
}

export interface EmbeddingRequest {
  input: string | readonly string[];
  model?: ModelChoice;
  encoding_format?: "float" | "base64";
  /** The model's own only. */
  dimensions?: number;
  user?: string;
}

/** What the npm client takes beside a request; what concerns a network means nothing here. */
export interface RequestOptions {
  signal?: AbortSignal | null | undefined;
  /** Milliseconds. */
  timeout?: number;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export interface TopLogprob {
  token: string;
  logprob: number;
  bytes: number[] | null;
}

export interface TokenLogprob extends TopLogprob {
  top_logprobs: TopLogprob[];
}

export interface ChatLogprobs {
  content: TokenLogprob[] | null;
  refusal: TokenLogprob[] | null;
}

export type Finish = "stop" | "length" | "tool_calls";

export interface Head<Kind extends string> {
  id: string;
  object: Kind;
  /** Seconds since 1970. */
  created: number;
  model: string;
}

export interface ChatCompletion extends Head<"chat.completion"> {
  choices: {
    index: number;
    message: {
      role: "assistant";
      content: string | null;
      refusal: string | null;
      /** What the model thought before it answered, as most servers name it. */
      reasoning_content?: string;
      tool_calls?: ToolCall[];
    };
    logprobs: ChatLogprobs | null;
    finish_reason: Finish;
  }[];
  usage?: Usage;
}

export interface ChatCompletionChunk extends Head<"chat.completion.chunk"> {
  choices: {
    index: number;
    delta: {
      role?: "assistant";
      content?: string | null;
      reasoning_content?: string;
      tool_calls?: ToolCallDelta[];
    };
    logprobs?: ChatLogprobs | null;
    finish_reason: Finish | null;
  }[];
  /** With `include_usage`: null on all chunks but the last. */
  usage?: Usage | null;
}

/** More of a call: its head first, then pieces of the JSON of its arguments. */
export interface ToolCallDelta {
  index: number;
  id?: string;
  type?: "function";
  function?: { name?: string; arguments?: string };
}

export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  /** Where in the answer's text each token begins. */
  text_offset: number[];
}

export interface Completion extends Head<"text_completion"> {
  choices: {
    index: number;
    text: string;
    logprobs: CompletionLogprobs | null;
    /** In a stream null on all chunks but a choice's last, which the npm client's type leaves out. */
    finish_reason: Exclude<Finish, "tool_calls">;
  }[];
  usage?: Usage;
}

export interface EmbeddingList<Vector = number[]> {
  object: "list";
  data: { object: "embedding"; index: number; embedding: Vector }[];
  model: string;
  usage: { prompt_tokens: number; total_tokens: number };
}

export interface ModelEntry {
  id: string;
  object: "model";
  /** 0: nobody knows. */
  created: number;
  owned_by: string;
}

export interface ResponseTool {
  type: "function";
  name: string;
  description?: string | null;
  parameters?: object | null;
  strict?: boolean | null;
}

/** What an answer is made of. */
export type ResponseOutput =
  | {
    type: "message"; id: string; role: "assistant"; status: ResponseStatus;
    content: [{ type: "output_text"; text: string; annotations: never[] }];
  }
  | { type: "function_call"; id: string; call_id: string; name: string; arguments: string; status: ResponseStatus }
  | {
    type: "reasoning"; id: string; status: ResponseStatus; summary: never[];
    content: [{ type: "reasoning_text"; text: string }];
  };

export type ResponseStatus = "in_progress" | "completed" | "incomplete";

type Texts = string | readonly { type: string; text: string }[];

/** What a request may tell: messages, earlier outputs, and what tools answered. */
export type ResponseItem =
  | { type?: "message"; role: "system" | "developer" | "user" | "assistant"; content: Texts }
  | { type: "function_call"; call_id: string; name: string; arguments: string }
  | { type: "function_call_output"; call_id: string; output: Texts }
  | { type: "reasoning" };

export interface ResponseRequest {
  input: string | readonly ResponseItem[];
  model?: ModelChoice;
  instructions?: string | null;
  tools?: readonly ResponseTool[] | null;
  tool_choice?: "auto" | "none" | "required" | { type: "function"; name: string } | null;
  parallel_tool_calls?: boolean | null;
  text?: {
    format?:
      | { type: "text" }
      | { type: "json_object" }
      | { type: "json_schema"; name?: string; schema: object; strict?: boolean | null };
  } | null;
  reasoning?: { effort?: "none" | "minimal" | "low" | "medium" | "high" | null } | null;
  max_output_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  seed?: number | null;
  metadata?: Record<string, string> | null;
  store?: boolean | null;
  stream?: boolean | null;
  signal?: AbortSignal;
}

export interface ResponseObject {
  id: string;
  object: "response";
  created_at: number;
  status: ResponseStatus;
  error: null;
  incomplete_details: { reason: "max_output_tokens" } | null;
  instructions: string | null;
  model: string;
  output: ResponseOutput[];
  output_text: string;
  parallel_tool_calls: boolean;
  temperature: number | null;
  top_p: number | null;
  max_output_tokens: number | null;
  tools: readonly ResponseTool[];
  tool_choice: NonNullable<ResponseRequest["tool_choice"]>;
  text: NonNullable<ResponseRequest["text"]>;
  metadata: Record<string, string> | null;
  usage: {
    input_tokens: number;
    input_tokens_details: { cached_tokens: number };
    output_tokens: number;
    output_tokens_details: { reasoning_tokens: number };
    total_tokens: number;
  } | null;
}

/** One of OpenAI's events, `response.created` to `response.completed`. */
export interface ResponseEvent {
  type: string;
  sequence_number: number;
  response?: ResponseObject;
  delta?: string;
}
