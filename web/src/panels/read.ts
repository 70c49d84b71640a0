/** The panel where the model reads the visitor's text, and says how much each token surprised it. */

import type { LiveSession } from "../live";
import type { ReadPart, ReadPlan, ReadRow, ReadStep } from "../protocol/read";
import { barTable, lineChart } from "../ui/chart";
import type { Chart } from "../ui/chart";
import { byId } from "../ui/dom";
import { count, plural, sentence } from "../ui/format";
import { legend, natsToBits } from "../ui/scale";
import type { Shading } from "../ui/scale";
import { readTextFile } from "../ui/text-file";
import { TokenView } from "../ui/tokens";
import type { Token } from "../ui/tokens";

/** Alternatives that are kept with each token. */
const TOP = 10;
/** Milliseconds of reading between two answers: the page shows how far it is, and can cancel. */
const STEP_MS = 40;
/** Tokens that are shown at a time. */
const PAGE = 600;
/** Lines in the list; of more, those that surprised most. */
const MOST_LINES = 200;
/** Of fewer there is nothing to compare. */
const LEAST_LINES = 2;
const NONE = "–";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const element = (id: string): HTMLElement => byId(id, HTMLElement);

class Read {
  readonly #live: LiveSession;
  readonly #text = byId("read-text", HTMLTextAreaElement);
  readonly #go = button("read-go");
  readonly #cancel = button("read-cancel");
  readonly #fromLive = button("read-live");
  readonly #progress = byId("read-progress", HTMLProgressElement);
  readonly #outcome = element("read-outcome");
  readonly #by = byId("read-by", HTMLSelectElement);
  readonly #view = new TokenView(element("read-view"), { label: "The text as tokens" });
  #chart: Chart | null = null;
  /** The reading that is shown, and how far it has come. */
  #plan: ReadPlan | null = null;
  #done = 0;
  /** The model that reads. */
  #model = "";
  /** The first token that is shown. */
  #from = 0;
  #abort: AbortController | null = null;
  #reading: Promise<void> = Promise.resolve();

  constructor(root: HTMLElement, live: LiveSession) {
    this.#live = live;
    this.#listen(root);
    this.#showShading();
    const follow = (): void => {
      if (live.model !== this.#model) this.#abort?.abort(); // another one was chosen
      this.#fromLive.disabled = live.writing === null || live.state === "writing";
    };
    live.addEventListener("state", follow);
    follow();
    this.#go.disabled = button("read-open").disabled = false;
  }

  #listen(root: HTMLElement): void {
    byId("read-desk", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#read();
    });
    this.#cancel.addEventListener("click", () => this.#stop());
    this.#live.addEventListener("restart", () => (this.#plan = null));
    this.#fromLive.addEventListener("click", () => {
      const { writing } = this.#live;
      if (writing) this.#text.value = writing.request.prompt + writing.text;
      void this.#read();
    });
    this.#by.addEventListener("change", () => this.#showShading());
    button("read-previous").addEventListener("click", () => void this.#turn(this.#from - PAGE));
    button("read-next").addEventListener("click", () => void this.#turn(this.#from + PAGE));
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#stop();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void this.#read();
      else return;
      event.preventDefault();
    });
    this.#listenForFiles(root);
  }

  #listenForFiles(root: HTMLElement): void {
    const input = byId("read-file", HTMLInputElement);
    button("read-open").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) void this.#take(file);
      input.value = ""; // the same file may be chosen again
    });
    const given = this.#text.closest(".prompt") as HTMLElement;
    const holdsFiles = (event: DragEvent): boolean =>
      event.dataTransfer?.types.includes("Files") ?? false;
    root.addEventListener("dragover", (event) => {
      if (!holdsFiles(event)) return; // a text is dropped into the field by the browser
      event.preventDefault();
      given.classList.add("dropping");
    });
    root.addEventListener("dragleave", () => given.classList.remove("dropping"));
    root.addEventListener("drop", (event) => {
      given.classList.remove("dropping");
      const [file] = event.dataTransfer?.files ?? [];
      if (!file) return;
      event.preventDefault();
      void this.#take(file);
    });
  }

  async #take(file: File): Promise<void> {
    try {
      this.#text.value = await readTextFile(file);
    } catch (error) {
      this.#fail(error);
      return;
    }
    await this.#read();
  }

  #showShading(): void {
    const shading = this.#by.value as Shading;
    this.#view.shading = shading;
    element("read-legend").replaceChildren(legend(shading));
  }

  #stop(): void {
    if (!this.#abort) return;
    this.#abort.abort();
    void this.#live.insist(this.#reading);
  }

  /** Read what is in the field, in place of what was read. */
  async #read(): Promise<void> {
    await (this.#reading = this.#readText());
  }

  async #readText(): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const text = this.#text.value;
    this.#model = this.#live.model;
    await this.#forget();
    if (abort.signal.aborted) return;
    this.#show(true);
    this.#outcome.textContent = this.#live.isOpen ? "Tokenizing." : "Waiting for the model.";
    try {
      const plan = await this.#live.ask((engine, session) => engine.read.begin(session, text, TOP));
      this.#plan = plan;
      this.#outcome.textContent = "Reading.";
      const last = await this.#readOn(plan, abort.signal);
      await this.#finish(plan, last);
    } catch (error) {
      if (abort.signal.aborted) this.#outcome.textContent = "Cancelled.";
      else this.#fail(error);
    } finally {
      if (this.#abort === abort) {
        this.#abort = null;
        this.#show(false);
      }
    }
  }

  /** Read to the end, or until the signal says stop. */
  async #readOn(plan: ReadPlan, signal: AbortSignal): Promise<ReadStep | null> {
    let step: ReadStep | null = null;
    while (!signal.aborted && this.#done < plan.tokens) {
      const from = this.#from;
      step = await this.#live.ask((engine) =>
        engine.read.step(plan.reading, STEP_MS, from, from + PAGE),
      );
      this.#done = step.done;
      // The visitor may have turned the page meanwhile.
      if (from === this.#from) this.#view.append(step.rows.map(toToken));
      this.#progress.value = step.done / step.total;
      this.#measure(step);
    }
    return step;
  }

  async #finish(plan: ReadPlan, step: ReadStep | null): Promise<void> {
    const { done, total } = step ?? { done: 0, total: plan.tokens };
    const windows = total > plan.window ? `, in windows of ${count(plan.window)} tokens` : "";
    this.#outcome.textContent =
      done < total
        ? `Cancelled after ${count(done)} of ${plural(total, "token")}.`
        : `Read by the model “${this.#model}”${windows}: ${plural(total, "token")}.`;
    this.#showPager();
    const parts = await this.#live.ask((engine) => engine.read.parts(plan.reading));
    if (this.#plan === plan) this.#showLines(parts.filter(([, , bytes]) => bytes > 0));
  }

  /** Give the last reading's memory back and empty the page. */
  async #forget(): Promise<void> {
    const plan = this.#plan;
    this.#plan = null;
    this.#done = this.#from = 0;
    this.#view.truncate(0);
    this.#measure(null);
    this.#progress.value = 0;
    element("read-lines").hidden = true;
    element("read-notice").hidden = true;
    this.#showPager();
    // It may be gone with its worker.
    if (plan) await this.#live.ask((engine) => engine.read.close(plan.reading)).catch(() => undefined);
  }

  #fail(error: unknown): void {
    const words = error instanceof Error ? error.message : String(error);
    element("read-notice-words").textContent = sentence(words);
    element("read-notice").hidden = false;
    this.#outcome.textContent = this.#done ? `Ended after ${plural(this.#done, "token")}.` : "";
  }

  /** What can be done while it reads and while it does not; the focus goes along. */
  #show(reading: boolean): void {
    const focused = document.activeElement;
    this.#go.hidden = reading;
    this.#cancel.hidden = !reading;
    this.#progress.hidden = !reading;
    element("read-empty").hidden = reading || this.#done > 0;
    if (focused === this.#go && reading) this.#cancel.focus();
    if (focused === this.#cancel && !reading) this.#go.focus();
  }

  #measure(step: ReadStep | null): void {
    const bits = step ? natsToBits(step.nats) : 0;
    const ratio = (of: number): string => (step && of ? (bits / of).toFixed(3) : NONE);
    element("read-bpb").textContent = ratio(step?.bytes ?? 0);
    element("read-bpt").textContent = ratio(step?.done ?? 0);
    element("read-tokens").textContent = step ? `${count(step.done)} / ${count(step.total)}` : NONE;
  }

  #showPager(): void {
    const total = this.#done;
    element("read-pager").hidden = total <= PAGE;
    const end = Math.min(total, this.#from + PAGE);
    element("read-page").textContent = `${count(this.#from + 1)} to ${count(end)} of ${count(total)}`;
    button("read-previous").disabled = this.#from === 0;
    button("read-next").disabled = end >= total;
  }

  /** Show the tokens from another one on. */
  async #turn(from: number): Promise<void> {
    const plan = this.#plan;
    if (!plan) return;
    this.#from = Math.max(0, from);
    try {
      const rows = await this.#live.ask((engine) =>
        engine.read.rows(plan.reading, this.#from, this.#from + PAGE),
      );
      if (this.#plan !== plan) return;
      this.#view.truncate(0);
      this.#view.append(rows.map(toToken));
      this.#showPager();
    } catch (error) {
      this.#fail(error);
    }
  }

  #showLines(parts: readonly ReadPart[]): void {
    element("read-lines").hidden = parts.length < LEAST_LINES;
    if (parts.length < LEAST_LINES) return;
    const rates = parts.map(([, , bytes, nats]) => natsToBits(nats) / bytes);
    this.#chart ??= lineChart(element("read-chart"), {
      title: "Bits per byte, line by line",
      x: { name: "line" },
      y: { name: "bits per byte", digits: 3, fromZero: true },
      series: ["bits per byte"],
      kind: "bars",
      height: 120,
      describe: describeLines,
    });
    this.#chart.update(parts.map((_, at) => at + 1), [rates]);
    this.#listLines(parts, rates);
  }

  #listLines(parts: readonly ReadPart[], rates: readonly number[]): void {
    const rate = (at: number): number => rates[at] ?? 0;
    let places = parts.map((_, at) => at);
    const all = places.length;
    if (all > MOST_LINES) {
      places = places.sort((a, b) => rate(b) - rate(a)).slice(0, MOST_LINES);
    }
    const most = Math.max(...rates.slice(0, 10_000), Number.EPSILON);
    element("read-list-title").textContent =
      all > MOST_LINES ? `The ${MOST_LINES} most surprising lines of ${count(all)}` : "Line by line";
    const bars = places.map((at) => {
      const [start, , , , words] = parts[at] as ReadPart;
      const label = `${at + 1}  ${words}`;
      return { label, share: rate(at) / most, words: rate(at).toFixed(2), choose: () => void this.#goTo(start) };
    });
    const heads = ["line", "bits per byte"] as const;
    element("read-rows").replaceChildren(barTable({ caption: "Bits per byte of each line", heads, bars }));
  }

  /** Bring a token into view, turning the page where it has to be. */
  async #goTo(token: number): Promise<void> {
    const page = Math.floor(token / PAGE) * PAGE;
    if (page !== this.#from) await this.#turn(page);
    this.#view.focus(token - this.#from);
  }
}

function toToken([text, id, logprob, entropy, top]: ReadRow): Token {
  const alternatives = top.map(([id, text, logprob]) => ({ id, text, logprob }));
  return { text, id, logprob, entropy, top: alternatives };
}

/** Which lines stand out. */
function describeLines(
  lines: readonly number[],
  [rates = []]: readonly (readonly (number | null)[])[],
): string {
  let [least, most] = [0, 0];
  rates.forEach((rate, at) => {
    if ((rate ?? 0) < (rates[least] ?? 0)) least = at;
    if ((rate ?? 0) > (rates[most] ?? 0)) most = at;
  });
  const words = (at: number): string => `line ${lines[at] ?? 0} with ${(rates[at] ?? 0).toFixed(2)}`;
  return `least surprising is ${words(least)}, most surprising ${words(most)}`;
}

export function mount(root: HTMLElement, live: LiveSession): void {
  new Read(root, live);
}
