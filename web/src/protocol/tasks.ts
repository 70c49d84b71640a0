/** What is said about specialists: examples, the run that makes a task of them, and the task. */

import type { ModelSource } from "./core";

export interface TaskSet {
  readonly name: string;
  readonly title: string;
}

/** Columns and kind; those that are left out are found out. */
export interface TaskChoices {
  readonly given?: string;
  readonly wanted?: string;
  readonly kind?: string;
}

/** What examples were found to be. */
export interface TaskReport {
  readonly kind: string;
  readonly examples: number;
  readonly given: string;
  readonly wanted: string;
  readonly parts: Readonly<Record<string, number>>;
  readonly left_out: Readonly<Record<string, number>>;
  readonly labels: Readonly<Record<string, number>>;
}

export interface TaskExamples {
  readonly columns: readonly string[];
  readonly report: TaskReport;
  readonly shown: readonly (readonly [given: string, wanted: string])[];
}

export interface TaskOrder {
  readonly name: string;
  readonly text: string;
  readonly chosen: TaskChoices;
  readonly options: Readonly<Record<string, number>>;
}

export interface TaskProgress {
  readonly step: number;
  readonly steps: number;
  readonly seconds: number;
  /** Step, and bits per byte of the check part's answers. */
  readonly history: readonly (readonly [step: number, bits: number])[];
  readonly done: boolean;
  /** Why it cannot go on; empty where it can. */
  readonly failed: string;
  readonly report: TaskReport;
}

export interface TaskError {
  /** With what is given in it. */
  readonly prompt: string;
  readonly given: string;
  readonly wanted: string;
  readonly base: string;
  readonly prompted: string;
  readonly adapter: string;
}

export interface TaskInfo {
  readonly name: string;
  readonly kind: string;
  readonly threshold: number;
  /** What was measured, a row of words each, the heads first. */
  readonly rows: readonly (readonly string[])[];
  readonly errors: readonly TaskError[];
  readonly bytes: Readonly<Record<string, number>>;
}

export interface TaskMeasuring {
  readonly done: number;
  readonly total: number;
  /** Null until all is measured. */
  readonly task: TaskInfo | null;
}

export interface TaskAnswer {
  readonly text: string;
  readonly sure: boolean;
  readonly probabilities: readonly (readonly [label: string, probability: number])[];
  readonly milliseconds: number;
}

export interface TasksService {
  sets(): Promise<readonly TaskSet[]>;
  exampleSet(name: string): Promise<string>;
  /** A file's text, where it is one. */
  text(file: Uint8Array): Promise<string>;
  read(text: string, chosen: TaskChoices): Promise<TaskExamples>;
  begin(base: ModelSource, order: TaskOrder, saved: Uint8Array | null): Promise<TaskProgress>;
  train(milliseconds: number): Promise<TaskProgress>;
  checkpoint(): ArrayBuffer;
  measure(milliseconds: number): Promise<TaskMeasuring>;
  open(base: ModelSource, file: string): Promise<TaskInfo>;
  answer(text: string, threshold: number): Promise<TaskAnswer>;
  /** The task's file, JSON. */
  file(): Promise<string>;
  adapter(): ArrayBuffer;
  close(): Promise<void>;
}
