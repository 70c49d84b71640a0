/** The view “Probes”: the patterns of all heads, the map of a pair of texts, and the report. */

import { PATTERNS } from "../protocol/lens-change";
import type { GridFound, GridQuestion, GridSite, Pattern, ProbesFound } from "../protocol/lens-change";
import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { quoted } from "../ui/token";
import { headWords } from "./change-code";
import { PATTERN_NAMES, measuredOf } from "./measured";
import type { Measured } from "./measured";
import { cellTable, hundredths } from "./pictures";
import { Pane } from "./state";
import type { LensView } from "./state";
import { Work } from "./work";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const element = (id: string): HTMLElement => byId(id, HTMLElement);
const input = (id: string): HTMLInputElement => byId(id, HTMLInputElement);

class ProbesPane extends Pane {
  readonly #measured: Measured;
  readonly #scores = new Work("probe");
  readonly #grid = new Work("grid");

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "probes");
    this.#measured = measuredOf(lens.live);
    button("probe-start").addEventListener("click", () => void this.#probe());
    button("grid-start").addEventListener("click", () => void this.#map());
    button("report-copy").addEventListener("click", () => void this.#copy());
    button("report-save").addEventListener("click", () => this.#save());
    root.addEventListener("keydown", (event) => {
      // Enter is for this question here, and not for the panel's text.
      if (event.key !== "Enter" || !(event.target instanceof HTMLInputElement)) return;
      event.preventDefault();
      void this.#map();
    });
    this.#measured.addEventListener("change", () => this.#show());
    button("probe-start").disabled = button("grid-start").disabled = false;
    this.#show();
    this.follow();
  }

  protected show(): void {
    this.#show();
  }

  async #probe(): Promise<void> {
    const found = await this.#scores.run<ProbesFound>("Reading random tokens.", this.lens.live, (engine, session) =>
      engine.lensChange.probe(session),
    );
    if (found) this.#measured.add({ probes: found });
  }

  async #map(): Promise<void> {
    const question: GridQuestion = {
      clean: input("grid-clean").value,
      corrupted: input("grid-corrupted").value,
      answer: input("grid-answer").value,
      against: input("grid-against").value,
      site: byId("grid-site", HTMLSelectElement).value as GridSite,
      estimate: byId("grid-how", HTMLSelectElement).value === "estimate",
    };
    const found = await this.#grid.run<GridFound>("Patching.", this.lens.live, (engine, session) =>
      engine.lensChange.patch(session, JSON.stringify(question)),
    );
    if (found) this.#measured.add({ grid: found });
  }

  #show(): void {
    const { probes, grid } = this.#measured.found;
    element("probe-maps").replaceChildren(
      ...(probes ? PATTERNS.map((pattern) => this.#scoreMap(probes, pattern)) : []),
    );
    if (probes) this.#scores.say(named(probes));
    element("grid-map").replaceChildren(...(grid ? [this.#gridMap(grid)] : []));
    if (grid) this.#grid.say(gridWords(grid));
    button("report-copy").disabled = button("report-save").disabled = this.#measured.isEmpty;
  }

  #scoreMap(probes: ProbesFound, pattern: Pattern): HTMLElement {
    const values = probes[pattern];
    return cellTable({
      caption: PATTERN_NAMES[pattern],
      values,
      rows: "Layer",
      columns: (values[0] ?? []).map((_, head) => String(head)),
      across: "Head",
      choose: (layer, head) => this.#look(layer, head),
      cellWords: (layer, head) => headSentence(layer, head),
    });
  }

  #gridMap(grid: GridFound): HTMLElement {
    const byHead = grid.site === "attn.hook_z";
    const columns = byHead
      ? (grid.values[0] ?? []).map((_, head) => String(head))
      : grid.tokens.map(([clean, other]) => (clean === other ? clean : `${clean} /${other}`));
    return cellTable({
      caption: `How much of ${quoted(grid.answer)} is restored${grid.estimate ? ", estimated" : ""}`,
      values: grid.values,
      rows: "Layer",
      columns,
      across: byHead ? "Head" : "Token",
      ...(byHead ? { choose: (layer: number, head: number) => this.#look(layer, head) } : {}),
      cellWords: (layer, column) =>
        byHead ? headSentence(layer, column) : `Layer ${layer}, token ${column + 1}, ${quoted(columns[column] ?? "")}`,
    });
  }

  /** Look at a head's attention. */
  #look(layer: number, head: number): void {
    this.lens.go({ layer, head });
    this.lens.view = "attention";
  }

  async #copy(): Promise<void> {
    const copied = await copy(this.#measured.toText());
    element("report-words").textContent = copied ? "Report copied." : "Copying is not allowed here.";
  }

  #save(): void {
    const link = document.createElement("a");
    const url = URL.createObjectURL(new Blob([this.#measured.toJson()], { type: "application/json" }));
    link.href = url;
    link.download = `${this.lens.live.model.replace(/[^\w.-]+/g, "-")}-report.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}

function headSentence(layer: number, head: number): string {
  const words = headWords(layer, head);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The best head of each pattern, and whether it shows it clearly. */
function named(probes: ProbesFound): string {
  const parts = PATTERNS.map((pattern) => {
    let best: readonly [layer: number, head: number, score: number] = [0, 0, -1];
    probes[pattern].forEach((row, layer) =>
      row.forEach((score, head) => {
        if (score > best[2]) best = [layer, head, score];
      }),
    );
    const [layer, head, score] = best;
    const clear = score >= probes.clear ? "" : ", which is low";
    return `${PATTERN_NAMES[pattern].toLowerCase()} ${headWords(layer, head)} with ${score.toFixed(2)}${clear}`;
  });
  return `The highest scores: ${parts.join("; ")}. Choose a head to see where it attends in the text.`;
}

function gridWords({ clean, corrupted, answer, against, values, site, tokens, estimate }: GridFound): string {
  let best: readonly [layer: number, column: number, value: number] = [0, 0, -Infinity];
  values.forEach((row, layer) =>
    row.forEach((value, column) => {
      if (value > best[2]) best = [layer, column, value];
    }),
  );
  const [layer, column, value] = best;
  const place = site === "attn.hook_z" ? headWords(layer, column) : `layer ${layer} at ${quoted(tokens[column]?.[0] ?? "")}`;
  return (
    `${quoted(answer)} leads ${quoted(against)} by ${hundredths(clean)} after the clean text, and by ` +
    `${hundredths(corrupted)} after the other (in logits). The most is restored by ${place}: ${value.toFixed(2)}` +
    `${estimate ? ", as gradients estimate" : ""}.`
  );
}

export function mount(root: HTMLElement, lens: LensView): void {
  new ProbesPane(root, lens);
}
