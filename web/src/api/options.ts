/** The options of a generation, under OpenAI's names. */

import type { Conversing } from "../protocol/talk";
import { ThimbleError } from "./errors";
import type { JsonOptions } from "./json-options";
import { ENGINE_OPTIONS } from "./sampling-options";
import type { EngineOptions } from "./sampling-options";

/** What a text must match: the notation, and the schema, expression or grammar in it. */
export interface Constraint {
  readonly kind: "json_schema" | "regex" | "gbnf" | "lark";
  readonly source: string;
  /** How the JSON of a schema is written. */
  readonly options?: JsonOptions;
}

/** How the next token is chosen. Ranges are checked by the engine, which names what is wrong. */
export interface SamplingOptions extends EngineOptions {
  /** Write JSON that is valid against this JSON Schema, or a text that this RegExp matches. */
  responseConstraint?: object | boolean | RegExp;
  /** How the JSON of a `responseConstraint` is written. */
  json_options?: JsonOptions;
  /** The same as a grammar in GBNF, or in a notation that is named. */
  grammar?: string | Constraint;
  /** Let prompts spell control tokens, like `<|im_end|>`; otherwise they are text like any other. */
  parse_special?: boolean;
  /** Stream every token's id, log-probability and entropy instead of bare text. */
  logprobs?: boolean;
}

export interface PromptOptions extends SamplingOptions {
  /** Keep the session's tokens and write on after them; otherwise the prompt begins afresh. */
  continue?: boolean;
  /** @internal */
  conversation?: Conversing;
  /** Abort to stop; the tokens so far stay in the session. */
  signal?: AbortSignal;
}

const SAMPLING: readonly string[] = [
  ...ENGINE_OPTIONS, "logprobs", "responseConstraint", "json_options", "grammar", "parse_special",
];

/** A constraint as the engine takes it. */
function constraintOf(given: unknown): Constraint {
  if (given instanceof RegExp) {
    const flags = given.flags.replace(/[^ims]/g, ""); // others change nothing about a whole match
    return { kind: "regex", source: flags ? `(?${flags}:${given.source})` : given.source };
  }
  if (typeof given !== "boolean" && (typeof given !== "object" || given === null)) {
    const words = `responseConstraint is ${String(given)}; it must be a JSON Schema or a RegExp`;
    throw new ThimbleError("OptionError", words);
  }
  return { kind: "json_schema", source: JSON.stringify(given) };
}

/** Numbers that JSON lacks cross as their names, so that an error can say what was given. */
function speakable(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** The sampling options, and the `also` named ones, as JSON for the engine; `own` are left out. */
export function encodeOptions(
  options: object,
  { own, also = [] }: { own: readonly string[]; also?: readonly string[] },
): string {
  const engine: Record<string, unknown> = {};
  const known = [...SAMPLING, ...also];
  let constraint: Constraint | null = null;
  let written: unknown;
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (value === undefined || own.includes(name)) continue;
    if (!known.includes(name)) {
      const names = [...known, ...own].join(", ");
      throw new ThimbleError("OptionError", `there is no option "${name}"; there are ${names}`);
    }
    if (name === "responseConstraint") constraint = constraintOf(value);
    else if (name === "json_options") written = value;
    else engine[name] = value;
  }
  if (constraint && engine["grammar"] !== undefined) {
    throw new ThimbleError("OptionError", "give one of responseConstraint and grammar, not both");
  }
  if (written !== undefined && constraint?.kind !== "json_schema") {
    throw new ThimbleError("OptionError", "json_options go with a responseConstraint that is a JSON Schema");
  }
  if (constraint) engine["grammar"] = written === undefined ? constraint : { ...constraint, options: written };
  return JSON.stringify(engine, speakable);
}
