/** What the worker answers to the Step panel. */

import type { Constraint } from "../api/options";
import type { Fate } from "../api/sampling-options";
import type { FinishReason } from "./core";

/** A token: like TokenRow, and a word about how it came, "" for a plain draw. */
export type StepTokenRow = readonly [
  text: string,
  id: number,
  logprob: number,
  entropy: number,
  top: readonly (readonly [id: number, text: string, logprob: number])[],
  note: string,
];

/** A token of the prompt: null for what nobody knows of the first. */
export type PromptTokenRow = readonly [
  text: string,
  id: number,
  logprob: number | null,
  entropy: number | null,
  top: StepTokenRow[4],
  note: string,
];

/** A candidate, stage by stage; null is minus infinity. */
export type DrawRow = readonly [
  id: number,
  text: string,
  fate: Fate,
  logit: number,
  biased: number | null,
  penalized: number | null,
  /** After temperature: relative to the best. */
  weight: number,
  /** Where its part of the draw begins. */
  start: number,
  edited: boolean,
];

/** How a token comes, or came, about. */
export interface Draw {
  readonly rows: readonly DrawRow[];
  /** The token that is taken, and the one that was drawn: not the same where one is forced. */
  readonly id: number;
  readonly drawn: number;
  /** Of the model's own distribution, in nats. */
  readonly entropy: number;
  /** The beginning of the SHA-256 of the logits, where the draw is still to be taken. */
  readonly bits: string | null;
  /** The random number, and the kept candidates' weights: the draw fell at uniform × total. */
  readonly uniform: number;
  readonly total: number;
  /** All candidates' weights. */
  readonly mass: number;
  readonly survivors: number;
  /** Tokens that the constraint allows; null without one. */
  readonly allowed: number | null;
  readonly greedy: boolean;
  readonly vocabulary: number;
  readonly how: "drawn" | "forced" | "sampler";
}

/** A branch; `since` is how many tokens it has in common with its parent, the branch it left. */
export type BranchRow = readonly [
  number: number, name: string, length: number, since: number, current: boolean,
  parent: number | null,
];

export type StopKind = "token" | "text" | "entropy" | "probability" | "position";

/** A breakpoint; `text` is the token's. */
export type StopRow = readonly [
  number: number, kind: StopKind, value: number | string, on: boolean, text: string,
];

/** Where the debugger stands. */
export interface StepView {
  /** So many of the page's tokens stay, and these come after them. */
  readonly keep: number;
  readonly tokens: readonly StepTokenRow[];
  /** Tokens of the branch that were taken back and can be gone over again. */
  readonly ahead: number;
  readonly context: number;
  readonly prompt: readonly [tokens: number, text: string];
  readonly reason: FinishReason | null;
  /** The stop string that the text has come to. */
  readonly stopped: string | null;
  /** Whether the constrained text is complete: nothing can come after it. */
  readonly whole: boolean;
  /** The breakpoint that the last run stopped at. */
  readonly hit: number | null;
  /** How the next token comes about; null while it runs, and where there is none. */
  readonly next: Draw | null;
  readonly forced: number | null;
  readonly sampler: boolean;
  readonly branches: readonly BranchRow[];
  readonly breakpoints: readonly StopRow[];
}

/** Why a run is over. */
export type RunEnd = "breakpoint" | "end" | "context" | "limit";

export interface RunView extends StepView {
  readonly over: RunEnd | null;
}

export interface ReplayView extends StepView {
  readonly replay: {
    readonly done: number;
    readonly total: number;
    readonly over: boolean;
    readonly mismatch: { readonly step: number; readonly words: string } | null;
    readonly params: Readonly<Record<string, number>>;
    readonly constraint: Constraint | null;
  };
}

export interface Comparison {
  /** Tokens that both have, and their text. */
  readonly common: number;
  readonly text: string;
  readonly sides: readonly [readonly StepTokenRow[], readonly StepTokenRow[]];
}

/** `known` is how many tokens the page has; options are sampling options as JSON. */
export interface StepService {
  /** Here `known` is the page's ids as JSON. */
  view(session: number, known: string, options: string): StepView;
  given(session: number): readonly PromptTokenRow[];
  begin(session: number, prompt: string, options: string): StepView;
  settings(session: number, known: number, options: string): StepView;
  step(session: number, known: number, options: string): StepView;
  back(session: number, known: number): StepView;
  start(session: number, known: number, options: string): StepView;
  run(session: number, known: number, milliseconds: number): RunView;
  go(session: number, known: number, depth: number): StepView;
  branch(session: number, known: number, index: number, token: number): StepView;
  switch(session: number, known: number, branch: number): StepView;
  rename(session: number, known: number, branch: number, name: string): StepView;
  drop(session: number, known: number, branch: number): StepView;
  compare(session: number, one: number, other: number): Comparison;
  edit(session: number, known: number, token: number, logit: number): StepView;
  ban(session: number, known: number, token: number): StepView;
  force(session: number, known: number, token: number): StepView;
  clear(session: number, known: number, token: number | null): StepView;
  look(session: number, index: number): Draw;
  stopAt(session: number, known: number, kind: StopKind, value: string): StepView;
  switchStop(session: number, known: number, stop: number, on: boolean): StepView;
  dropStop(session: number, known: number, stop: number): StepView;
  save(session: number): string;
  open(session: number, content: string): ReplayView;
  replay(session: number, known: number, milliseconds: number): ReplayView;
}
