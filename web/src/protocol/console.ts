/** What the worker answers to the Python panel. */

import type { TokenRow } from "./core";

/** How a run ended. */
export type ConsoleStatus = "done" | "error" | "interrupted";

export interface ConsoleAnswer {
  readonly status: ConsoleStatus;
  /** Files of packages that its imports have brought. */
  readonly brought?: readonly string[];
  readonly milliseconds?: number;
  /** The function that chooses the page's tokens now; null for Thimble's own. */
  readonly sampler?: string | null;
  /** Whether the session has other tokens than before. */
  readonly changed?: boolean;
}

/** What a run shows, as it comes. A picture's text is its data: address, its words what it shows. */
export interface Shown {
  readonly kind: "out" | "err" | "value" | "trace" | "note" | "picture" | "status";
  readonly text: string;
  readonly words: string;
}

export interface Completions {
  /** Characters before the cursor that they replace. */
  readonly start: number;
  readonly options: readonly { readonly label: string; readonly type: string }[];
}

/** What the session holds: a prompt, so many of the known tokens, and the others. */
export interface Reread {
  readonly prompt: string;
  readonly unchanged: number;
  readonly tokens: readonly TokenRow[];
  readonly context: number;
}

export interface ConsoleService {
  hello(session: number): { readonly python: string; readonly sampler: string | null };
  /** Run code, telling on the port what it shows, and null at the end. */
  run(session: number, code: string, port: MessagePort): Promise<ConsoleAnswer>;
  complete(session: number, before: string): Promise<Completions>;
  resetSampler(session: number): void;
  /** The session's tokens after a prompt, of which the page knows these ids (JSON) already. */
  reread(session: number, prompt: string, known: string): Reread;
  /** Let a new session hold a text; how many tokens that are. */
  putBack(session: number, prompt: string, known: string): number;
}
