/** What the worker answers to the Talk panel. */

import type { Batch } from "./core";

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export interface TalkAbout {
  /** Whether the model's file says how a conversation is written down for it. */
  readonly template: boolean;
  readonly architecture: string;
  /** Tokens that a conversation may have. */
  readonly context: number;
}

/**
 * Told on the port: how large the prompt is, what of it was there already and how many of the oldest
 * messages, the system's aside, had no place in the context; then the tokens.
 */
export type TalkNews =
  | { readonly type: "begun"; readonly prompt: number; readonly reused: number; readonly left_out: number }
  | { readonly type: "batch"; readonly batch: Batch };

export interface TalkService {
  about(session: number): TalkAbout;
  /** Write the assistant's next turn; sampling options are JSON. Null on the port is the end. */
  say(
    session: number,
    messages: readonly Message[],
    options: string,
    port: MessagePort,
  ): Promise<void>;
  /** Stop the turn that a session is writing; what it has stays. */
  stop(session: number): void;
}
