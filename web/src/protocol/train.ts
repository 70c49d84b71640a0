/**
 * What is said about training. It runs in a worker of its own, with its own Python, so that nothing
 * else in the page waits for a step (docs/training-panel.md).
 */

import type { ErrorWords, ModelSource } from "./core";

/** A position of the dial. */
export interface TrainSize {
  readonly size: number;
  readonly parameters: number;
}

/** Every choice of a run, by the names of thimble/train/recipe.py. */
export type TrainRecipe = Readonly<Record<string, string | number | boolean>> & {
  readonly steps: number;
  readonly size: number;
};

export interface CheckedRecipe {
  readonly recipe: TrainRecipe;
  readonly parameters: number;
}

/** What the page itself says of a run; it comes back when the run is resumed. */
export interface TrainAbout {
  /** The built-in text's name, or "own". */
  readonly text: string;
  readonly title: string;
  /** How its samples begin: a text each. */
  readonly prompts: readonly string[];
  /** The page's name of the model that it began from, if it began from one. */
  readonly base?: string;
}

export type Curve = readonly (readonly [step: number, value: number])[];

export interface TrainHistory {
  /** Mean loss since the last entry, in nats per token. */
  readonly loss: Curve;
  /** Bits per byte on text that it has not seen. */
  readonly heldout: Curve;
  readonly samples: readonly (readonly [step: number, text: string])[];
  readonly seconds: number;
  readonly tokens: number;
}

/** A run as it stands. */
export interface TrainInfo {
  readonly about: TrainAbout;
  readonly recipe: TrainRecipe;
  readonly parameters: number;
  readonly step: number;
  readonly steps: number;
  readonly done: boolean;
  readonly history: TrainHistory;
  /** The own name of the model that the run began from; null for none. */
  readonly base: string | null;
}

/** What is written after one prompt, with the same draws. */
export interface Comparison {
  readonly before: string;
  readonly after: string;
}

/** What was new in a slice. `failed` says why the run cannot go on. */
export interface TrainNews extends TrainHistory {
  readonly step: number;
  readonly grad_norm: number | null;
  readonly done: boolean;
  readonly failed: string | null;
}

/** How a check of a receipt goes, and how it went once `agrees` is known. */
export interface VerifyNews {
  readonly step: number;
  readonly steps: number;
  readonly seconds: number;
  readonly agrees: boolean | null;
  /** What differs, a sentence each. */
  readonly differences: readonly string[];
}

export type TrainOrder =
  | {
      readonly kind: "begin";
      readonly recipe: string;
      readonly text: string;
      readonly sampling: string;
      readonly about: TrainAbout;
      /** Nothing of it is to outlive the tab, and what an earlier run left stays. */
      readonly passing?: boolean;
    }
  /** The same from a model on; a recipe without `steps` has as many as a minute allows. */
  | {
      readonly kind: "tune";
      readonly base: ModelSource;
      readonly recipe: string;
      readonly text: string;
      readonly sampling: string;
      readonly about: TrainAbout;
    }
  /** The run in the worker's memory, or else the one that an earlier visit saved. */
  | { readonly kind: "continue"; readonly base: ModelSource | null }
  | {
      readonly kind: "verify";
      readonly receipt: string;
      readonly text: string;
      readonly base: ModelSource | null;
    };

/** Worker to page, on a run's port. The last is one of "ended" and "failed". */
export type FromTraining =
  | { readonly type: "begun"; readonly info: TrainInfo }
  | { readonly type: "news"; readonly news: TrainNews }
  | { readonly type: "verified"; readonly news: VerifyNews }
  /** The run would outlive the tab, as it was at this step; or why it would not. */
  | { readonly type: "saved"; readonly step: number }
  | { readonly type: "unsaved"; readonly because: string }
  | { readonly type: "ended" }
  | { readonly type: "failed"; readonly error: ErrorWords };

/** Page to worker, on a run's port. */
export type ToTraining = { readonly type: "stop" };

export interface TrainService {
  sizes(): Promise<readonly TrainSize[]>;
  check(recipe: string): Promise<CheckedRecipe>;
  /** Seconds that one step takes here. */
  measure(recipe: string, text: string): Promise<number>;
  /** Answered when the order is done, however it ended. */
  run(order: TrainOrder, port: MessagePort): Promise<void>;
  /** The model so far as a GGUF file. */
  export(type: string): ArrayBuffer;
  /** What the model before and after fine-tuning write. */
  compare(prompt: string, seed: number, tokens: number): Promise<Comparison>;
  /** What proves the run so far, as JSON. */
  receipt(facts: string): Promise<unknown>;
}
