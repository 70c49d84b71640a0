/** The panel of claims: eleven cards, each measured here and now, and a report of them. */

import { Build } from "../api/build";
import { Card } from "../claims/card";
import { readReport } from "../claims/check";
import { picture } from "../claims/png";
import { CLAIMS } from "../claims/report";
import type { ClaimId, Entries, Report } from "../claims/report";
import { Runner } from "../claims/runner";
import { checks, doubts, facts, table } from "../claims/summary";
import type { LiveSession } from "../live";
import { acceptDrops, download } from "../train/files";
import { byId } from "../ui/dom";
import { plural, sentence } from "../ui/format";
import { readTextFile } from "../ui/text-file";

const part = (id: string): HTMLElement => byId(id, HTMLElement);
const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);

class Panel {
  readonly #root: HTMLElement;
  readonly #runner: Runner;
  readonly #cards: readonly Card[];
  readonly #price = byId("claims-price", HTMLInputElement);
  readonly #latency = byId("claims-latency", HTMLInputElement);
  readonly #words = part("claims-words");
  readonly #progress = byId("claims-progress", HTMLProgressElement);
  /** A report of another time or place. */
  #other: Report | null = null;

  constructor(root: HTMLElement, live: LiveSession, build: Build) {
    this.#root = root;
    const articles = [...root.querySelectorAll<HTMLElement>("[data-claim]")];
    this.#cards = articles.map((one) => {
      const card: Card = new Card(one, () => void this.#measure([card.id]));
      return card;
    });
    this.#runner = new Runner(live, build, new Map(this.#cards.map(({ id, title }) => [id, title])));
    this.#runner.addEventListener("change", () => this.#show());
    this.#runner.addEventListener("progress", () => this.#tell());
    button("claims-run").addEventListener("click", () => void this.#measure(CLAIMS));
    button("claims-cancel").addEventListener("click", () => this.#runner.cancel());
    this.#listenForReports();
    this.#show();
  }

  #listenForReports(): void {
    button("claims-json").addEventListener("click", () => this.#save());
    button("claims-png").addEventListener("click", () => void this.#savePicture());
    button("claims-print").addEventListener("click", () => print());
    const input = byId("claims-file", HTMLInputElement);
    button("claims-open").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) void this.#open(file);
      input.value = ""; // the same file may be chosen again
    });
    acceptDrops(part("claims-report"), (file) => void this.#open(file));
    button("claims-close").addEventListener("click", () => {
      this.#other = null;
      this.#show();
      button("claims-open").focus();
    });
  }

  async #measure(ids: readonly ClaimId[]): Promise<void> {
    const asked = document.activeElement;
    this.#fail(null);
    let entries: Entries;
    try {
      entries = { price: numberIn(this.#price), latency: numberIn(this.#latency) };
    } catch (error) {
      return this.#fail(error);
    }
    const running = this.#runner.measure(ids, entries);
    button("claims-cancel").focus({ preventScroll: true });
    await running;
    const failed = ids.filter((id) => this.#runner.results.get(id)?.status === "failed").length;
    const done = ids.filter((id) => this.#runner.results.get(id)?.status === "done").length;
    this.#words.textContent = `${done} of ${plural(ids.length, "claim")} measured${failed ? `, ${failed} failed` : ""}.`;
    if (asked instanceof HTMLElement) asked.focus({ preventScroll: true });
  }

  #show(): void {
    const { busy } = this.#runner;
    button("claims-run").disabled = false;
    button("claims-run").hidden = busy;
    button("claims-cancel").hidden = !busy;
    this.#progress.hidden = !busy;
    for (const card of this.#cards) card.show(this.#runner.results.get(card.id));
    this.#tell();
    this.#showReport();
  }

  #tell(): void {
    const { running, busy } = this.#runner;
    for (const card of this.#cards) card.tell(running, busy);
    if (!running) return;
    const { at, of, share } = running;
    this.#progress.value = (at + (Number.isFinite(share) ? share : 0)) / of;
    const title = this.#cards.find(({ id }) => id === running.claim)?.title ?? running.claim;
    const words = of > 1 ? `${at + 1} of ${of}: ${title}` : title;
    if (this.#words.textContent !== words) this.#words.textContent = words;
  }

  #showReport(): void {
    const report = this.#runner.report();
    const any = report.results.length > 0;
    for (const id of ["claims-json", "claims-png", "claims-print"]) button(id).disabled = !any;
    const other = this.#other;
    button("claims-close").hidden = !other;
    part("claims-none").hidden = any || other !== null;
    const parts = any || other ? [table(report, other)] : [];
    if (other) parts.push(checks(other, report));
    if (any) parts.push(doubts(report), facts(report));
    part("claims-sheet").replaceChildren(...parts);
  }

  #save(): void {
    const text = `${JSON.stringify(this.#runner.report(), null, 1)}\n`;
    download("thimble-claims.json", [text], "application/json");
  }

  async #savePicture(): Promise<void> {
    try {
      download("thimble-claims.png", [await picture(this.#runner.report(), this.#root)], "image/png");
    } catch (error) {
      this.#fail(error);
    }
  }

  async #open(file: File): Promise<void> {
    this.#fail(null);
    try {
      this.#other = readReport(await readTextFile(file));
    } catch (error) {
      this.#fail(error);
    }
    this.#show();
  }

  #fail(error: unknown): void {
    const words = error === null ? "" : error instanceof Error ? error.message : String(error);
    part("claims-notice").hidden = !words;
    part("claims-notice-words").textContent = words && sentence(words);
  }
}

/** What the visitor entered; null for nothing. */
function numberIn(input: HTMLInputElement): number | null {
  if (!input.value.trim() && !input.validity.badInput) return null;
  const value = input.valueAsNumber;
  if (Number.isFinite(value) && value >= 0) return value;
  const name = input.labels?.[0]?.textContent?.trim() ?? input.id;
  input.focus();
  throw new Error(`“${name}” is ${input.value || "no number"}; it must be a number from 0 on, or nothing`);
}

export function mount(root: HTMLElement, live: LiveSession): void {
  // Beside the public module: this one lies in assets/.
  Build.read(new URL("../thimble.js", import.meta.url).href).then(
    (build) => new Panel(root, live, build),
    (error: unknown) => {
      part("claims-words").textContent = sentence(error instanceof Error ? error.message : String(error));
    },
  );
}
