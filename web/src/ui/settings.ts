/** The sampling controls. The template holds their names, ranges and defaults. */

import type { SamplingOptions } from "../thimble";

export type SettingName =
  | "temperature" | "top_k" | "top_p" | "min_p" | "repetition_penalty" | "max_tokens" | "seed";
export type Settings = Readonly<Partial<Record<SettingName, number>>>;

const SHORT: Partial<Record<SettingName, string>> = {
  seed: "seed",
  temperature: "temperature",
  top_k: "top-k",
  top_p: "top-p",
  min_p: "min-p",
  repetition_penalty: "penalty",
};
/** What leaves the distribution alone need not be told. */
const NEUTRAL: Settings = { top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1 };
const LARGEST_SEED = 0xffff_ffff;

export class SettingControls {
  readonly #inputs = new Map<SettingName, HTMLInputElement>();
  readonly #sliders = new Map<SettingName, HTMLInputElement>();
  readonly #digest: HTMLElement;

  constructor(root: HTMLElement, digest: HTMLElement) {
    this.#digest = digest;
    for (const input of root.querySelectorAll<HTMLInputElement>("input[data-option]")) {
      this.#inputs.set(input.name as SettingName, input);
      input.addEventListener("input", () => this.#typed(input.name as SettingName));
    }
    for (const slider of root.querySelectorAll<HTMLInputElement>("input[data-for]")) {
      const name = slider.dataset["for"] as SettingName;
      this.#sliders.set(name, slider);
      slider.addEventListener("input", () => this.set(name, slider.valueAsNumber));
    }
    this.#tell();
  }

  /** What the controls say; an emptied one is left to the engine's default. */
  read(): Settings {
    const settings: Partial<Record<SettingName, number>> = {};
    for (const [name, input] of this.#inputs) {
      const value = input.valueAsNumber;
      if (!Number.isNaN(value)) settings[name] = value;
    }
    return settings satisfies SamplingOptions;
  }

  set(name: SettingName, value: number): void {
    const input = this.#inputs.get(name);
    if (!input) return;
    input.value = String(value);
    this.#typed(name);
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
      this.#typed(name);
    }
    return refused;
  }

  roll(): void {
    const [seed = 0] = crypto.getRandomValues(new Uint32Array(1));
    this.set("seed", seed % LARGEST_SEED);
  }

  #typed(name: SettingName): void {
    const slider = this.#sliders.get(name);
    const input = this.#inputs.get(name);
    if (slider && input) slider.value = input.value;
    this.#tell();
  }

  #tell(): void {
    const settings = this.read();
    const words = (Object.keys(SHORT) as SettingName[])
      .filter((name) => settings[name] !== undefined && settings[name] !== NEUTRAL[name])
      .map((name) => `${SHORT[name] ?? name} ${settings[name]}`);
    this.#digest.textContent = words.join(" · ");
  }
}
