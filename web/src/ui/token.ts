/** What the token view knows of a token, and how it is put into words. Part of tokens.ts. */

import type { TokenChunk } from "../thimble";
import { bitsOf, percent } from "./scale";

export interface Alternative {
  readonly id: number;
  readonly text: string;
  /** Natural logarithm of its probability. */
  readonly logprob: number;
}

export interface Token {
  readonly id: number;
  /** May be empty: a part of a character, or a mark that says nothing. */
  readonly text: string;
  /** Natural logarithm; null where nothing came before that could predict it. */
  readonly logprob: number | null;
  /** A level of shading, from 0 to 1, that is not its surprise's. */
  readonly level?: number;
  /** Of the distribution it was chosen from, in nats. */
  readonly entropy: number | null;
  /** The most probable first; empty where nobody asked. */
  readonly top: readonly Alternative[];
  /** A word that the card shows beside the token, as "forced". */
  readonly note?: string;
  /** A letter that says what the token belongs to; styles make a colour and a pattern of it. */
  readonly mark?: string;
  /** What else the card tells of it. */
  readonly facts?: readonly (readonly [name: string, value: string])[];
  /** A token of the prompt: nobody chose it. */
  readonly given?: boolean;
}

/** Something to do with a token: a button in its card. */
export interface TokenAction {
  readonly label: string;
  run(index: number, token: Token): void;
}

/** A chunk of the public API's stream as a token. Its alternatives are unpacked when looked at. */
export function tokenOf(chunk: TokenChunk): Token {
  const { id, text, logprob, entropy } = chunk;
  return {
    id, text, logprob, entropy,
    get top() {
      return chunk.top_logprobs;
    },
  };
}

/** A token in quotes, its white space shown. */
export function quoted(text: string): string {
  if (text === "") return "(no text)";
  const shown = text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/^ | $/g, "␣");
  return `“${shown}”`;
}

/** A token in a few words, for a screen reader. */
export function spoken({ text, logprob, note }: Token): string {
  const named = text.replaceAll("\n", " new line ").trim() || (text ? "space" : "no text");
  const noted = note ? `${named}, ${note}` : named;
  if (logprob === null) return noted;
  return `${noted}, ${percent(Math.exp(logprob))}, ${bitsOf(logprob).toFixed(1)} bits`;
}
