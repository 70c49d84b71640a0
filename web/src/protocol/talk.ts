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
  readonly thinking_budget?: number;
}

export interface TalkAbout {
  /** Whether the model's file says how a conversation is written down for it. */
  readonly template: boolean;
  /** Whether it may think before it answers. */
  readonly thinking: boolean;
  readonly architecture: string;
  /** Tokens that a conversation may have. */
  readonly context: number;
  /** The sampling options that its file recommends, by their names. */
  readonly sampling: Readonly<Record<string, number>>;
}

/** How many bytes stand on this machine now; or why none do. */
export interface CacheKept {
  readonly bytes: number;
  readonly why: string | null;
}

/** How many tokens the session has from before, 0 where nothing was kept; or why it has none. */
export interface CacheRestored {
  readonly tokens: number;
  readonly why: string | null;
}

export interface TalkService {
  about(session: number): TalkAbout;
  /** How many tokens a conversation has; `how` as in the option `conversation`. */
  measure(session: number, messages: readonly Message[], how: Conversing): number;
  /** Keep what a session has read, by a conversation's id; the last one of that goes. */
  keepCache(session: number, id: string): Promise<CacheKept>;
  /** Let a session hold what was kept, where it is whole and of its model. */
  restoreCache(session: number, id: string): Promise<CacheRestored>;
}
