/** A session's tools: checked, told to the model, and carried out when it calls them. */

import { abortable } from "../api/abort";
import type { Message, Tool, ToolCall } from "../protocol/core";
import type { LanguageModelTool } from "./types";

/** Answers in a row that may be calls; then the model has to answer in words. */
export const MOST_ROUNDS = 8;

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** A session's tools, as the specification checks them. */
export function toolsOf(given: unknown): readonly LanguageModelTool[] {
  if (given === undefined) return [];
  if (typeof given !== "object" || given === null || !(Symbol.iterator in given)) {
    throw new TypeError("tools must be a list");
  }
  const names = new Set<string>();
  return [...(given as Iterable<unknown>)].map((one, at) => {
    const { name, description, inputSchema, execute } = Object(one) as Partial<LanguageModelTool>;
    if (typeof name !== "string" || !NAME.test(name)) {
      throw new TypeError(`tool ${at} has the name ${String(name)}; a name has 1 to 64 letters, digits, _ or -`);
    }
    if (names.has(name)) throw new TypeError(`two tools have the name ${name}`);
    names.add(name);
    if (typeof description !== "string") throw new TypeError(`the tool ${name} has no description`);
    if (typeof inputSchema !== "object" || inputSchema === null) {
      throw new TypeError(`the tool ${name} has no inputSchema, a JSON Schema of its arguments`);
    }
    if (typeof execute !== "function") throw new TypeError(`the tool ${name} has no function execute`);
    return { name, description, inputSchema, execute: execute.bind(one) };
  });
}

/** The same for the engine. */
export function describedTools(tools: readonly LanguageModelTool[]): Tool[] {
  return tools.map(({ name, description, inputSchema: parameters }) => (
    { type: "function", function: { name, description, parameters } }
  ));
}

/** Carry out calls, all at once; what goes wrong in one is told to the model as its result. */
export async function carriedOut(
  calls: readonly ToolCall[], tools: readonly LanguageModelTool[], ended: AbortSignal,
): Promise<Message[]> {
  const answers = calls.map(async ({ id, function: { name, arguments: given } }): Promise<Message> => {
    const content = await resultOf(tools.find((tool) => tool.name === name), given);
    return { role: "tool", name, tool_call_id: id, content };
  });
  return abortable(Promise.all(answers), ended);
}

async function resultOf(tool: LanguageModelTool | undefined, given: string): Promise<string> {
  try {
    if (!tool) throw new Error("there is no such tool");
    const result: unknown = await tool.execute(JSON.parse(given) as never);
    return typeof result === "string" ? result : (JSON.stringify(result) ?? "null");
  } catch (error) {
    return JSON.stringify({ error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
  }
}
