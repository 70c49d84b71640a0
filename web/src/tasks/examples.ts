/** The examples of a task: text or file, columns, kind, and what the engine finds them to be. */

import type { TaskChoices, TaskExamples, TaskReport } from "../protocol/tasks";
import { acceptDrops } from "../train/files";
import { complaint } from "../train/host";
import type { TrainingHost } from "../train/host";
import { byId } from "../ui/dom";
import { count, plural } from "../ui/format";

/** Examples that are still being typed are not read. */
const QUIET_MS = 500;
const MOST_BYTES = 300_000_000;

const select = (id: string): HTMLSelectElement => byId(id, HTMLSelectElement);

export class Examples extends EventTarget {
  readonly #host: TrainingHost;
  readonly #set = select("task-set");
  readonly #text = byId("task-examples", HTMLTextAreaElement);
  readonly #columns = [select("task-given"), select("task-wanted")] as const;
  readonly #kind = select("task-kind");
  readonly #report = byId("task-report", HTMLElement);
  #timer = 0;
  /** Counts what the visitor changed, so that an answer to an earlier question is let go. */
  #asked = 0;
  /** What they were found to be; null for none, or none that can be learned from. */
  found: TaskExamples | null = null;
  /** The name of the last file. */
  #file = "";

  /** "change" says that examples were found, or no longer; "task" brings a task's file. */
  constructor(host: TrainingHost) {
    super();
    this.#host = host;
    this.#set.addEventListener("change", () => void this.#take());
    this.#text.addEventListener("input", () => {
      this.#set.value = "";
      this.#ask(true);
    });
    for (const one of [...this.#columns, this.#kind]) one.addEventListener("change", () => this.#ask(false));
    const file = byId("task-file", HTMLInputElement);
    byId("task-open", HTMLButtonElement).addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      if (chosen) void this.#open(chosen);
      file.value = "";
    });
    acceptDrops(byId("task-form", HTMLElement), (dropped) => void this.#open(dropped));
  }

  /** Fetch the names of our sets, which starts the worker. */
  async start(): Promise<void> {
    const sets = await this.#host.ask((engine) => engine.tasks.sets());
    this.#set.append(...sets.map((one) => new Option(one.title, one.name)));
  }

  get text(): string {
    return this.#text.value;
  }

  set text(text: string) {
    this.#text.value = text;
    this.#ask(true);
  }

  /** What a task of them is called. */
  get name(): string {
    return this.#set.value || this.#file.replace(/\.\w+$/, "") || "task";
  }

  get chosen(): TaskChoices {
    const [given, wanted] = this.#columns.map((one) => one.value);
    const kind = this.#kind.value;
    return { ...(given ? { given } : {}), ...(wanted ? { wanted } : {}), ...(kind ? { kind } : {}) };
  }

  async #take(): Promise<void> {
    const name = this.#set.value;
    if (!name) return;
    try {
      const text = await this.#host.ask((engine) => engine.tasks.exampleSet(name));
      if (name === this.#set.value) this.text = text;
    } catch (error) {
      this.#say(complaint(error));
    }
  }

  async #open(file: File): Promise<void> {
    try {
      if (file.size > MOST_BYTES) throw new Error(`“${file.name}” is too large to be read here.`);
      const bytes = new Uint8Array(await file.arrayBuffer());
      const text = await this.#host.ask((engine) => engine.tasks.text(bytes));
      if (/^\s*\{\s*"task"\s*:/.test(text)) {
        this.dispatchEvent(new CustomEvent("task", { detail: text }));
        return;
      }
      this.#file = file.name;
      this.#set.value = "";
      this.text = text;
    } catch (error) {
      this.#lose(complaint(error));
    }
  }

  /** Read them, when the visitor has stopped changing them; another text has columns of its own. */
  #ask(another: boolean): void {
    const asked = (this.#asked += 1);
    clearTimeout(this.#timer);
    if (another) for (const column of this.#columns) column.replaceChildren();
    this.#timer = window.setTimeout(() => void this.#read(asked), QUIET_MS);
  }

  async #read(asked: number): Promise<void> {
    const { text, chosen } = this;
    try {
      if (!text.trim()) return this.#lose("No examples yet.");
      const found = await this.#host.ask((engine) => engine.tasks.read(text, chosen));
      if (asked !== this.#asked) return;
      this.found = found;
      const { given, wanted } = found.report;
      this.#columns.forEach((column, i) => {
        column.replaceChildren(...found.columns.map((name) => new Option(name, name)));
        column.value = i === 0 ? given : wanted;
      });
      this.#say(wordsOf(found.report));
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (asked === this.#asked) this.#lose(complaint(error));
    }
  }

  #lose(words: string): void {
    this.found = null;
    this.#say(words);
    this.dispatchEvent(new Event("change"));
  }

  #say(words: string): void {
    this.#report.textContent = words;
  }
}

const KINDS: Readonly<Record<string, string>> = {
  label: "one of a few labels", json: "JSON", text: "text",
};

/** What examples are, in words. */
function wordsOf(report: TaskReport): string {
  const { train = 0, check = 0, "held-out": held = 0 } = report.parts;
  const labels = Object.entries(report.labels).map(([label, n]) => `${label} ${count(n)}`);
  const out = Object.entries(report.left_out).map(([why, n]) => `${count(n)} ${why}`);
  const kind = KINDS[report.kind] ?? report.kind;
  return [
    `${plural(report.examples, "example")}, answers are ${kind}${labels.length ? `: ${labels.join(", ")}` : ""}.`,
    `${count(train)} to learn from, ${count(check)} to check with, ${count(held)} held out.`,
    ...(out.length ? [`Left out: ${out.join(", ")}.`] : []),
  ].join(" ");
}
