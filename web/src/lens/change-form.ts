/** The fields that a new change is made from. */

import { byId } from "../ui/dom";
import { PLAIN } from "./change-code";
import type { Change, Kind, Way } from "./change-code";
import type { LensView } from "./state";

const HINTS: Readonly<Record<Kind, string>> = {
  head: "The output of one attention head.",
  mlp: "The output of one layer’s MLP.",
  attention: "The output of all heads of one layer.",
  neuron: "One neuron of an MLP.",
  steer: "Adds the difference between two texts, at their last tokens, to the residual stream before a layer, scaled by a factor.",
  patch: "Replaces values with those of another text, token by token. Without a head: the whole input of the layer.",
};

const input = (id: string): HTMLInputElement => byId(id, HTMLInputElement);
const element = (id: string): HTMLElement => byId(id, HTMLElement);

export class Adding {
  readonly #lens: LensView;
  readonly #kind = byId("change-kind", HTMLSelectElement);
  readonly #how = byId("change-how", HTMLSelectElement);
  readonly #unit = input("change-unit");
  readonly #layer = input("change-layer");
  readonly #factor = input("change-factor");

  constructor(lens: LensView, add: (change: Change) => void) {
    this.#lens = lens;
    this.#kind.addEventListener("change", () => this.#show());
    this.#how.addEventListener("change", () => this.#show());
    byId("change-add", HTMLButtonElement).addEventListener("click", () => add(this.#read()));
    element("change-new").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target instanceof HTMLInputElement) add(this.#read());
    });
    // What is looked at in another view is what one would change.
    lens.addEventListener("place", () => this.#follow());
    lens.addEventListener("text", () => this.#limit());
    this.#follow();
    this.#limit();
    this.#show();
  }

  #follow(): void {
    const { layer, head, neuron } = this.#lens.place;
    this.#layer.valueAsNumber = layer;
    this.#unit.valueAsNumber = this.#kind.value === "neuron" ? neuron : head;
  }

  #limit(): void {
    const { text } = this.#lens;
    if (!text) return;
    this.#layer.max = String(text.layers - 1);
    this.#unit.max = String((this.#kind.value === "neuron" ? text.hidden : text.heads) - 1);
  }

  #show(): void {
    const kind = this.#kind.value as Kind;
    const texts = kind === "steer" || kind === "patch";
    element("change-texts").hidden = !texts;
    element("change-away-label").hidden = kind !== "steer";
    element("change-towards-name").textContent = kind === "patch" ? "The other text" : "Towards";
    element("change-unit-label").hidden = kind !== "head" && kind !== "neuron" && kind !== "patch";
    element("change-unit-name").textContent = kind === "neuron" ? "Neuron" : "Head";
    this.#how.hidden = texts;
    const named = kind === "steer";
    element("change-factor-label").hidden = !named && (texts || this.#how.value !== "scale");
    element("change-factor-name").textContent = named ? "Strength" : "Factor";
    element("change-factor-name").classList.toggle("visually-hidden", !named);
    element("change-hint").textContent = HINTS[kind];
    this.#limit();
  }

  /** As it is said; what the model does not have, the worker refuses in words. */
  #read(): Change {
    const kind = this.#kind.value as Kind;
    const whole = ({ valueAsNumber: value }: HTMLInputElement): number => (Number.isNaN(value) ? -1 : value);
    const single = kind === "head" || kind === "neuron";
    const patched = kind === "patch" && !Number.isNaN(this.#unit.valueAsNumber);
    const texts = kind === "steer" || kind === "patch";
    const how: Way = texts ? "zero" : (this.#how.value as Way);
    const turned = kind === "steer" || how === "scale";
    return {
      ...PLAIN,
      kind,
      layer: whole(this.#layer),
      unit: single || patched ? whole(this.#unit) : null,
      how,
      factor: turned ? this.#factor.valueAsNumber || 0 : 1,
      towards: texts ? input("change-towards").value : "",
      away: kind === "steer" ? input("change-away").value : "",
    };
  }
}
