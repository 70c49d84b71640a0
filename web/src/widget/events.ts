/** What `<thimble-lm>` tells its page. None of the events bubbles, like those of media elements. */

import type { FinishReason } from "../protocol";
import type { ModelInfo, Stage } from "../thimble";

/** The model is in memory and can write. */
export interface LoadDetail {
  readonly model: ModelInfo;
}

/** The model and its engine have come further. */
export interface ProgressDetail {
  /** Of the whole way, from 0 to 1. */
  readonly loaded: number;
  /** Unpacked bytes that have come, of so many. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly stage: Stage;
}

/** A token was written. */
export interface TokenDetail {
  /** May be "" while a character is incomplete. */
  readonly text: string;
  readonly id: number;
  /** Natural logarithm of the model's own probability. */
  readonly logprob: number;
  /** Of the model's distribution at this position, in nats. */
  readonly entropy: number;
}

/** A text has ended. */
export interface FinishDetail {
  readonly prompt: string;
  /** What was written after the prompt. */
  readonly text: string;
  readonly tokens: number;
  /** "stop": the text's end; "length": as long as was allowed; "stopped": by somebody. */
  readonly reason: FinishReason | "stopped";
  /** The seed that writes the same text again. */
  readonly seed: number;
}

/** Something could not be done; `name` is one of the API's (docs/api.md). */
export interface ErrorDetail {
  readonly name: string;
  readonly message: string;
}

interface Details {
  load: LoadDetail;
  progress: ProgressDetail;
  token: TokenDetail;
  finish: FinishDetail;
  error: ErrorDetail;
}

export type ThimbleLmEventMap = { [Name in keyof Details]: CustomEvent<Details[Name]> };

/** Dispatch one of them. */
export function tell<Name extends keyof Details>(
  target: EventTarget,
  name: Name,
  detail: Details[Name],
): void {
  target.dispatchEvent(new CustomEvent(name, { detail }));
}
