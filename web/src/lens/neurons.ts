/** Neurons: which of a layer are active, where in the text one is, and what it writes to the output. */

import type { Named, NeuronWrites } from "../protocol/lens";
import { byId } from "../ui/dom";
import { count } from "../ui/format";
import { quoted } from "../ui/tokens";
import { signedTable } from "./signed";
import { Pane } from "./state";
import type { LensText, LensView } from "./state";

/** Rows of each list. */
const LISTED = 12;

const element = (id: string): HTMLElement => byId(id, HTMLElement);

class Neurons extends Pane {
  readonly #layer = byId("lens-neuron-layer", HTMLSelectElement);
  readonly #by = byId("lens-neuron-by", HTMLSelectElement);
  readonly #number = byId("lens-neuron", HTMLInputElement);
  #text: LensText | null = null;
  #of = -1;
  /** [pos, neuron]. */
  #values = new Float32Array();
  /** The neuron whose writing is shown. */
  #written = "";

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "neurons");
    this.#layer.addEventListener("change", () => lens.go({ layer: Number(this.#layer.value) }));
    this.#by.addEventListener("change", () => this.follow());
    this.#number.addEventListener("change", () => {
      lens.go({ neuron: Math.trunc(Number(this.#number.value)) || 0 });
      this.#number.value = String(lens.place.neuron);
    });
    this.follow();
  }

  protected async show(text: LensText): Promise<void> {
    const { layer } = this.lens.place;
    this.#offer(text, layer);
    if (text !== this.#text || layer !== this.#of) {
      if (!this.lens.permits("neurons")) return;
      const numbers = await this.lens.ask((engine) => engine.lens.neurons(text.look, layer));
      if (!numbers || text !== this.lens.text || layer !== this.lens.place.layer) return;
      this.#values = new Float32Array(numbers);
      const first = this.#text === null && this.lens.place.neuron === 0;
      this.#text = text;
      this.#of = layer;
      // Nobody has chosen one: the most active is worth a look.
      if (first) this.lens.go({ neuron: this.#strongest(text)[0] ?? 0 });
    }
    this.#list(text);
    this.#where(text);
    await this.#writes(text);
  }

  #offer(text: LensText, layer: number): void {
    if (this.#layer.options.length !== text.layers) {
      const options = Array.from({ length: text.layers }, (_, i) => new Option(`Layer ${i}`, String(i)));
      this.#layer.replaceChildren(...options);
    }
    this.#layer.value = String(layer);
    this.#number.max = String(text.hidden - 1);
    this.#number.value = String(this.lens.place.neuron);
  }

  /** How active a neuron is by the visitor's measure. */
  #strength(text: LensText, neuron: number): number {
    if (this.#by.value === "here") return this.#value(text, this.lens.position, neuron);
    let most = 0;
    for (let at = 0; at < text.tokens.length; at += 1) {
      const value = this.#value(text, at, neuron);
      if (Math.abs(value) > Math.abs(most)) most = value;
    }
    return most;
  }

  #value(text: LensText, at: number, neuron: number): number {
    return this.#values[at * text.hidden + neuron] ?? 0;
  }

  /** The most active ones, these first. */
  #strongest(text: LensText): number[] {
    const strengths = Float32Array.from({ length: text.hidden }, (_, i) => this.#strength(text, i));
    const order = [...strengths.keys()];
    order.sort((a, b) => Math.abs(strengths[b] ?? 0) - Math.abs(strengths[a] ?? 0));
    return order.slice(0, LISTED);
  }

  #list(text: LensText): void {
    const { neuron } = this.lens.place;
    const bars = this.#strongest(text).map((one) => {
      const value = this.#strength(text, one);
      return {
        label: `Neuron ${one}`, value, words: value.toFixed(2), current: one === neuron,
        choose: () => this.lens.go({ neuron: one }),
      };
    });
    element("lens-neurons-words").textContent = `The most active of ${count(text.hidden)}.`;
    const heads = ["neuron", "activation"] as const;
    element("lens-neurons-list").replaceChildren(signedTable({ caption: "The most active neurons", heads, bars }));
  }

  /** Where in the text it is most active; the text is shaded by it. */
  #where(text: LensText): void {
    const { layer, neuron } = this.lens.place;
    element("lens-neuron-title").textContent = `Layer ${layer}, neuron ${neuron}`;
    const values = text.tokens.map((_, at) => this.#value(text, at, neuron));
    const most = Math.max(...values.map(Math.abs), 1e-30);
    const order = values.map((value, at) => [value, at] as const);
    order.sort(([a], [b]) => Math.abs(b) - Math.abs(a));
    const bars = order.slice(0, LISTED).map(([value, at]) => ({
      label: `${at + 1} ${quoted(text.tokens[at]?.text ?? "")}`, value, words: value.toFixed(2),
      current: at === this.lens.position, choose: () => (this.lens.position = at),
    }));
    const heads = ["token", "activation"] as const;
    element("lens-excites").replaceChildren(signedTable({ caption: "The tokens that activate it most", heads, bars }));
    this.lens.levels = values.map((value) => Math.abs(value) / most);
  }

  async #writes(text: LensText): Promise<void> {
    const { layer, neuron } = this.lens.place;
    const wanted = `${text.look} ${layer} ${neuron}`;
    if (wanted === this.#written) return;
    this.#written = wanted;
    const found = await this.lens.ask((engine) => engine.lens.writes(text.look, layer, neuron));
    if (found && wanted === this.#written) showWrites(found);
  }
}

function showWrites({ promoted, suppressed }: NeuronWrites): void {
  const most = Math.max(...[...promoted, ...suppressed].map(([, , value]) => Math.abs(value)), 1e-30);
  const table = (caption: string, rows: readonly Named[]): HTMLTableElement =>
    signedTable({
      caption, heads: ["token", "change"], most,
      bars: rows.map(([, text, value]) => ({ label: quoted(text), value, words: value.toFixed(2) })),
    });
  element("lens-promotes").replaceChildren(table("The tokens that it makes more likely", promoted));
  element("lens-suppresses").replaceChildren(table("The tokens that it makes less likely", suppressed));
}

export function mount(root: HTMLElement, lens: LensView): void {
  new Neurons(root, lens);
}
