/** The plan of a run: the dial, the recipe behind it, and what both come to on this machine. */

import type { CheckedRecipe, TrainSize } from "../protocol/train";
import { byId } from "../ui/dom";
import { count } from "../ui/format";
import { complaint } from "./host";
import type { TrainingHost } from "./host";
import type { Lesson } from "./texts";

/** A dial that still turns is not measured. */
const QUIET_MS = 500;

export class Plan {
  readonly #host: TrainingHost;
  readonly #busy: () => boolean;
  readonly #dial = byId("train-size", HTMLInputElement);
  readonly #name = byId("train-size-name", HTMLElement);
  readonly #words = byId("train-size-words", HTMLElement);
  readonly #text = byId("train-recipe-text", HTMLTextAreaElement);
  readonly #digest = byId("train-recipe-digest", HTMLElement);
  #sizes: readonly TrainSize[] = [];
  #lesson: Lesson;
  #timer = 0;
  /** Counts what the visitor changed, so that an answer to an earlier question is let go. */
  #asked = 0;
  /** Seconds of a step, by everything that it depends on. */
  readonly #measured = new Map<string, number>();

  constructor(host: TrainingHost, lesson: Lesson, busy: () => boolean) {
    this.#host = host;
    this.#lesson = lesson;
    this.#busy = busy;
    this.#dial.addEventListener("input", () => this.#turned());
    this.#text.addEventListener("input", () => this.#ask());
  }

  /** Fetch the dial's positions, which starts the worker. */
  async start(): Promise<void> {
    this.#words.textContent = "Starting Python for training …";
    this.#sizes = await this.#host.ask((engine) => engine.train.sizes());
    this.#dial.max = String(this.#sizes.length - 1);
    this.learn(this.#lesson);
  }

  /** The recipe, as JSON. */
  get recipe(): string {
    return this.#text.value;
  }

  /** Another text: its recipe, with the dial where the text is learned best. */
  learn(lesson: Lesson): void {
    const another = lesson.name !== this.#lesson.name || !this.#text.value;
    this.#lesson = lesson;
    if (!this.#sizes.length) return;
    if (another) {
      const { size } = lesson.recipe;
      const at = this.#sizes.findIndex((one) => one.size === size);
      if (at >= 0) this.#dial.value = String(at);
      this.#write({ title: titleOf(lesson), ...lesson.recipe, size: this.#size.size });
    } else {
      const recipe = this.#parsed();
      if (recipe) this.#write({ ...recipe, ...lesson.recipe });
    }
    this.#ask();
  }

  get #size(): TrainSize {
    return this.#sizes[this.#dial.valueAsNumber] as TrainSize;
  }

  #turned(): void {
    if (!this.#sizes.length) return;
    this.#write({ ...(this.#parsed() ?? this.#lesson.recipe), size: this.#size.size });
    this.#name.textContent = `${count(this.#size.parameters)} parameters`;
    this.#ask();
  }

  #write(recipe: object): void {
    this.#text.value = JSON.stringify(recipe, null, 1);
  }

  #parsed(): object | null {
    try {
      const recipe = JSON.parse(this.#text.value) as unknown;
      return typeof recipe === "object" && recipe !== null ? recipe : null;
    } catch {
      return null;
    }
  }

  /** Time a step, if that has been put off because the worker was at work. */
  refresh(): void {
    if (this.#sizes.length) this.#ask();
  }

  /** Ask what the recipe comes to, when the visitor has stopped changing it. */
  #ask(): void {
    const asked = (this.#asked += 1);
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#tell(asked), QUIET_MS);
  }

  async #tell(asked: number): Promise<void> {
    const recipe = this.#text.value;
    try {
      const checked = await this.#host.ask((engine) => engine.train.check(recipe));
      if (asked !== this.#asked) return;
      const known = this.#measured.get(keyOf(checked));
      this.#show(checked, known);
      const text = await this.#lesson.text();
      if (known !== undefined || asked !== this.#asked || this.#busy() || !text) return;
      this.#show(checked, null);
      const seconds = await this.#host.ask((engine) => engine.train.measure(recipe, text));
      this.#measured.set(keyOf(checked), seconds);
      if (asked === this.#asked) this.#show(checked, seconds);
    } catch (error) {
      if (asked === this.#asked) this.#words.textContent = complaint(error);
    }
  }

  /** `seconds` of a step; null while that is being found out. */
  #show({ recipe, parameters }: CheckedRecipe, seconds: number | null | undefined): void {
    this.#name.textContent = `${count(parameters)} parameters`;
    this.#digest.textContent = `${count(recipe.steps)} steps, seed ${String(recipe["seed"])}`;
    const shape = `${String(recipe["n_layers"])} layers, ${String(recipe["dim"])} wide`;
    const time = typeof seconds === "number" ? `, about ${duration(seconds * recipe.steps)} here` : "";
    const timing = seconds === null ? ", timing one …" : time;
    this.#words.textContent = `${shape}; ${count(recipe.steps)} steps${timing}`;
    this.#dial.setAttribute("aria-valuetext", `${count(parameters)} parameters`);
  }
}

/** What the time of a step depends on. */
function keyOf({ recipe, parameters }: CheckedRecipe): string {
  const names = ["context", "micro_tokens", "micro_batches", "optimizer", "quantize", "n_layers"];
  return [parameters, ...names.map((name) => recipe[name])].join(" ");
}

function titleOf(lesson: Lesson): string {
  return lesson.name === "own" ? "Thimble, own text" : `Thimble ${lesson.title}`;
}

/** "40 s", "3 min". */
export function duration(seconds: number): string {
  if (seconds < 99.5) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
