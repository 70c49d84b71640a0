/**
 * What an answer has beside its words: thoughts, and calls of tools with what came of them. Each
 * stands at a place in the answer's text, so that the text only ever grows.
 */

import type { PartRow } from "../protocol";
import type { Message, ToolCall } from "../protocol/core";

export type Aside = Thought | Call;

export interface Thought {
  readonly kind: "thought";
  /** Before which character of the answer's text it stands. */
  readonly at: number;
  text: string;
}

export interface Call {
  readonly kind: "call";
  readonly at: number;
  /** Calls of one round are told to the model together. */
  readonly round: number;
  readonly name: string;
  /** As JSON. */
  arguments: string;
  /** Null while nobody has carried it out. */
  result: string | null;
}

/** An answer as far as this module needs it. */
export interface Answer {
  text: string;
  asides?: Aside[];
}

/** Take in what the engine tells of an answer; `round` counts the answers before, that were calls. */
export function grow(answer: Answer, parts: readonly PartRow[], round: number): void {
  for (const [, kind, text] of parts) {
    const asides = (answer.asides ??= []);
    const last = asides.at(-1);
    const at = answer.text.length;
    if (kind === "content") answer.text += text;
    else if (kind === "call") asides.push({ kind: "call", at, round, name: text, arguments: "", result: null });
    else if (kind === "arguments" && last?.kind === "call") last.arguments += text;
    else if (kind === "reasoning" && last?.kind === "thought" && last.at === at) last.text += text;
    else if (kind === "reasoning") asides.push({ kind: "thought", at, text });
  }
  if (answer.asides?.length === 0) delete answer.asides;
}

/** The calls of a round that nobody has carried out. */
export function open({ asides = [] }: Answer): Call[] {
  return asides.filter((one) => one.kind === "call").filter(({ result }) => result === null);
}

/** An answer as the messages that the model is asked with: what it called, what came of it, its words. */
export function messagesOf({ text, asides = [] }: Answer): Message[] {
  const messages: Message[] = [];
  let from = 0;
  let thought = "";
  const calls = asides.filter((one) => one.kind === "call" && one.result !== null) as Call[];
  const rounds = [...new Set(calls.map(({ round }) => round))];
  const thoughts = asides.filter((one) => one.kind === "thought");
  for (const round of rounds) {
    const called = calls.filter((call) => call.round === round);
    const end = called[0]?.at ?? from;
    thought = thoughts.filter(({ at }) => at >= from && at <= end).map((one) => one.text).join("\n");
    messages.push({
      role: "assistant", content: text.slice(from, end),
      ...(thought ? { reasoning_content: thought } : {}),
      tool_calls: called.map((call, at): ToolCall => (
        { id: `call_${round}_${at}`, type: "function", function: { name: call.name, arguments: call.arguments } }
      )),
    });
    for (const [at, call] of called.entries()) {
      messages.push({ role: "tool", name: call.name, tool_call_id: `call_${round}_${at}`, content: call.result ?? "" });
    }
    from = end;
  }
  const rest = text.slice(from);
  if (rest || messages.length === 0) messages.push({ role: "assistant", content: rest });
  return messages;
}

const isText = (value: unknown, most: number): value is string => typeof value === "string" && value.length <= most;
const isPlace = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const MOST = 200;
const LONGEST = 200_000;

/** What is believed of stored asides of a text of `length` characters: those that are well-formed. */
export function readAsides(value: unknown, length: number): Aside[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MOST).flatMap((one: unknown): Aside[] => {
    const { kind, at, text, name, round, arguments: given, result } = (one ?? {}) as Record<string, unknown>;
    if (!isPlace(at) || at > length) return [];
    if (kind === "thought" && isText(text, LONGEST)) return [{ kind, at, text }];
    if (kind !== "call" || !isPlace(round) || !isText(name, 64) || !isText(given, LONGEST)) return [];
    return [{ kind, at, round, name, arguments: given, result: isText(result, LONGEST) ? result : null }];
  });
}
