/** The measurement: bits per byte of members, ensemble and one other model, and fitted weights. */

import { Build } from "../api/build";
import type { LiveSession } from "../live";
import type { EnsembleJob, Fitted, Measured, MeasuredRow } from "../protocol/ensemble";
import type { Thimble as Session } from "../thimble";
import { byId } from "../ui/dom";
import { count, plural, sentence } from "../ui/format";
import { readTextFile } from "../ui/text-file";
import { dotChart } from "./dots";
import type { Group } from "./group";
import { letter, short } from "./letters";
import type { Members } from "./members";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const part = (id: string): HTMLElement => byId(id, HTMLElement);

/** What stands beside four members of the site's, where it is there. */
const USUAL_RIVAL = "story-four";

export class Measuring {
  readonly #live: LiveSession;
  readonly #group: Group;
  readonly #members: Members;
  readonly #text = byId("measure-text", HTMLTextAreaElement);
  readonly #rival = byId("measure-rival", HTMLSelectElement);
  readonly #progress = byId("measure-progress", HTMLProgressElement);
  readonly #outcome = part("measure-outcome");
  #abort: AbortController | null = null;
  /** The text that the weights were fitted to. */
  #fitted: string | null = null;
  /** What the sample is, where it is in the field. */
  #sample: { readonly title: string; readonly text: string } | null = null;

  constructor(live: LiveSession, group: Group, members: Members) {
    this.#live = live;
    this.#group = group;
    this.#members = members;
    byId("measure-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#measure();
    });
    button("measure-fit").addEventListener("click", () => void this.#fit());
    button("measure-cancel").addEventListener("click", () => this.#abort?.abort());
    button("measure-sample").addEventListener("click", () => void this.#takeSample());
    this.#text.addEventListener("input", () => this.#describe());
    this.#listenForFiles();
    live.addEventListener("models", () => this.#offer());
    this.#offer();
    void this.#takeSample();
  }

  /** There is an ensemble now, or another method or other weights: what was measured is of the one
   * before. */
  refresh(): void {
    part("ensemble-measuring").hidden = this.#group.number === null;
    const { method } = this.#group;
    button("measure-fit").disabled = method !== "mixture";
    button("measure-fit").title = method === "mixture" ? "" : "Only a mixture’s weights can be fitted";
    this.#describeRival();
  }

  /** What was measured no longer holds. */
  outdate(): void {
    this.#abort?.abort();
    part("measured").hidden = true;
    this.#outcome.textContent = "";
  }

  #listenForFiles(): void {
    const input = byId("measure-file", HTMLInputElement);
    button("measure-open").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) void this.#take(file);
      input.value = ""; // the same file may be chosen again
    });
    const form = byId("measure-form", HTMLFormElement);
    form.addEventListener("dragover", (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
    form.addEventListener("drop", (event) => {
      const [file] = event.dataTransfer?.files ?? [];
      if (!file) return;
      event.preventDefault();
      void this.#take(file);
    });
    this.#rival.addEventListener("change", () => this.#describeRival());
  }

  async #take(file: File): Promise<void> {
    try {
      this.#text.value = await readTextFile(file);
      this.#fail(null);
    } catch (error) {
      this.#fail(error);
    }
    this.#describe();
  }

  async #takeSample(): Promise<void> {
    try {
      this.#sample ??= await fetchSample();
      this.#text.value = this.#sample.text;
    } catch (error) {
      this.#fail(error);
    }
    this.#describe();
  }

  #describe(): void {
    const text = this.#text.value;
    const size = `${count(text.length)} characters.`;
    const { title, text: sample } = this.#sample ?? { title: "", text: null };
    const words = text === sample ? `Sample: ${title}, ${size}` : text ? size : "Nothing yet.";
    part("measure-text-words").textContent = words;
  }

  #offer(): void {
    const before = this.#rival.value;
    const { offered } = this.#members;
    const options = offered.map(([name, title]) => new Option(title, name));
    this.#rival.replaceChildren(new Option("none", ""), ...options);
    const has = (name: string): boolean => offered.some(([one]) => one === name);
    this.#rival.value = has(before) ? before : has(USUAL_RIVAL) ? USUAL_RIVAL : "";
  }

  /** How large it should be to be compared. */
  #describeRival(): void {
    const { parameters = 0 } = this.#group.info ?? {};
    const words = `Together they have ${count(parameters)} parameters: choose one about as large.`;
    part("measure-rival-words").textContent = parameters ? words : "";
  }

  async #measure(): Promise<void> {
    const { number } = this.#group;
    const text = this.#text.value;
    const rival = this.#rival.value;
    if (number === null) return;
    await this.#working("Measuring.", async (signal) => {
      const session = rival ? await this.#bring(rival, signal) : null;
      try {
        const other = session ? await session.ask((_engine, id) => Promise.resolve(id)) : null;
        const job = await this.#group.ask((engine) => engine.ensemble.measure(number, text, other));
        const found = await this.#follow<Measured>(job, signal);
        if (found) this.#show(found, text);
      } finally {
        session?.destroy();
      }
    });
  }

  async #fit(): Promise<void> {
    const { number } = this.#group;
    const text = this.#text.value;
    if (number === null) return;
    await this.#working("Fitting.", async (signal) => {
      const job = await this.#group.ask((engine) => engine.ensemble.fit(number, text));
      const found = await this.#follow<Fitted>(job, signal);
      if (!found) return;
      this.#fitted = text;
      part("measured").hidden = true;
      await this.#group.combine("mixture", found.weights);
      const shares = found.weights.map((weight, at) => `${letter(at)} ${(100 * weight).toFixed(0)} %`);
      this.#outcome.textContent = `Fitted to ${plural(found.tokens, "token")}: ${shares.join(", ")}.`;
      this.dispatchFitted();
    });
  }

  /** Told when weights were fitted. */
  dispatchFitted: () => void = () => undefined;

  /** The other model, loaded where it is not there; its name is said where it fails. */
  async #bring(name: string, signal: AbortSignal): Promise<Session> {
    this.#outcome.textContent = "Loading the other model.";
    const hear = ({ loaded }: { loaded: number }): void => {
      this.#progress.value = loaded;
    };
    try {
      return await this.#live.createSession(name, hear, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const words = error instanceof Error ? error.message : String(error);
      const title = this.#rival.selectedOptions[0]?.text ?? name;
      throw new Error(`“${title}” did not load: ${words} Choose another, or none.`);
    }
  }

  #follow<Result>(begun: EnsembleJob, signal: AbortSignal): Promise<Result | null> {
    return this.#group.follow(begun, signal, (share) => (this.#progress.value = share));
  }

  /** While something is measured nothing else is; the focus goes along. */
  async #working(words: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (this.#abort) return;
    const abort = new AbortController();
    this.#abort = abort;
    this.#fail(null);
    this.#progress.value = 0;
    this.#outcome.textContent = words;
    this.#allow(false);
    try {
      await work(abort.signal);
      if (abort.signal.aborted) this.#outcome.textContent = "Cancelled.";
      else if (this.#outcome.textContent === words) this.#outcome.textContent = "";
    } catch (error) {
      this.#outcome.textContent = abort.signal.aborted ? "Cancelled." : "";
      if (!abort.signal.aborted) this.#fail(error);
    }
    this.#abort = null;
    this.#allow(true);
  }

  #allow(idle: boolean): void {
    const focused = document.activeElement;
    const [start, cancel] = [button("measure-start"), button("measure-cancel")];
    start.hidden = button("measure-fit").hidden = !idle;
    cancel.hidden = this.#progress.hidden = idle;
    if (!idle && (focused === start || focused === button("measure-fit"))) cancel.focus();
    if (idle && focused === cancel) start.focus();
  }

  #fail(error: unknown): void {
    const words = error instanceof Error ? error.message : error === null ? "" : String(error);
    part("measure-notice").hidden = !words;
    part("measure-notice-words").textContent = words ? sentence(words) : "";
  }

  #show(found: Measured, text: string): void {
    this.#outcome.textContent = `${plural(found.passages, "passage")}, ${count(found.bytes)} bytes.`;
    const titles = new Map(this.#group.members.map(({ session, title }, at) => [session.model.name, `${letter(at)}  ${short(title)}`]));
    const rival = this.#rival.selectedOptions[0]?.text ?? "";
    const name = ({ kind, name }: MeasuredRow): string =>
      kind === "together" ? "Together" : kind === "rival" ? rival : (titles.get(name) ?? name);
    const own = this.#fitted === text && this.#group.method === "mixture";
    const note = own ? " The weights were fitted to this text, so the result is slightly optimistic." : "";
    const words = verdict(found, titles.get(found.best) ?? found.best) + note;
    part("measured-words").textContent = words;
    const dots = found.rows.flatMap((row) => {
      if (row.bits === null) return [];
      const label = name(row);
      const brief = row.kind === "member" ? label.slice(0, 1) : row.kind === "rival" ? "One model" : label;
      return [{ label, brief, value: row.bits, strong: row.kind === "together" }];
    });
    const said = dots.map(({ label, value }) => `${label} ${value.toFixed(3)}`).join(", ");
    part("measured").hidden = false;
    dotChart(part("measured-chart"), dots, "bits per byte", `Bits per byte: ${said}`);
    part("measured-table").replaceChildren(table(found, name));
  }
}

/** What came out, in a sentence. */
function verdict({ gain }: Measured, best: string): string {
  if (!gain) {
    return "The ensemble gives some tokens of the text zero probability: this method cannot be measured in bits.";
  }
  const than = `than the best member alone (${best.replace("  ", ", ")})`;
  const words = `Together they need ${fewer(gain.share)} bits ${than}`;
  if (gain.low === null || gain.high === null) return `${words}.`;
  return `${words}: ${range(gain.low, gain.high)} in 95 % of resamplings.`;
}

function range(low: number, high: number): string {
  const [least, most] = [low, high].map((share) => (100 * Math.abs(share)).toFixed(1));
  if (low >= 0) return `${least} to ${most} % fewer`;
  if (high < 0) return `${most} to ${least} % more`;
  return `from ${fewer(low)} to ${fewer(high)}`;
}

/** A share that may be less than nothing. */
function fewer(share: number): string {
  return `${(100 * Math.abs(share)).toFixed(1)} % ${share >= 0 ? "fewer" : "more"}`;
}

function table(found: Measured, name: (row: MeasuredRow) => string): HTMLElement {
  const made = document.createElement("table");
  made.className = "measured-rows";
  made.createCaption().textContent = "Bits per byte on this text; the change is against the best member";
  const best = found.rows.find((row) => row.kind === "member" && row.name === found.best);
  const against = (row: MeasuredRow): string => {
    if (row === best || row.bits === null || !best?.bits) return row === best ? "best alone" : "–";
    const change = 100 * (row.bits / best.bits - 1);
    return `${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(1)} %`;
  };
  const head = made.createTHead().insertRow();
  for (const words of ["model", "size", "bits/byte", "change"]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = words;
    head.append(cell);
  }
  const body = made.createTBody();
  for (const row of found.rows) {
    const line = body.insertRow();
    if (row.kind === "together") line.className = "strong";
    const label = document.createElement("th");
    label.scope = "row";
    label.textContent = name(row);
    line.append(label);
    const bits = row.bits === null ? "∞" : row.bits.toFixed(4);
    const parameters = `${(row.parameters / 1e6).toFixed(2)} M`;
    for (const words of [parameters, bits, against(row)]) line.insertCell().textContent = words;
  }
  const box = document.createElement("div");
  box.className = "measured-box";
  box.append(made);
  return box;
}

/** The text that the site brings. */
async function fetchSample(): Promise<{ title: string; text: string }> {
  const build = await Build.read(new URL("../thimble.js", import.meta.url).href);
  const { sample } = build;
  if (!sample) throw new Error("this site has no sample: paste a text of your own");
  const response = await fetch(sample.url).catch(() => null);
  if (response?.ok) return { title: sample.title, text: await response.text() };
  const status = response ? `the server answered ${response.status}` : "check the connection";
  throw new Error(`the sample could not be loaded: ${status}`);
}
