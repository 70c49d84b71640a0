/** The form of the Write panel once more: prompt and settings are the same in both places. */

import type { Constraint } from "../api/options";
import { showConstraint } from "../ui/constraint";
import { byId } from "../ui/dom";

type Field = HTMLInputElement | HTMLTextAreaElement;

export class Mirror {
  readonly #pairs: readonly (readonly [here: Field, there: Field])[];

  /** Fields below `root` whose `data-mirror` is the id of the field that they show. */
  constructor(root: HTMLElement, changed: (name: string) => void) {
    const fields = [...root.querySelectorAll<Field>("[data-mirror]")];
    this.#pairs = fields.map((here) => {
      const name = here.dataset["mirror"] ?? "";
      const there = document.getElementById(name) as Field;
      here.addEventListener("input", () => {
        there.value = here.value;
        there.dispatchEvent(new Event("input"));
      });
      here.addEventListener("change", () => changed(name));
      return [here, there] as const;
    });
  }

  /** Show what the other form says now. */
  read(): void {
    for (const [here, there] of this.#pairs) here.value = there.value;
    byId("step-constraint", HTMLElement).textContent = byId("constraint-digest", HTMLElement).textContent;
  }

  /** Let the other form ask for this constraint; null for any text. */
  constrain(constraint: Constraint | null): void {
    showConstraint(constraint);
    this.read();
  }

  /** Let both say this. */
  write(values: Readonly<Record<string, string | number>>): void {
    for (const [name, value] of Object.entries(values)) {
      const there = byId(name, HTMLElement) as Field;
      there.value = String(value);
      there.dispatchEvent(new Event("input"));
    }
    this.read();
  }
}
