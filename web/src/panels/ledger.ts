/** The panel of claims: eleven cards, each measured here and now, and a report of them. */

import { Build } from "../api/build";
import { Card } from "../ledger/card";
import { readReport } from "../ledger/check";
import { picture } from "../ledger/png";
import { CLAIMS } from "../ledger/report";
import type { ClaimId, Entries, Report } from "../ledger/report";
import { Ledger } from "../ledger/runner";
import { checks, doubts, facts, table } from "../ledger/summary";
import type { LiveSession } from "../live";
import { acceptDrops, download } from "../train/files";
import { byId } from "../ui/dom";
import { plural, sentence } from "../ui/format";
import { readTextFile } from "../ui/text-file";

const part = (id: string): HTMLElement => byId(id, HTMLElement);
const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);

class Panel {
  readonly #root: HTMLElement;
  readonly #ledger: Ledger;
  readonly #cards: readonly Card[];
  readonly #price = byId("ledger-price", HTMLInputElement);
  readonly #latency = byId("ledger-latency", HTMLInputElement);
  readonly #words = part("ledger-words");
  readonly #progress = byId("ledger-progress", HTMLProgressElement);
  /** A report of another time or place. */
  #other: Report | null = null;

  constructor(root: HTMLElement, live: LiveSession, build: Build) {
    this.#root = root;
    const articles = [...root.querySelectorAll<HTMLElement>("[data-claim]")];
    this.#cards = articles.map((one) => {
      const card: Card = new Card(one, () => void this.#measure([card.id]));
      return card;
    });
    this.#ledger = new Ledger(live, build, new Map(this.#cards.map(({ id, title }) => [id, title])));
    this.#ledger.addEventListener("change", () => this.#show());
    this.#ledger.addEventListener("progress", () => this.#tell());
    button("ledger-run").addEventListener("click", () => void this.#measure(CLAIMS));
    button("ledger-cancel").addEventListener("click", () => this.#ledger.cancel());
    this.#listenForReports();
    this.#show();
  }

  #listenForReports(): void {
    button("ledger-json").addEventListener("click", () => this.#save());
    button("ledger-png").addEventListener("click", () => void this.#savePicture());
    button("ledger-print").addEventListener("click", () => print());
    const input = byId("ledger-file", HTMLInputElement);
    button("ledger-open").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) void this.#open(file);
      input.value = ""; // the same file may be chosen again
    });
    acceptDrops(part("ledger-report"), (file) => void this.#open(file));
    button("ledger-close").addEventListener("click", () => {
      this.#other = null;
      this.#show();
      button("ledger-open").focus();
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
    const running = this.#ledger.measure(ids, entries);
    button("ledger-cancel").focus({ preventScroll: true });
    await running;
    const failed = ids.filter((id) => this.#ledger.results.get(id)?.status === "failed").length;
    const done = ids.filter((id) => this.#ledger.results.get(id)?.status === "done").length;
    this.#words.textContent = `${done} of ${plural(ids.length, "claim")} measured${failed ? `, ${failed} failed` : ""}.`;
    if (asked instanceof HTMLElement) asked.focus({ preventScroll: true });
  }

  #show(): void {
    const { busy } = this.#ledger;
    button("ledger-run").disabled = false;
    button("ledger-run").hidden = busy;
    button("ledger-cancel").hidden = !busy;
    this.#progress.hidden = !busy;
    for (const card of this.#cards) card.show(this.#ledger.results.get(card.id));
    this.#tell();
    this.#showReport();
  }

  #tell(): void {
    const { running, busy } = this.#ledger;
    for (const card of this.#cards) card.tell(running, busy);
    if (!running) return;
    const { at, of, share } = running;
    this.#progress.value = (at + (Number.isFinite(share) ? share : 0)) / of;
    const title = this.#cards.find(({ id }) => id === running.claim)?.title ?? running.claim;
    const words = of > 1 ? `${at + 1} of ${of}: ${title}` : title;
    if (this.#words.textContent !== words) this.#words.textContent = words;
  }

  #showReport(): void {
    const report = this.#ledger.report();
    const any = report.results.length > 0;
    for (const id of ["ledger-json", "ledger-png", "ledger-print"]) button(id).disabled = !any;
    const other = this.#other;
    button("ledger-close").hidden = !other;
    part("ledger-none").hidden = any || other !== null;
    const parts = any || other ? [table(report, other)] : [];
    if (other) parts.push(checks(other, report));
    if (any) parts.push(doubts(report), facts(report));
    part("ledger-sheet").replaceChildren(...parts);
  }

  #save(): void {
    const text = `${JSON.stringify(this.#ledger.report(), null, 1)}\n`;
    download("thimble-claims.json", [text], "application/json");
  }

  async #savePicture(): Promise<void> {
    try {
      download("thimble-claims.png", [await picture(this.#ledger.report(), this.#root)], "image/png");
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
    part("ledger-notice").hidden = !words;
    part("ledger-notice-words").textContent = words && sentence(words);
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
      part("ledger-words").textContent = sentence(error instanceof Error ? error.message : String(error));
    },
  );
}
