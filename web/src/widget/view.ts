/** What the element looks like in each of its states. It knows nothing of models. */

import { html, nothing } from "lit";
import type { TemplateResult } from "lit";
import { megabytes, plural, sentence } from "../ui/format";
import type { Options } from "./attributes";
import type { ErrorDetail, FinishDetail, ProgressDetail } from "./events";
import { site } from "./place";

export type State = "idle" | "loading" | "ready" | "writing" | "stopped" | "finished" | "failed";

export interface View {
  readonly state: State;
  /** Whether a text is being written, or will be as soon as the model is there. */
  readonly busy: boolean;
  readonly prompt: string;
  readonly model: string | null;
  readonly readOnly: boolean;
  /** Whether the poster is in front of everything, and its picture where it has one. */
  readonly covered: boolean;
  readonly poster: string | null;
  readonly result: FinishDetail | null;
  readonly progress: ProgressDetail | null;
  readonly failure: ErrorDetail | null;
  readonly options: Options;
  type(text: string): void;
  write(): void;
  stop(): void;
}

const STAGES = {
  download: "Downloading", python: "Starting Python", model: "Loading the model", ready: "Ready",
} as const;

export function render(view: View): TemplateResult {
  return html`<div part="sheet" class="sheet" @keydown=${(event: KeyboardEvent) => key(event, view)}
    @keypress=${keepTyped} @keyup=${keepTyped}>
    ${view.covered ? poster(view) : [prompt(view), bar(view), notice(view.failure), text(view), foot(view)]}
  </div>`;
}

/** Keys that move or change something in a text field. */
const EDITING = [
  "Enter", "Backspace", "Delete", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End",
  "PageUp", "PageDown", "Dead", "Process", "Unidentified",
];

/** Whether a key means the element: what is typed into its field, and what presses its buttons. */
export function isTyped({ key, ctrlKey, metaKey }: KeyboardEvent, altGraph: boolean, inField: boolean): boolean {
  if (!inField) return key === " " || key === "Enter";
  if (EDITING.includes(key)) return true;
  return [...key].length === 1 && (altGraph || !(ctrlKey || metaKey));
}

/** A page has keys of its own, a slide deck say, and cannot see that somebody types in here. */
export function keepTyped(event: KeyboardEvent): void {
  const inField = event.target instanceof HTMLTextAreaElement;
  if (isTyped(event, event.getModifierState("AltGraph"), inField)) event.stopPropagation();
}

/** What a key does inside the element, and nowhere else in its page. */
function key(event: KeyboardEvent, view: View): void {
  keepTyped(event);
  if (event.key === "Escape" && view.busy) view.stop();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) view.write();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function poster(view: View): TemplateResult {
  return html`<div part="poster" class="poster">
    <slot name="poster">${view.poster ? html`<img src=${view.poster} alt="" />` : nothing}</slot>
    <div class="bar">${action(view)}${status(view)}</div>
  </div>`;
}

function prompt(view: View): TemplateResult | typeof nothing {
  if (view.readOnly) return nothing;
  return html`<label part="prompt" class="prompt">
    <span>How does it begin?</span>
    <textarea rows="1" dir="auto" autocomplete="off" .value=${view.prompt}
      @input=${(event: Event) => view.type((event.target as HTMLTextAreaElement).value)}></textarea>
  </label>`;
}

function bar(view: View): TemplateResult {
  return html`<div part="toolbar" class="bar">${action(view)}${status(view)}</div>`;
}

/** Write and Stop are one button, so that the focus stays where it is. */
function action(view: View): TemplateResult {
  const stops = view.busy;
  return html`<button part="button" type="button" class=${stops ? "stop" : "write"}
    @click=${stops ? view.stop : view.write}>${stops ? "Stop" : "Write"}</button>`;
}

function status(view: View): TemplateResult {
  if (view.state === "loading") return loading(view.progress);
  return html`<p part="status" class="status" role="status">${words(view)}</p>`;
}

/** How far the model has come. */
export function loading(progress: ProgressDetail | null): TemplateResult {
  const bytes = progress && `${megabytes(progress.bytes)} of ${megabytes(progress.totalBytes)} MB`;
  return html`<div part="progress" class="loading">
    <p class="status"><span id="stage">${progress ? STAGES[progress.stage] : "Starting"}</span>
      <span>${bytes}</span></p>
    <progress max="1" value=${progress?.loaded ?? 0} aria-labelledby="stage"></progress>
  </div>`;
}

function words({ state, result }: View): string {
  const tokens = plural(result?.tokens ?? 0, "token");
  switch (state) {
    case "idle": return "Runs in this browser";
    case "ready": return "Ready";
    case "writing": return "Writing";
    case "stopped": return `Stopped after ${tokens}`;
    case "finished":
      return result?.reason === "stop" ? `The end, after ${tokens}` : `${tokens}, and the text can continue`;
    default: return "";
  }
}

export function notice(failure: ErrorDetail | null): TemplateResult | typeof nothing {
  if (!failure) return nothing;
  return html`<p part="error" class="notice" role="alert">${sentence(failure.message)}</p>`;
}
function text(view: View): TemplateResult {
  const { result, readOnly } = view;
  const given = result?.prompt ?? (readOnly ? view.prompt : "");
  const caret = view.state === "writing" ? html`<span class="caret" aria-hidden="true"></span>` : nothing;
  return html`<div part="text" class="text" role="region" aria-label="The text">${
    result || given
      ? html`<p dir="auto"><span part="given" class="given">${given}</span><span part="written">${result?.text}</span>${caret}</p>`
      : html`<p class="empty">The text will appear here.</p>`
  }</div>`;
}

function foot(view: View): TemplateResult {
  return html`<p part="foot" class="foot"><span>Nothing leaves this machine</span>
    <a href=${link(view)} target="_blank" rel="noopener">Thimble</a></p>`;
}

/** The site's own page with the same prompt and settings, in the fragment, which no server sees. */
function link({ prompt, model, options, result }: View): string {
  const values = new URLSearchParams({ prompt: result?.prompt ?? prompt });
  if (model !== null) values.set("model", model);
  for (const [name, value] of Object.entries(options)) {
    if (value !== null) values.set(name.replace("-", "_"), String(value));
  }
  if (result) values.set("seed", String(result.seed));
  return new URL(`#${values.toString()}`, site()).href;
}
