/** The sampling controls. The template holds their names, ranges and defaults. */

import { OPTION_FORMS } from "../api/sampling-options";
import type { OptionForm, OptionName } from "../api/sampling-options";
import type { SamplingOptions } from "../thimble";

export type Settings = Readonly<Partial<Record<OptionName, number>>>;

/** What is told also where it is as usual. */
const ALWAYS: readonly OptionName[] = ["seed", "temperature"];
const LARGEST_SEED = 0xffff_ffff;

export class SettingControls {
  readonly #inputs = new Map<OptionName, HTMLInputElement>();
  readonly #sliders = new Map<OptionName, HTMLInputElement>();
  readonly #digest: HTMLElement;
  /** What the visitor or a link has set. */
  readonly #chosen = new Set<OptionName>();

  constructor(root: HTMLElement, digest: HTMLElement) {
    this.#digest = digest;
    for (const input of root.querySelectorAll<HTMLInputElement>("input[data-option]")) {
      this.#inputs.set(input.name as OptionName, input);
      input.addEventListener("input", () => this.#typed(input.name as OptionName, true));
    }
    for (const slider of root.querySelectorAll<HTMLInputElement>("input[data-for]")) {
      const name = slider.dataset["for"] as OptionName;
      this.#sliders.set(name, slider);
      slider.addEventListener("input", () => this.set(name, slider.valueAsNumber));
    }
    this.#tell();
  }

  /** What the controls say. An emptied one, and a further one at its default, is left to the engine. */
  read(): Settings {
    const settings: Partial<Record<OptionName, number>> = {};
    for (const [name, input] of this.#inputs) {
      const value = input.valueAsNumber;
      const form: OptionForm = OPTION_FORMS[name];
      if (!Number.isNaN(value) && !(form.rare && value === form.neutral)) settings[name] = value;
    }
    return settings satisfies SamplingOptions;
  }

  set(name: OptionName, value: number): void {
    const input = this.#inputs.get(name);
    if (!input) return;
    input.value = String(value);
    this.#typed(name, true);
  }

  /** Take a model's values, or else the usual ones, for what nobody has chosen. */
  suggest(values: Readonly<Partial<Record<string, number>>>): void {
    for (const [name, input] of this.#inputs) {
      if (this.#chosen.has(name)) continue;
      input.value = String(values[name] ?? input.defaultValue);
      this.#typed(name);
    }
  }

  /** Take values from a link; the words say what could not be taken. */
  restore(values: ReadonlyMap<string, string>): string[] {
    const refused: string[] = [];
    for (const [name, input] of this.#inputs) {
      const value = values.get(name);
      if (value === undefined) continue;
      const before = input.value;
      input.value = value;
      if (input.value === "" || !input.checkValidity()) {
        refused.push(`${name} ${value} is not from ${input.min} to ${input.max}`);
        input.value = before;
      }
      this.#typed(name, input.value !== before);
    }
    return refused;
  }

  /** Take what stood here once; what is not told goes back to what is usual. */
  take(values: Settings | Readonly<Record<string, number>>): void {
    for (const [name, input] of this.#inputs) {
      const before = input.value;
      const value = (values as Readonly<Record<string, number>>)[name];
      input.value = String(value ?? input.defaultValue);
      if (input.value === "" || !input.checkValidity()) input.value = before;
      this.#typed(name, value !== undefined);
    }
  }

  roll(): void {
    const [seed = 0] = crypto.getRandomValues(new Uint32Array(1));
    this.set("seed", seed % LARGEST_SEED);
  }

  #typed(name: OptionName, chosen = false): void {
    if (chosen) this.#chosen.add(name);
    const slider = this.#sliders.get(name);
    const input = this.#inputs.get(name);
    if (slider && input) slider.value = input.value;
    this.#tell();
  }

  #tell(): void {
    const settings = this.read();
    const words = (Object.keys(OPTION_FORMS) as OptionName[])
      .filter((name) => {
        const { decides, neutral }: OptionForm = OPTION_FORMS[name];
        const value = settings[name];
        return decides && value !== undefined && (value !== neutral || ALWAYS.includes(name));
      })
      .map((name) => `${OPTION_FORMS[name].label.toLowerCase()} ${settings[name]}`);
    this.#digest.textContent = words.join(" · ");
  }
}
