/** What the worker answers about changes inside a model, and to the long questions of the Lens panel. */

/** A job that is done by `work`, a little at a time. */
export interface LensJob {
  readonly job: number;
  readonly total: number;
}

/** `result` is null until it is done. */
export interface LensWork<Result> {
  readonly done: number;
  readonly total: number;
  readonly result: Result | null;
}

/** Probabilities of tokens without the changes and with them, and how far these are apart. */
export interface Compared {
  readonly rows: readonly (readonly [text: string, id: number, before: number, after: number])[];
  /** Kullback-Leibler divergence of the second from the first. */
  readonly bits: number;
}

export interface WrittenBoth {
  readonly before: string;
  readonly after: string;
}

/** Bits per byte. */
export interface EffectFound {
  readonly before: number;
  readonly after: number;
  readonly texts: number;
  /** Of them, those that are predicted worse. */
  readonly worse: number;
  readonly bytes: number;
}

/** A head, and how many bits per byte more it takes to be without it. */
export type HeadWorth = readonly [layer: number, head: number, change: number];

export interface RankingFound {
  /** By gradients, and not measured head by head. */
  readonly estimate: boolean;
  readonly bits: number;
  readonly texts: number;
  readonly heads: readonly HeadWorth[];
}

export const PATTERNS = ["previous_token", "duplicate_token", "induction"] as const;
export type Pattern = (typeof PATTERNS)[number];

/** [layer][head], from 0 to 1. */
export type Scores = Readonly<Record<Pattern, readonly (readonly number[])[]>>;

export interface ProbesFound extends Scores {
  /** A score from which on a head is called after its pattern. */
  readonly clear: number;
  /** Of each text, and how many texts. */
  readonly tokens: number;
  readonly samples: number;
}

export type GridSite = "attn.hook_z" | "hook_resid_pre" | "hook_attn_out" | "hook_mlp_out";

/** A pair of prompts; an answer that is empty is the likeliest token after its prompt. */
export interface GridQuestion {
  readonly clean: string;
  readonly corrupted: string;
  readonly site: GridSite;
  readonly answer: string;
  readonly against: string;
  /** By gradients, in two passes, and not by a pass for each cell. */
  readonly estimate: boolean;
}

export interface GridFound {
  readonly site: GridSite;
  readonly estimate: boolean;
  /** [layer][head or position]: how much of the clean answer comes back, 1 for all. */
  readonly values: readonly (readonly number[])[];
  readonly clean: number;
  readonly corrupted: number;
  readonly answer: string;
  readonly against: string;
  readonly tokens: readonly (readonly [clean: string, corrupted: string])[];
}

/** What a step of the tour found: `value` is what its question is about. */
export interface TourFound {
  readonly value: number;
  readonly [name: string]: unknown;
}

/** Changes and tokens are JSON lists. */
export interface LensChangeService {
  /** Let these changes stand, and no others on any model; how many are on. */
  put(session: number, changes: string, text: string): number;
  next(session: number, tokens: string): Compared;
  write(session: number, tokens: string, options: string): LensJob;
  effect(session: number, text: string, most: number): LensJob;
  rank(session: number, text: string, most: number, estimate: boolean): LensJob;
  probe(session: number): LensJob;
  patch(session: number, question: string): LensJob;
  tour(session: number, step: string, question: string, text: string): LensJob;
  work<Result>(job: number, milliseconds: number): LensWork<Result>;
  end(job: number): void;
}
