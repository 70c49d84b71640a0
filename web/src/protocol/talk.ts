/** What the worker answers to the Talk panel, and of conversations. */

import type { Message, Tool, ToolChoice } from "./core";

/** How a conversation becomes a prompt: `How` of thimble/browser/talk.py. */
export interface Conversing {
  /** How many of the first messages stay where the context is too short; without it that is an error. */
  readonly keep?: number;
  /** How many of the last messages stay. */
  readonly newest?: number;
  /** Whether the last message is the beginning of the answer. */
  readonly prefix?: boolean;
  /** Whether nothing is answered yet. */
  readonly append?: boolean;
  /** Whether the answer that the session ends with goes on. */
  readonly resume?: boolean;
  readonly tools?: readonly Tool[];
  readonly tool_choice?: ToolChoice;
  readonly parallel_tool_calls?: boolean;
  /** Whether a model that can think does, before it answers; without it the template says. */
  readonly enable_thinking?: boolean;
  readonly reasoning_effort?: string;
}

export interface TalkAbout {
  /** Whether the model's file says how a conversation is written down for it. */
  readonly template: boolean;
  readonly architecture: string;
  /** Tokens that a conversation may have. */
  readonly context: number;
  /** The sampling options that its file recommends, by their names. */
  readonly sampling: Readonly<Record<string, number>>;
}

export interface TalkService {
  about(session: number): TalkAbout;
  /** How many tokens a conversation has; `how` as in the option `conversation`. */
  measure(session: number, messages: readonly Message[], how: Conversing): number;
}
