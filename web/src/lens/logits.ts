/**
 * The logit lens: what the model would say after every block, if its last layer read it there
 * (nostalgebraist 2020). A grid of depth and position, the model's own answer on top.
 */

import type { LensGrid } from "../protocol/lens";
import { barTable } from "../ui/chart";
import { byId } from "../ui/dom";
import { bitWords, colourOf, natsToBits, percent } from "../ui/scale";
import { quoted } from "../ui/tokens";
import { Pane } from "./state";
import type { LensText, LensView } from "./state";

/** Positions that are shown at a time, around the one that is looked at. */
const WIDE = 24;

const element = (id: string): HTMLElement => byId(id, HTMLElement);

/** What the stream says at one place. */
interface Cell {
  readonly best: readonly (readonly [id: number, logprob: number])[];
  /** Of the token that the model says in the end. */
  readonly rank: number;
  readonly logprob: number;
  /** Nats. */
  readonly entropy: number;
}

class Logits extends Pane {
  readonly #table = byId("lens-grid", HTMLTableElement);
  #text: LensText | null = null;
  #grid: LensGrid | null = null;
  #records = new DataView(new ArrayBuffer(0));
  #depth = 0;
  #first = -1;

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "logits");
    this.#table.addEventListener("click", (event) => {
      const cell = (event.target as HTMLElement).closest<HTMLElement>("td");
      if (cell) this.#choose(Number(cell.dataset["depth"]), Number(cell.dataset["at"]), false);
    });
    this.#table.addEventListener("keydown", (event) => this.#key(event));
    this.follow();
  }

  protected async show(text: LensText): Promise<void> {
    if (text !== this.#text) {
      if (!this.lens.permits("grid")) return;
      const grid = await this.lens.ask((engine) => engine.lens.grid(text.look));
      if (!grid || text !== this.lens.text) return;
      this.#grid = grid;
      this.#records = new DataView(grid.records);
      this.#text = text;
      this.#depth = grid.depths - 1;
      this.#first = -1;
    }
    this.#build(text);
    this.#mark();
    this.#tell(text);
  }

  #cell(depth: number, at: number): Cell {
    const best = this.#grid?.best ?? 0;
    const width = this.#text?.tokens.length ?? 0;
    const bytes = 4 * (2 * best + 3);
    const from = (depth * width + at) * bytes;
    const records = this.#records;
    const rest = from + 8 * best;
    return {
      best: Array.from({ length: best }, (_, i) => [
        records.getInt32(from + 4 * i, true), records.getFloat32(from + 4 * (best + i), true),
      ]),
      rank: records.getInt32(rest, true),
      logprob: records.getFloat32(rest + 4, true),
      entropy: records.getFloat32(rest + 8, true),
    };
  }

  #word(id: number): string {
    return this.#grid?.texts[id] ?? "";
  }

  /** The grid around the position; nothing is made again while that is inside. */
  #build(text: LensText): void {
    const width = text.tokens.length;
    const at = this.lens.position;
    const inside = this.#first >= 0 && at >= this.#first && at < this.#first + WIDE;
    if (inside) return;
    this.#first = Math.max(0, Math.min(width - WIDE, at - WIDE / 2));
    const last = Math.min(width, this.#first + WIDE);
    const head = document.createElement("tr");
    head.append(headOf("col", ""));
    for (let i = this.#first; i < last; i += 1) head.append(headOf("col", text.tokens[i]?.text ?? ""));
    const rows: HTMLTableRowElement[] = [];
    for (let depth = (this.#grid?.depths ?? 0) - 1; depth >= 0; depth -= 1) {
      const row = document.createElement("tr");
      const name = headOf("row", nameOf(depth));
      name.title = place(depth);
      row.append(name);
      for (let i = this.#first; i < last; i += 1) row.append(this.#cellOf(depth, i));
      rows.push(row);
    }
    this.#table.tHead?.replaceChildren(head);
    this.#table.tBodies[0]?.replaceChildren(...rows);
    const words = last - this.#first < width ? `Tokens ${this.#first + 1} to ${last} of ${width}.` : "";
    element("lens-grid-part").textContent = words;
  }

  #cellOf(depth: number, at: number): HTMLTableCellElement {
    const { best, rank } = this.#cell(depth, at);
    const [id, logprob] = best[0] ?? [0, -Infinity];
    const probability = Math.exp(logprob);
    const made = document.createElement("td");
    made.dataset["depth"] = String(depth);
    made.dataset["at"] = String(at);
    made.tabIndex = -1;
    made.textContent = visible(this.#word(id));
    made.style.background = colourOf(probability);
    const words = `${quoted(this.#word(id))}, ${percent(probability)}; the final token has rank ${rank}`;
    made.title = words;
    made.setAttribute("aria-label", words);
    return made;
  }

  #choose(depth: number, at: number, focus: boolean): void {
    this.#depth = depth;
    if (at !== this.lens.position) this.lens.position = at;
    this.#mark();
    if (this.#text) this.#tell(this.#text);
    if (focus) this.#chosen()?.focus();
  }

  #chosen(): HTMLElement | null {
    return this.#table.querySelector(`td[data-depth="${this.#depth}"][data-at="${this.lens.position}"]`);
  }

  #mark(): void {
    for (const cell of this.#table.querySelectorAll<HTMLElement>("td[aria-selected]")) {
      cell.removeAttribute("aria-selected");
      cell.tabIndex = -1;
    }
    const chosen = this.#chosen();
    if (!chosen) return;
    chosen.setAttribute("aria-selected", "true");
    chosen.tabIndex = 0;
    chosen.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #key(event: KeyboardEvent): void {
    const text = this.#text;
    if (!text || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = text.tokens.length - 1;
    const deepest = (this.#grid?.depths ?? 1) - 1;
    let [depth, at] = [this.#depth, this.lens.position];
    if (event.key === "ArrowUp") depth = Math.min(deepest, depth + 1);
    else if (event.key === "ArrowDown") depth = Math.max(0, depth - 1);
    else if (event.key === "ArrowLeft") at = Math.max(0, at - 1);
    else if (event.key === "ArrowRight") at = Math.min(last, at + 1);
    else if (event.key === "Home") at = 0;
    else if (event.key === "End") at = last;
    else return;
    event.preventDefault();
    this.#choose(depth, at, true);
  }

  /** The chosen cell, and the way of the final token from depth to depth. */
  #tell(text: LensText): void {
    const at = this.lens.position;
    const cell = this.#cell(this.#depth, at);
    const depths = this.#grid?.depths ?? 1;
    const target = this.#cell(depths - 1, at).best[0]?.[0] ?? 0;
    const after = quoted(text.tokens[at]?.text ?? "");
    element("lens-cell-title").textContent = `${place(this.#depth)}, after ${after}`;
    const entropy = bitWords(natsToBits(cell.entropy));
    element("lens-cell-words").textContent = `Entropy ${entropy}; ${quoted(this.#word(target))} has rank ${cell.rank}.`;
    const bars = cell.best.map(([id, logprob]) => ({
      label: quoted(this.#word(id)), share: Math.exp(logprob), words: percent(Math.exp(logprob)),
      current: id === target,
    }));
    const heads = ["token", "probability"] as const;
    element("lens-cell").replaceChildren(barTable({ caption: "The most likely tokens there", heads, bars }));
    element("lens-way-title").textContent = `How ${quoted(this.#word(target))} developed`;
    const chances = Array.from({ length: depths }, (_, depth) => Math.exp(this.#cell(depth, at).logprob));
    const most = Math.max(...chances, 1e-30);
    const way = Array.from({ length: depths }, (_, i) => {
      const depth = depths - 1 - i;
      const { logprob, rank } = this.#cell(depth, at);
      return {
        label: place(depth), share: Math.exp(logprob) / most, words: `${brief(Math.exp(logprob))} · rank ${rank}`,
        current: depth === this.#depth, choose: () => this.#choose(depth, at, false),
      };
    });
    const table = barTable({ caption: "Its probability and rank at each depth", heads: ["depth", "probability and rank"], bars: way });
    table.classList.add("ranked");
    element("lens-way").replaceChildren(table);
    this.lens.levels = text.tokens.map((_, i) => Math.exp(this.#cell(this.#depth, i).best[0]?.[1] ?? -Infinity));
  }
}

function headOf(scope: "row" | "col", text: string): HTMLTableCellElement {
  const made = document.createElement("th");
  made.scope = scope;
  made.textContent = scope === "col" ? visible(text) : text;
  if (scope === "col" && text) made.title = quoted(text);
  return made;
}

/** A depth in the narrow column: the block that it is after. */
function nameOf(depth: number): string {
  return depth === 0 ? "in" : String(depth - 1);
}

function place(depth: number): string {
  return depth === 0 ? "Embedding" : `After block ${depth - 1}`;
}

/** A probability that has little room. */
function brief(probability: number): string {
  return probability < 1e-5 ? "< 0.001 %" : percent(probability);
}

function visible(text: string): string {
  return text.replaceAll("\n", "↵").trim() || (text ? "␣" : "◌");
}

export function mount(root: HTMLElement, lens: LensView): void {
  new Logits(root, lens);
}
