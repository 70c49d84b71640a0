/**
 * The tools that a model may call in Talk, where the visitor has switched them on: what the model is
 * told of each, and what carries it out. They know no element of the page; Python is run elsewhere,
 * and only when the visitor says so (`Hands`).
 */

import type { Tool as Told } from "../protocol/core";
import { calculate } from "./calculator";
import type { TextIndex } from "./search-texts";

export const TOOLS = ["calculator", "clock", "search", "python"] as const;
export type ToolName = (typeof TOOLS)[number];

/** Characters of a result that the model is told. */
const LONGEST = 4000;
const PASSAGES = 3;

/** What only the panel can do. */
export interface Hands {
  /** Ask the visitor, then run code; what it printed, or why it did not run. */
  readonly python: (code: string, signal: AbortSignal) => Promise<string>;
  readonly texts: TextIndex;
}

interface Tool {
  readonly description: string;
  /** Its one argument: its name, and what it is. */
  readonly argument: readonly [name: string, description: string] | null;
  run(given: string, hands: Hands, signal: AbortSignal): Promise<string> | string;
}

const ALL: Readonly<Record<ToolName, Tool>> = {
  calculator: {
    description: "Work out a formula exactly, such as 12.5 * (3 + 4) ^ 2 or sqrt(2).",
    argument: ["formula", "The formula, with numbers, + - * / % ^, parentheses and functions."],
    run: (formula) => String(calculate(formula)),
  },
  clock: {
    description: "Tell the date and the time of now.",
    argument: null,
    run: () => now(new Date()),
  },
  search: {
    description: "Find passages in the user's texts that answer a question.",
    argument: ["query", "The words to look for."],
    run: (query, { texts }) => {
      const found = texts.search(query, PASSAGES);
      if (found.length === 0) return `No passage has these words. The texts are: ${texts.files.join(", ")}.`;
      return found.map(({ file, line, text }) => `${file}, line ${line}:\n${text}`).join("\n\n");
    },
  },
  python: {
    description: "Run Python code and tell what it prints.",
    argument: ["code", "The code. What it shall tell, it must print."],
    run: (code, { python }, signal) => python(code, signal),
  },
};

/** "Monday, 2026-11-30 22:05, Europe/Berlin". */
function now(date: Date): string {
  const two = (number: number): string => String(number).padStart(2, "0");
  const day = new Intl.DateTimeFormat("en", { weekday: "long" }).format(date);
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${day}, ${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}, ${zone}`;
}

/** What a model is told of tools. */
export function toldOf(names: readonly ToolName[]): Told[] {
  return names.map((name) => {
    const { description, argument } = ALL[name];
    const properties = argument ? { [argument[0]]: { type: "string", description: argument[1] } } : {};
    const required = argument ? [argument[0]] : [];
    const parameters = { type: "object", properties, required, additionalProperties: false };
    return { type: "function", function: { name, description, parameters } };
  });
}

/** The one argument of a call, from its JSON; "" where it has none. Throws where it is none of its tool. */
export function argumentOf(name: string, json: string): string {
  const tool = Object.hasOwn(ALL, name) ? ALL[name as ToolName] : undefined;
  if (!tool) throw new Error(`there is no tool ${name}`);
  const given: unknown = JSON.parse(json);
  const value = tool.argument && (given as Record<string, unknown> | null)?.[tool.argument[0]];
  if (tool.argument && typeof value !== "string") throw new Error(`${name} takes a text as ${tool.argument[0]}`);
  return (value as string | null) ?? "";
}

/** Carry a call out; what goes wrong in it is its result. Rejects only where the signal ends it. */
export async function carryOut(
  name: string, json: string, allowed: readonly ToolName[], hands: Hands, signal: AbortSignal,
): Promise<string> {
  try {
    if (!allowed.includes(name as ToolName)) throw new Error(`there is no tool ${name}`);
    const result = await ALL[name as ToolName].run(argumentOf(name, json), hands, signal);
    return result.length > LONGEST ? `${result.slice(0, LONGEST)}… (${result.length} characters)` : result;
  } catch (error) {
    signal.throwIfAborted();
    return `Error: ${error instanceof Error ? error.message : String(error)}`;
  }
}
