/** A task that is there: what was measured, its answers, and what is taken away. */

import { siteAddress } from "../api/site";
import type { LiveSession } from "../live";
import { AdapterEvent } from "../live/events";
import type { TaskInfo } from "../protocol/tasks";
import { download } from "../train/files";
import { complaint } from "../train/host";
import type { TrainingHost } from "../train/host";
import { barTable } from "../ui/bars";
import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { count, milliseconds } from "../ui/format";
import { taskSnippet } from "../widget/snippet";

const part = (id: string): HTMLElement => byId(id, HTMLElement);

export class TaskView {
  readonly #live: LiveSession;
  readonly #host: TrainingHost;
  readonly #complain: (words: string) => void;
  readonly #text = byId("task-text", HTMLInputElement);
  readonly #threshold = byId("task-threshold", HTMLInputElement);
  #task: TaskInfo | null = null;

  constructor(live: LiveSession, host: TrainingHost, complain: (words: string) => void) {
    this.#live = live;
    this.#host = host;
    this.#complain = complain;
    byId("task-answer", HTMLButtonElement).addEventListener("click", () => void this.#answer());
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      void this.#answer();
    });
    this.#threshold.addEventListener("input", () => void this.#answer());
    byId("task-download", HTMLButtonElement).addEventListener("click", () => void this.#download());
    byId("task-copy", HTMLButtonElement).addEventListener("click", () => void this.#copy());
    byId("task-apply", HTMLButtonElement).addEventListener("click", () => void this.#apply());
  }

  /** Show a task; null hides what was shown. */
  show(task: TaskInfo | null, example = ""): void {
    this.#task = task;
    part("task-result").hidden = task === null;
    if (!task) return;
    part("task-result-title").textContent = `Task “${task.name}”`;
    fill("task-table", task.rows);
    const errors = task.errors.map((one) => [one.given, one.wanted, one.adapter, one.prompted, one.base]);
    part("task-errors").hidden = errors.length === 0;
    part("task-errors-title").textContent = `Wrong answers (${count(errors.length)})`;
    const rows = fill("task-errors-table", [["text", "wanted", "adapter", "with examples", "base"], ...errors]);
    for (const [i, { prompt }] of task.errors.entries()) {
      rows[i]?.insertCell().append(
        this.#opens("Step", `panel=step&prompt=${encodeURIComponent(prompt)}`),
        this.#opens("Look inside", `panel=lens&view=logits&text=${encodeURIComponent(prompt)}`),
      );
    }
    part("task-threshold-dial").hidden = task.kind !== "label";
    this.#threshold.value = String(task.threshold);
    this.#text.value = example;
    part("task-said").textContent = "";
    part("task-bars").replaceChildren();
    if (example) void this.#answer();
  }

  async #answer(): Promise<void> {
    const text = this.#text.value.trim();
    const threshold = this.#threshold.valueAsNumber;
    part("task-threshold-words").textContent = `${(100 * threshold).toFixed(0)} %`;
    if (!text || !this.#task) return;
    const label = this.#task.kind === "label";
    try {
      const said = await this.#host.ask((engine) => engine.tasks.answer(text, threshold));
      const sure = said.sure || !label ? said.text : "don’t know";
      part("task-said").textContent = `${sure} (${milliseconds(said.milliseconds)})`;
      const bars = said.probabilities.map(([name, probability]) => ({
        label: name, share: probability, words: `${(100 * probability).toFixed(1)} %`,
      }));
      const caption = "How probable each label is";
      const table = barTable({ caption, heads: ["label", "probability"], bars });
      part("task-bars").replaceChildren(...(label ? [table] : []));
      this.#complain("");
    } catch (error) {
      this.#complain(complaint(error));
    }
  }

  async #download(): Promise<void> {
    try {
      const file = await this.#host.ask((engine) => engine.tasks.file());
      download(this.#fileName, [file], "application/json");
    } catch (error) {
      this.#complain(complaint(error));
    }
  }

  get #fileName(): string {
    return `${this.#task?.name.replace(/[^\w-]+/g, "-") || "task"}.task.json`;
  }

  /** The element for a page that has the task's file beside it. */
  async #copy(): Promise<void> {
    const html = taskSnippet(new URL(siteAddress()), this.#fileName);
    const copied = await copy(html);
    part("task-outcome").textContent =
      `${copied ? "Copied" : "Copy this"}: ${html.replace("\n", " ")} Put ${this.#fileName} beside the page.`;
  }

  /** A button that shows another panel a prompt, with the adapter on. */
  #opens(words: string, fragment: string): HTMLButtonElement {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "quiet";
    made.textContent = words;
    made.addEventListener("click", () => {
      void this.#apply().then((on) => {
        if (on) location.hash = fragment;
      });
    });
    return made;
  }

  /** Let every panel's model have the adapter; whether it has. */
  async #apply(): Promise<boolean> {
    try {
      const file = new Uint8Array(await this.#host.ask((engine) => engine.tasks.adapter()));
      const name = this.#task?.name ?? "task";
      const info = await this.#live.ask((engine, session) => engine.adapter.put(session, name, file, 1));
      this.#live.dispatchEvent(new AdapterEvent(info));
      part("task-outcome").textContent = "The adapter is on the model, in every panel.";
      return true;
    } catch (error) {
      this.#complain(complaint(error));
      return false;
    }
  }
}

/** Fill a table with rows of words, the heads first; the rows of its body. */
function fill(id: string, [heads = [], ...rows]: readonly (readonly string[])[]): HTMLTableRowElement[] {
  const table = byId(id, HTMLTableElement);
  table.replaceChildren();
  const top = table.createTHead().insertRow();
  for (const words of heads) top.append(cell(words, "col"));
  const body = table.createTBody();
  for (const [first = "", ...rest] of rows) {
    const row = body.insertRow();
    row.append(cell(first, "row"));
    for (const words of rest) row.insertCell().textContent = words;
  }
  return [...body.rows];
}

function cell(words: string, scope: string): HTMLElement {
  if (!words) return document.createElement("td");
  const made = document.createElement("th");
  made.scope = scope;
  made.textContent = words;
  return made;
}
