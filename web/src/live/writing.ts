/** A text of the live session: what it was made from, what came of it, and how fast. */

import type { FinishReason } from "../protocol";
import type { SamplingOptions, TokenChunk } from "../thimble";

/** What a text was made from. */
export interface GenerationRequest {
  readonly prompt: string;
  readonly model: string;
  readonly settings: SamplingOptions;
  /** What stood changed inside the model, as a link says it: see lens/change-code.ts. */
  readonly changes?: readonly string[];
}

/** What stands in the form of the Write panel. */
export interface Draft extends Pick<GenerationRequest, "prompt" | "settings"> {
  /** What an answer keeps to: not every text that is written by these settings. */
  readonly constraint: Pick<SamplingOptions, "grammar">;
}

/** Counted in the page, from the question to the worker to the text that comes back. */
export interface Measures {
  tokens: number;
  /** Milliseconds to the first token. */
  first: number | null;
  /** Tokens a second from the first token on. */
  speed: number | null;
}

/** A text: what it was made from, what came of it, and how. */
export interface Writing {
  readonly request: GenerationRequest;
  /** What the tokens' texts add up to. */
  text: string;
  /** The tokens, with what the model thought of each. */
  readonly tokens: TokenChunk[];
  measures: Measures;
  finishReason: FinishReason | null;
}

export function nothingYet(): Measures {
  return { tokens: 0, first: null, speed: null };
}

/** Put a token at a text's end. */
export function addToken(writing: Writing, token: TokenChunk): void {
  writing.finishReason = token.finish_reason;
  writing.tokens.push(token);
  writing.text += token.text;
}

/** Count a token that was there so many milliseconds after the text was asked for. */
export function count(measures: Measures, milliseconds: number): void {
  measures.tokens += 1;
  if (measures.first === null) measures.first = milliseconds;
  else measures.speed = ((measures.tokens - 1) / (milliseconds - measures.first)) * 1000;
}
