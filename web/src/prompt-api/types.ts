/** The Prompt API's dictionaries (webmachinelearning/prompt-api), and what Thimble adds to them. */

export type Role = "system" | "user" | "assistant";

export type ContentType = "text" | "image" | "audio" | "tool-call" | "tool-response";

export interface Content {
  type: ContentType;
  /** Of these models a text. */
  value: unknown;
}

export interface LanguageModelMessage {
  role: Role;
  content: string | readonly Content[];
  /** Of the last message, the assistant's: the answer begins with it. */
  prefix?: boolean;
}

export type LanguageModelPrompt = string | readonly LanguageModelMessage[];

export interface Expected {
  type: ContentType;
  languages?: readonly string[];
}

export type SamplingMode = "most-predictable" | "predictable" | "balanced" | "creative" | "most-creative";

export interface CoreOptions {
  samplingMode?: SamplingMode;
  temperature?: number;
  topK?: number;
  expectedInputs?: readonly Expected[];
  expectedOutputs?: readonly Expected[];
  tools?: readonly LanguageModelTool[];
}

/** A function that the model may call before it answers. */
export interface LanguageModelTool {
  name: string;
  description: string;
  /** A JSON Schema of the one argument. */
  inputSchema: object;
  /** What it resolves with is told to the model, as text or as JSON; an error too. */
  execute: (argument: never) => Promise<unknown> | unknown;
}

export interface CreateOptions extends CoreOptions {
  initialPrompts?: readonly LanguageModelMessage[];
  /** Aborted to wait no longer, and after that to destroy the session. */
  signal?: AbortSignal;
  monitor?: (monitor: EventTarget) => void;
  /** Thimble's own: the same seed, the same answers. Without it each has another. */
  seed?: number;
}

export interface AppendOptions {
  signal?: AbortSignal;
}

export interface PromptOptions extends AppendOptions {
  /** A JSON Schema or a RegExp that the answer keeps to. */
  responseConstraint?: object | boolean;
  /** Do not tell the model of it. */
  omitResponseConstraintInput?: boolean;
}

export interface LanguageModelParams {
  readonly defaultTopK: number;
  readonly maxTopK: number;
  readonly defaultTemperature: number;
  readonly maxTemperature: number;
}
