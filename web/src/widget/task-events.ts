/** What `<thimble-task>` tells its page. None of the events bubbles. */

import type { TaskDetails, TaskResult } from "../thimble";
import type { ErrorDetail, ProgressDetail } from "./events";

/** The task can answer. */
export interface TaskLoadDetail {
  readonly task: TaskDetails;
}

/** A text was answered. */
export type AnswerDetail = TaskResult & { readonly given: string };

interface Details {
  load: TaskLoadDetail;
  progress: ProgressDetail;
  answer: AnswerDetail;
  error: ErrorDetail;
}

export type ThimbleTaskEventMap = { [Name in keyof Details]: CustomEvent<Details[Name]> };

/** Dispatch one of them. */
export function tellTask<Name extends keyof Details>(target: EventTarget, name: Name, detail: Details[Name]): void {
  target.dispatchEvent(new CustomEvent(name, { detail }));
}
