/** Where every head looks: all of them small, one of them large. */

import { barTable } from "../ui/chart";
import { byId } from "../ui/dom";
import { percent } from "../ui/scale";
import { quoted } from "../ui/tokens";
import { onScheme, paint, sequential } from "./heat";
import type { Palette } from "./heat";
import { Pane } from "./state";
import type { LensText, LensView } from "./state";

/** Tokens that are listed of those that a head looks at. */
const LISTED = 8;

/** Heads of a layer from which on there is no room beside them. */
const MANY = 6;

const element = (id: string): HTMLElement => byId(id, HTMLElement);

class Attention extends Pane {
  readonly #large = byId("lens-head", HTMLCanvasElement);
  readonly #body = element("lens-heads").querySelector("tbody") as HTMLTableSectionElement;
  #palette: Palette;
  #text: LensText | null = null;
  /** The first layer whose patterns are here, and these: [layer, head, pos, key]. */
  #first = 0;
  #patterns = new Float32Array();
  /** What the small pictures stand for: layers and heads. */
  #shape = "";
  /** The key under the pointer or the keyboard's mark; null where there is none. */
  #key: number | null = null;
  #over: number | null = null;

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "attention");
    this.#palette = sequential(root);
    onScheme(() => {
      this.#palette = sequential(root);
      if (this.#text) this.#draw(this.#text);
    });
    this.#body.addEventListener("click", (event) => {
      const { layer, head } = (event.target as HTMLElement).closest("button")?.dataset ?? {};
      if (layer) lens.go({ layer: Number(layer), head: Number(head) });
    });
    this.#large.addEventListener("pointermove", (event) => this.#point(event));
    this.#large.addEventListener("pointerleave", () => this.#mark(null, null));
    this.#large.addEventListener("click", (event) => {
      const { row } = this.#under(event);
      lens.position = row;
    });
    this.#large.addEventListener("keydown", (event) => this.#keyDown(event));
    this.follow();
  }

  protected async show(text: LensText): Promise<void> {
    const { layer } = this.lens.place;
    const all = text.bytes.patterns * text.layers < text.most[0];
    const [first, last] = all ? [0, text.layers] : [layer, layer + 1];
    if (text !== this.#text || first !== this.#first) {
      if (!this.lens.permits("patterns", last - first)) return;
      const numbers = await this.lens.ask((engine) => engine.lens.patterns(text.look, first, last));
      if (!numbers || text !== this.lens.text) return;
      this.#patterns = new Float32Array(numbers);
      this.#text = text;
      this.#first = first;
      this.#key = this.#over = null;
      this.#build(text, first, last);
      if (!this.lens.isPlaced) this.lens.go(this.#liveliest(text, first, last));
      this.#drawAll(text);
    }
    this.#choose(text);
  }

  /** A row of pictures for each layer. */
  #build(text: LensText, first: number, last: number): void {
    const shape = `${first} ${last} ${text.heads}`;
    if (shape === this.#shape) return;
    this.#shape = shape;
    const rows: HTMLTableRowElement[] = [];
    for (let layer = first; layer < last; layer += 1) {
      const row = document.createElement("tr");
      const name = document.createElement("th");
      name.scope = "row";
      name.textContent = String(layer);
      name.title = `Layer ${layer}`;
      row.append(name);
      for (let head = 0; head < text.heads; head += 1) row.append(thumbnail(layer, head));
      rows.push(row);
    }
    this.#body.replaceChildren(...rows);
    this.root.querySelector(".attention")?.classList.toggle("many", text.heads > MANY);
  }

  #draw(text: LensText): void {
    this.#drawAll(text);
    this.#drawLarge(text);
  }

  #drawAll(text: LensText): void {
    const width = text.tokens.length;
    for (const button of this.#body.querySelectorAll("button")) {
      const { layer, head } = button.dataset;
      const pattern = this.#pattern(text, Number(layer), Number(head));
      paint(button.firstElementChild as HTMLCanvasElement, pattern, width, this.#palette);
    }
  }

  /** Of one head: [pos, key]. */
  #pattern(text: LensText, layer: number, head: number): Float32Array {
    const size = text.tokens.length ** 2;
    const at = ((layer - this.#first) * text.heads + head) * size;
    return this.#patterns.subarray(at, at + size);
  }

  /** Nobody has chosen a head: the one that looks hardest from the token at one further back, but for
   * the first, where heads look that find nothing. */
  #liveliest(text: LensText, first: number, last: number): { layer: number; head: number } {
    const at = this.lens.position;
    const width = text.tokens.length;
    let most = 0;
    let found = { layer: first, head: 0 };
    for (let layer = first; layer < last; layer += 1) {
      for (let head = 0; head < text.heads; head += 1) {
        const others = this.#pattern(text, layer, head).subarray(at * width + 1, at * width + Math.max(1, at - 1));
        const value = Math.max(0, ...others);
        if (value > most) [most, found] = [value, { layer, head }];
      }
    }
    return found;
  }

  /** Another head, or another token. */
  #choose(text: LensText): void {
    const { layer, head } = this.lens.place;
    for (const button of this.#body.querySelectorAll("button")) {
      const chosen = button.dataset["layer"] === String(layer) && button.dataset["head"] === String(head);
      button.setAttribute("aria-pressed", String(chosen));
    }
    element("lens-head-title").textContent = `Layer ${layer}, head ${head}`;
    this.#drawLarge(text);
    this.#list(text);
  }

  #drawLarge(text: LensText): void {
    const { layer, head } = this.lens.place;
    const width = text.tokens.length;
    paint(this.#large, this.#pattern(text, layer, head), width, this.#palette);
    this.#large.style.aspectRatio = "1";
    const at = this.#over ?? this.lens.position;
    const words = `Layer ${layer}, head ${head}: where each of ${width} tokens attends. ${this.#pair(text, at, this.#key)}`;
    this.#large.setAttribute("aria-label", words);
    this.#outline(width, at);
  }

  /** A frame around the row that is looked at, and the place in it. */
  #outline(width: number, row: number): void {
    const share = (part: number): string => `${((100 * part) / width).toFixed(3)}%`;
    const frame = this.root.querySelector<HTMLElement>(".pattern-row");
    const spot = this.root.querySelector<HTMLElement>(".pattern-spot");
    if (!frame || !spot) return;
    frame.style.top = share(row);
    frame.style.height = spot.style.height = spot.style.width = share(1);
    spot.hidden = this.#key === null;
    spot.style.top = share(row);
    spot.style.left = share(this.#key ?? 0);
  }

  /** Where the head looks from the token, the most looked at first; the text is shaded by it. */
  #list(text: LensText): void {
    const at = this.lens.position;
    const row = this.#row(text, at);
    const order = [...row.keys()].sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0));
    element("lens-looks-title").textContent = `${quoted(text.tokens[at]?.text ?? "")} attends to`;
    const bars = order.slice(0, LISTED).map((key) => ({
      label: `${key + 1} ${named(text, key)}`,
      share: row[key] ?? 0,
      words: percent(row[key] ?? 0),
    }));
    const heads = ["token", "attention"] as const;
    element("lens-looks").replaceChildren(barTable({ caption: "The tokens with the most attention", heads, bars }));
    this.lens.levels = Array.from(text.tokens, (_, key) => row[key] ?? 0);
    element("lens-pair").textContent = this.#pair(text, at, this.#key);
  }

  /** How much the chosen head looks from one token at each that came before, and at itself. */
  #row(text: LensText, at: number): Float32Array {
    const { layer, head } = this.lens.place;
    const width = text.tokens.length;
    return this.#pattern(text, layer, head).subarray(at * width, at * width + at + 1);
  }

  #pair(text: LensText, at: number, key: number | null): string {
    if (key === null) return "Point at the picture, or use the arrow keys.";
    const from = `${at + 1} ${named(text, at)}`;
    if (key > at) return `From ${from} the head cannot see ${key + 1} ${named(text, key)}: it comes later.`;
    const value = this.#row(text, at)[key] ?? 0;
    return `From ${from} to ${key + 1} ${named(text, key)}: ${value.toFixed(3)}`;
  }

  #under(event: MouseEvent): { row: number; key: number } {
    const width = this.#text?.tokens.length ?? 1;
    const { left, top, width: wide, height: high } = this.#large.getBoundingClientRect();
    const part = (offset: number, size: number): number =>
      Math.min(width - 1, Math.max(0, Math.floor((offset / size) * width)));
    return { row: part(event.clientY - top, high), key: part(event.clientX - left, wide) };
  }

  #point(event: PointerEvent): void {
    const { row, key } = this.#under(event);
    this.#mark(row, key);
  }

  #mark(row: number | null, key: number | null): void {
    if (!this.#text || (row === this.#over && key === this.#key)) return;
    this.#over = row;
    this.#key = key;
    const at = row ?? this.lens.position;
    this.#outline(this.#text.tokens.length, at);
    element("lens-pair").textContent = this.#pair(this.#text, at, key);
  }

  /** Up and down choose the token that looks, left and right the one that is looked at. */
  #keyDown(event: KeyboardEvent): void {
    const text = this.#text;
    if (!text || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = text.tokens.length - 1;
    const at = this.lens.position;
    const key = this.#key ?? at;
    const within = (value: number): number => Math.min(last, Math.max(0, value));
    if (event.key === "ArrowLeft") this.#mark(null, within(key - 1));
    else if (event.key === "ArrowRight") this.#mark(null, within(key + 1));
    else if (event.key === "ArrowUp") this.lens.position = within(at - 1);
    else if (event.key === "ArrowDown") this.lens.position = within(at + 1);
    else if (event.key === "Home") this.#mark(null, 0);
    else if (event.key === "End") this.#mark(null, at);
    else return;
    event.preventDefault();
  }
}

function named(text: LensText, at: number): string {
  return quoted(text.tokens[at]?.text ?? "");
}

function thumbnail(layer: number, head: number): HTMLTableCellElement {
  const cell = document.createElement("td");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "thumbnail";
  button.dataset["layer"] = String(layer);
  button.dataset["head"] = String(head);
  button.setAttribute("aria-label", `Layer ${layer}, head ${head}`);
  button.title = `Layer ${layer}, head ${head}`;
  button.append(document.createElement("canvas"));
  cell.append(button);
  return cell;
}

export function mount(root: HTMLElement, lens: LensView): void {
  new Attention(root, lens);
}
