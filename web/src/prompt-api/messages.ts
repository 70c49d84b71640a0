/** Prompts and options as the specification reads them: validated, and in one form. */

import type { Message } from "../protocol/core";
import type { CoreOptions, Expected, LanguageModelParams, SamplingMode } from "./types";

const ROLES = ["system", "user", "assistant"];
const TYPES = ["text", "image", "audio", "tool-call", "tool-response"];

function notSupported(words: string): never {
  throw new DOMException(words, "NotSupportedError");
}

/** At most 60 characters of a value. */
function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 60);
}

/** The messages of a prompt, and whether the last one is the beginning of the answer. */
export interface Canonical {
  readonly messages: Message[];
  readonly prefix: boolean;
}

/** A prompt's messages; `begun` where others came before it. */
export function canonicalPrompt(input: unknown, begun: boolean): Canonical {
  if (typeof input !== "object" || input === null) {
    return { messages: [{ role: "user", content: String(input) }], prefix: false };
  }
  if (!(Symbol.iterator in input)) throw new TypeError(`a prompt is a text or a list of messages, not ${shown(input)}`);
  const given = [...(input as Iterable<unknown>)];
  if (given.length === 0) return { messages: [{ role: "user", content: "" }], prefix: false };
  let prefix = false;
  const messages = given.map((one, at) => {
    if (typeof one !== "object" || one === null) throw new TypeError(`message ${at} is ${shown(one)}, not { role, content }`);
    const { role, content, prefix: begins } = one as Record<string, unknown>;
    if (!ROLES.includes(String(role))) throw new TypeError(`message ${at} has role ${shown(role)}; roles are ${ROLES.join(", ")}`);
    const named = String(role) as Message["role"];
    if (begins && (named !== "assistant" || at < given.length - 1)) {
      throw new DOMException(`message ${at} has a prefix, which is for an assistant's message at the end`, "SyntaxError");
    }
    if (named === "system" && (begun || at > 0)) {
      throw new TypeError(`message ${at} is the system's, which must be the first of the session`);
    }
    prefix = Boolean(begins);
    return { role: named, content: contentOf(content, named, at) };
  });
  return { messages, prefix };
}

function contentOf(content: unknown, role: Message["role"], at: number): string {
  if (content === undefined) throw new TypeError(`message ${at} has no content`);
  if (typeof content !== "object" || content === null || !(Symbol.iterator in content)) return String(content);
  return [...(content as Iterable<unknown>)].map((part) => {
    const { type, value } = Object(part) as Record<string, unknown>;
    if (!TYPES.includes(String(type))) throw new TypeError(`message ${at} has a part of type ${shown(type)}; types are ${TYPES.join(", ")}`);
    if (type !== "text") notSupported(`message ${at} has a part of type ${String(type)}; this ${role} can say text only`);
    if (typeof value !== "string") throw new TypeError(`message ${at} has a text that is ${shown(value)}`);
    return value;
  }).join("");
}

/** Check `expectedInputs` and `expectedOutputs`; whether these models can do that. Calls and answers
 * of tools are the session's own affair. */
export function isSupported({ expectedInputs = [], expectedOutputs = [] }: CoreOptions): boolean {
  const expected = [...expectedInputs, ...expectedOutputs];
  for (const { type, languages = [] } of expected as readonly Expected[]) {
    if (!TYPES.includes(type)) throw new TypeError(`an expected type is ${shown(type)}; types are ${TYPES.join(", ")}`);
    Intl.getCanonicalLocales([...languages]); // a RangeError names the tag that is none
  }
  const tools = ["tool-call", "tool-response"];
  return expected.every(({ type }) => type === "text" || tools.includes(type));
}

export const PARAMS: LanguageModelParams = { defaultTopK: 40, maxTopK: 1000, defaultTemperature: 0.8, maxTemperature: 2 };

/** What each mode draws from. */
const MODES: Readonly<Record<SamplingMode, { readonly temperature: number; readonly topK: number; readonly topP: number }>> = {
  "most-predictable": { temperature: 0, topK: 1, topP: 1 },
  "predictable": { temperature: 0.4, topK: PARAMS.defaultTopK, topP: 0.9 },
  "balanced": { temperature: PARAMS.defaultTemperature, topK: PARAMS.defaultTopK, topP: 0.95 },
  "creative": { temperature: 1, topK: PARAMS.defaultTopK, topP: 0.98 },
  "most-creative": { temperature: 1.3, topK: PARAMS.maxTopK, topP: 1 },
};

export interface Sampling {
  readonly samplingMode: SamplingMode;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
}

/** How a session draws: by a mode, or by numbers, which are clamped as the specification says. */
export function samplingOf({ samplingMode, temperature, topK }: CoreOptions): Sampling {
  if (samplingMode !== undefined && !Object.hasOwn(MODES, samplingMode)) {
    throw new TypeError(`samplingMode is ${shown(samplingMode)}; modes are ${Object.keys(MODES).join(", ")}`);
  }
  if (samplingMode !== undefined && (temperature !== undefined || topK !== undefined)) {
    throw new TypeError("give samplingMode, or temperature and topK, not both");
  }
  const mode = samplingMode ?? "balanced";
  const numbers = { ...MODES[mode] };
  if (temperature !== undefined) numbers.temperature = Math.min(number("temperature", temperature, 0), PARAMS.maxTemperature);
  if (topK !== undefined) numbers.topK = Math.floor(Math.min(number("topK", topK, 1), PARAMS.maxTopK));
  return { samplingMode: mode, ...numbers };
}

function number(name: string, value: unknown, least: number): number {
  const given = Number(value);
  if (Number.isNaN(given)) throw new TypeError(`${name} is ${shown(value)}; it must be a number`);
  if (given < least) throw new RangeError(`${name} is ${shown(value)}; it must be ${least} or more`);
  return given;
}

/** The same messages where the model is told what its answer must be like. */
export function withConstraint(messages: readonly Message[], constraint: unknown): Message[] {
  const words = constraint instanceof RegExp
    ? `Answer with a text that matches this regular expression: ${constraint.source}`
    : `Answer with JSON that is valid against this JSON Schema: ${JSON.stringify(constraint)}`;
  const last = messages.findLastIndex(({ role }) => role === "user");
  if (last < 0) return [...messages];
  return messages.map((one, at) => (at === last ? { ...one, content: `${one.content}\n\n${words}` } : one));
}
