/** What `<thimble-task>` looks like in each of its states. It knows nothing of models. */

import { html, nothing } from "lit";
import type { TemplateResult } from "lit";
import type { TaskKind } from "../protocol/specialist";
import { milliseconds } from "../ui/format";
import type { ErrorDetail, ProgressDetail } from "./events";
import { site } from "./place";
import type { AnswerDetail } from "./task-events";
import { keepTyped, loading, notice } from "./view";

export type TaskState = "idle" | "loading" | "ready" | "answering" | "answered" | "failed";

export interface TaskView {
  readonly state: TaskState;
  readonly label: string;
  readonly given: string;
  readonly answer: AnswerDetail | null;
  readonly kind: TaskKind | null;
  readonly progress: ProgressDetail | null;
  readonly failure: ErrorDetail | null;
  type(text: string): void;
  /** Somebody has come to the field. */
  begin(): void;
  ask(): void;
}

export function renderTask(view: TaskView): TemplateResult {
  return html`<form part="sheet" class="sheet" @submit=${(event: Event) => submit(event, view)}
    @keydown=${(event: KeyboardEvent) => key(event, view)} @keypress=${keepTyped} @keyup=${keepTyped}>
    <label part="prompt" class="prompt">
      <span>${view.label}</span>
      <textarea rows="2" dir="auto" autocomplete="off" .value=${view.given} @focus=${view.begin}
        @input=${(event: Event) => view.type((event.target as HTMLTextAreaElement).value)}></textarea>
    </label>
    <div part="toolbar" class="bar">
      <button part="button" type="submit">Answer</button>${status(view)}
    </div>
    ${notice(view.failure)}
    <div part="answer" class="answer" role="status">${answer(view)}</div>
    <p part="foot" class="foot"><span>Nothing leaves this machine</span>
      <a href=${new URL("#panel=tasks", site()).href} target="_blank" rel="noopener">Thimble</a></p>
  </form>`;
}

function submit(event: Event, view: TaskView): void {
  event.preventDefault();
  view.ask();
}

/** Enter answers, and with Shift begins a line. */
function key(event: KeyboardEvent, view: TaskView): void {
  keepTyped(event);
  const typing = event.target instanceof HTMLTextAreaElement;
  if (!typing || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  view.ask();
}

function status(view: TaskView): TemplateResult {
  if (view.state === "loading") return loading(view.progress);
  return html`<p part="status" class="status" role="status">${words(view)}</p>`;
}

function words({ state, answer }: TaskView): string {
  switch (state) {
    case "idle": return "Runs in this browser";
    case "ready": return "Ready";
    case "answering": return "Answering";
    case "answered": return answer ? `In ${milliseconds(answer.milliseconds)}` : "";
    default: return "";
  }
}

function answer({ answer: said, kind }: TaskView): TemplateResult {
  if (!said) return html`<p class="empty">The answer will appear here.</p>`;
  if (kind === "label") return labels(said);
  const { fields } = said;
  if (typeof fields === "object" && fields !== null && !Array.isArray(fields)) return table(fields);
  return html`<p part="said" class="said" dir="auto">${said.text}</p>`;
}

function labels({ text, sure, probabilities }: AnswerDetail): TemplateResult {
  const said = sure ? text : "Don’t know";
  return html`<p part="said" class="said" dir="auto">${said}</p>
    <table part="labels"><caption>How probable each label is</caption><tbody>${Object.entries(probabilities).map(
      ([name, probability]) => html`<tr>
        <th scope="row" dir="auto">${name}</th>
        <td class="share"><progress max="1" value=${probability} aria-hidden="true"></progress></td>
        <td class="words">${(100 * probability).toFixed(1)} %</td>
      </tr>`,
    )}</tbody></table>`;
}

function table(fields: object): TemplateResult {
  return html`<table part="fields"><tbody>${Object.entries(fields).map(
    ([name, value]) => html`<tr>
      <th scope="row" dir="auto">${name}</th>
      <td dir="auto">${value === null ? nothing : typeof value === "object" ? JSON.stringify(value) : String(value)}</td>
    </tr>`,
  )}</tbody></table>`;
}
