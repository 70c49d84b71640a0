/** What is said about tasks' files that a page asks. */

import type { TaskAnswer } from "./tasks";

export interface SpecialistInfo {
  readonly id: number;
  readonly name: string;
  readonly kind: TaskKind;
  /** Of a task of kind "label"; empty otherwise. */
  readonly labels: readonly string[];
  /** Below it a label is not sure. */
  readonly threshold: number;
}

export type TaskKind = "label" | "json" | "text";

export interface SpecialistService {
  /** Take a task's file for the model of a session; several are open at once. */
  open(session: number, file: Uint8Array): Promise<SpecialistInfo>;
  /** A threshold that is given stays. */
  answer(task: number, text: string, threshold: number | null): Promise<TaskAnswer>;
  close(task: number): Promise<void>;
}
