/** Conversations as files: JSON that is read again, and Markdown for people. */

import { FORMAT, headOf, readBody, readHead } from "./record";
import type { Body, Head } from "./record";
import { Tree } from "./tree";
import type { Turn } from "./tree";

const MOST_BYTES = 64_000_000;
const MOST_TALKS = 10_000;

export interface Talk {
  readonly head: Head;
  readonly body: Body;
}

export interface Imported {
  readonly talks: readonly Talk[];
  /** Conversations, and messages of others, that could not be read. */
  readonly refused: number;
  readonly damaged: number;
}

/** Everything of them. */
export function asJson(talks: readonly Talk[]): string {
  return JSON.stringify({ thimble: "conversations", format: FORMAT, conversations: talks }, null, 1);
}

/** What is read of one. */
export function asMarkdown({ head, body }: Talk): string {
  const { path } = new Tree(body.turns, body.leaf);
  const said = path.map((turn) => `## ${turn.role === "user" ? "You" : turn.model || "Model"}\n\n${written(turn)}\n`);
  const system = body.system.trim() ? [`## System prompt\n\n${body.system.trim()}\n`] : [];
  return [`# ${head.title}\n`, ...system, ...said].join("\n");
}

/** What a turn says, with the tools that it called and what came of them; without its thoughts. */
function written({ text, asides = [] }: Turn): string {
  let from = 0;
  const parts = asides.flatMap((aside) => {
    if (aside.kind === "thought") return [];
    const before = text.slice(from, aside.at);
    from = aside.at;
    const called = [`${aside.name} ${aside.arguments}`, ...(aside.result === null ? [] : [aside.result])].join("\n\n");
    return [before.trim(), called.replace(/^/gm, "> ")];
  });
  return [...parts, text.slice(from).trim()].filter(Boolean).join("\n\n");
}

/** What is in a file; an error that names it and says what is wrong where that is nothing of ours. */
export async function readTalks(file: File): Promise<Imported> {
  const name = `“${file.name}”`;
  if (file.size > MOST_BYTES) throw new Error(`${name} has ${(file.size / 1e6).toFixed(1)} MB: at most ${MOST_BYTES / 1e6} MB can be read`);
  let value: unknown;
  try {
    value = JSON.parse(await file.text());
  } catch {
    throw new Error(`${name} is not JSON: choose a file that “Export” wrote`);
  }
  const { thimble, format, conversations } = (value ?? {}) as Record<string, unknown>;
  if (thimble !== "conversations" || !Array.isArray(conversations)) throw new Error(`${name} holds no conversations: choose a file that “Export” wrote`);
  if (format !== FORMAT) throw new Error(`${name} has format ${String(format).slice(0, 20)}: this page reads ${FORMAT}`);
  if (conversations.length > MOST_TALKS) throw new Error(`${name} has ${conversations.length} conversations: at most ${MOST_TALKS} can be read`);
  const talks: Talk[] = [];
  let damaged = 0;
  for (const one of conversations as unknown[]) {
    try {
      const { head, body } = (one ?? {}) as Record<string, unknown>;
      const read = readBody(body);
      const said = readHead(head);
      if (said.id !== read.body.id || read.body.turns.length === 0) continue;
      damaged += read.damaged;
      talks.push({ head: headOf(read.body, said, said.changed), body: read.body });
    } catch {
      // counted below
    }
  }
  return { talks, refused: conversations.length - talks.length, damaged };
}

/** A name for a file of it, that every system takes. */
export function fileName(title: string, ending: string): string {
  const safe = title.replace(/[^\p{L}\p{N} _-]+/gu, "").trim().slice(0, 50) || "conversation";
  return `${safe}.${ending}`;
}
