/** The list of breakpoints, and the form that sets one. */

import type { StepView, StopKind, StopRow } from "../protocol/step";
import { byId } from "../ui/dom";
import { natsToBits, percent } from "../ui/scale";
import { quoted } from "../ui/tokens";
import { make, quietButton } from "./elements";
import type { Stepper } from "./stepper";

/** What the field beside the kind asks for, and an example of it. */
const ASKED: Record<StopKind, readonly [label: string, placeholder: string, type: string]> = {
  text: ["Text", "happy", "text"],
  token: ["Token, by its text or its id", " the", "text"],
  entropy: ["Bits", "4", "number"],
  probability: ["Percent", "1", "number"],
  position: ["Tokens, the prompt's included", "40", "number"],
};

export class Stops {
  readonly #stepper: Stepper;
  readonly #list = byId("step-stops", HTMLElement);
  readonly #form = byId("step-stop-form", HTMLFormElement);
  readonly #kind = byId("step-stop-kind", HTMLSelectElement);
  readonly #value = byId("step-stop-value", HTMLInputElement);
  readonly #label = byId("step-stop-label", HTMLElement);
  #shown = "";

  constructor(stepper: Stepper) {
    this.#stepper = stepper;
    this.#kind.addEventListener("change", () => this.#asked());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#add();
    });
    this.#asked();
  }

  show(view: StepView | null): void {
    const key = JSON.stringify([view?.breakpoints, view?.hit]);
    if (key === this.#shown) return;
    this.#shown = key;
    const rows = view?.breakpoints ?? [];
    this.#list.replaceChildren(...rows.map((row) => this.#row(row, row[0] === view?.hit)));
  }

  #asked(): void {
    const [label, placeholder, type] = ASKED[this.#kind.value as StopKind];
    this.#label.textContent = label;
    this.#value.placeholder = placeholder;
    this.#value.type = type;
    this.#value.step = "any";
    this.#value.value = "";
  }

  async #add(): Promise<void> {
    const kind = this.#kind.value as StopKind;
    const value = JSON.stringify(asWorkerTakes(kind, this.#value.value));
    await this.#stepper.move((a) => a.engine.step.stopAt(a.session, a.known, kind, value));
    if (!this.#stepper.error) this.#value.value = "";
  }

  #row(row: StopRow, hit: boolean): HTMLElement {
    const [number, , , on] = row;
    const words = describe(row);
    const box = make("input");
    box.type = "checkbox";
    box.checked = on;
    box.addEventListener("change", () => {
      const { checked } = box;
      void this.#stepper.move((a) =>
        a.engine.step.switchStop(a.session, a.known, number, checked),
      );
    });
    const remove = (): void =>
      void this.#stepper.move((a) => a.engine.step.dropStop(a.session, a.known, number));
    const label = make("label", "", box, make("span", "", words));
    const item = make("li", hit ? "hit" : "", label, quietButton("Remove", remove, `Remove: ${words}`));
    if (hit) item.setAttribute("aria-current", "true");
    return item;
  }
}

/** Bits are nats there, and percent a probability; numbers for a token are its id. */
function asWorkerTakes(kind: StopKind, typed: string): string | number | null {
  if (kind === "text") return typed;
  if (kind === "token") return /^\d+$/.test(typed.trim()) ? Number(typed) : typed;
  if (typed.trim() === "") return null;
  if (kind === "entropy") return Number(typed) * Math.LN2;
  return kind === "probability" ? Number(typed) / 100 : Number(typed);
}

export function describe([, kind, value, , text]: StopRow): string {
  if (kind === "text") return `The text reaches ${quoted(String(value))}`;
  if (kind === "token") return `The token is ${quoted(text)}, id ${value}`;
  if (kind === "entropy") return `The entropy is above ${natsToBits(Number(value)).toFixed(2)} bits`;
  if (kind === "probability") return `The token's probability is below ${percent(Number(value))}`;
  return `The number of tokens is ${value}`;
}
