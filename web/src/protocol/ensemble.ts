/** What the worker answers to the Ensemble panel. */

import type { FinishReason } from "./core";

export type Method = "mixture" | "product" | "vote" | "confident" | "contrastive";

type Best = readonly (readonly [id: number, text: string, logprob: number])[];

/** A distribution: its entropy in nats and its best tokens. */
export type NextDistribution = readonly [entropy: number, best: Best];

/** Which of the sessions that were named take part, by their places, and why others do not. */
export interface EnsembleInfo {
  /** The number that the other questions name; null where fewer than two fit together. */
  readonly ensemble: number | null;
  readonly members: readonly number[];
  readonly refused: readonly (readonly [place: number, reason: string])[];
  readonly weights?: readonly number[];
  readonly contextWindow?: number;
  readonly parameters?: number;
  /** What is to be said although it works. */
  readonly note?: string | null;
}

/** What is expected somewhere; without a position nothing is, since there is no text. */
export interface EnsembleView {
  readonly weights: readonly number[];
  /** Tokens before the one that is expected. */
  readonly position: number | null;
  readonly together?: NextDistribution;
  readonly members?: readonly NextDistribution[];
}

/** A token: which member it came from, and the log-probability that each gave it. */
export type EnsembleRow = readonly [
  text: string, id: number, logprob: number, entropy: number, best: Best, source: number,
  said: readonly number[],
];

export interface EnsembleBatch {
  readonly rows: readonly EnsembleRow[];
  readonly context: number;
  readonly finish_reason: FinishReason | null;
  /** What the last of them was drawn from. */
  readonly view: EnsembleView | null;
}

export interface EnsembleJob {
  readonly job: number;
  readonly total: number;
}

export interface MeasuredRow {
  readonly name: string;
  readonly kind: "member" | "together" | "rival";
  readonly parameters: number;
  /** Bits per byte; null where the method gave a token of the text no chance. */
  readonly bits: number | null;
}

export interface Measured {
  readonly rows: readonly MeasuredRow[];
  /** The best member's name. */
  readonly best: string;
  /** How much smaller the ensemble's bits are than the best member's, and the bootstrap's range. */
  readonly gain: { readonly share: number; readonly low: number | null; readonly high: number | null } | null;
  readonly passages: number;
  readonly bytes: number;
}

export interface Fitted {
  readonly weights: readonly number[];
  readonly tokens: number;
}

/** A text that one member wrote alone and with another's drafts; seconds of both. */
export interface Drafted {
  readonly text: string;
  readonly tokens: number;
  readonly same: boolean;
  readonly seconds: readonly [alone: number, drafted: number];
  /** Of the drafted tokens that were checked, the part that the target writes too. */
  readonly acceptance: number | null;
  /** Tokens that one pass of the target brings. */
  readonly perRound: number | null;
}

/** Texts, the likeliest to the judge first, and answers that came more than once. */
export interface Chosen {
  readonly texts: readonly (readonly [text: string, seed: number, natsPerByte: number | null])[];
  readonly votes: readonly (readonly [answer: string, count: number])[];
}

/** `result` is null until it is done. */
export interface EnsembleWork<Result> {
  readonly done: number;
  readonly total: number;
  readonly result: Result | null;
}

/** Members are named by sessions, as a JSON list; weights are JSON, null for a method's own. */
export interface EnsembleService {
  make(sessions: string, method: Method): EnsembleInfo;
  close(ensemble: number): void;
  combine(ensemble: number, method: Method, weights: string): EnsembleView;
  view(ensemble: number): EnsembleView;
  /** Look at the place of the text's token `at`; null for what comes next. */
  look(ensemble: number, at: number | null): EnsembleView;
  begin(ensemble: number, prompt: string, options: string): { readonly context: number };
  run(ensemble: number, milliseconds: number): EnsembleBatch;
  stop(ensemble: number): void;
  measure(ensemble: number, text: string, rival: number | null): EnsembleJob;
  fit(ensemble: number, text: string): EnsembleJob;
  /** Members are named by their places; a judge of null is all of them together. */
  draft(
    ensemble: number, target: number, helper: number, prompt: string, options: string,
  ): EnsembleJob;
  choose(
    ensemble: number, judge: number | null, prompt: string, options: string, texts: number,
  ): EnsembleJob;
  work<Result>(job: number, milliseconds: number): EnsembleWork<Result>;
  end(job: number): void;
}
