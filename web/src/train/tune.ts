/** Going on from the loaded model: what may change, and where the model's file is. */

import type { Build } from "../api/build";
import type { LiveSession } from "../live";
import type { ModelSource } from "../protocol";
import type { TrainOrder } from "../protocol/train";
import { byId } from "../ui/dom";
import { megabytes, sentence } from "../ui/format";
import { complaint } from "./host";
import { duration } from "./plan";
import { sourceOf } from "./source";
import type { Lesson } from "./texts";

/** Ranks of an adapter: enough for a manner of speaking, and a file of some hundred kilobytes. */
const RANK = 8;
/** Rows are shorter where a text is: below so many characters, so many tokens. */
const CONTEXTS = [[3_000, 64], [12_000, 128]] as const;
/** Of a sample, in tokens: it is written again and again. */
const SAMPLE = 80;
const OPENING = "Once upon a time";
/** A recipe that is still being written is not asked about. */
const QUIET_MS = 400;

export class Tuning extends EventTarget {
  readonly #live: LiveSession;
  readonly #build: Build;
  readonly #ways = [...document.querySelectorAll<HTMLInputElement>("input[name=train-way]")];
  readonly #what = [...document.querySelectorAll<HTMLInputElement>("input[name=tune-what]")];
  readonly #text = byId("tune-recipe-text", HTMLTextAreaElement);
  /** Whether the visitor wrote the recipe: it is then left alone. */
  #own = false;
  #lesson: Lesson;
  /** Why the loaded model cannot learn so; empty where it can. */
  #refused = "";
  /** The model that was open when it was last looked. */
  #open = "";
  #timer = 0;
  /** Counts questions about the cost, so that an answer to an earlier one is let go. */
  #asked = 0;

  /** "change" says that the visitor chose another way. */
  constructor(live: LiveSession, build: Build, lesson: Lesson) {
    super();
    this.#live = live;
    this.#build = build;
    this.#lesson = lesson;
    for (const radio of this.#ways) radio.addEventListener("change", () => this.#turn());
    for (const radio of this.#what) {
      radio.addEventListener("change", () => {
        this.#own = false;
        this.learn(this.#lesson);
      });
    }
    this.#text.addEventListener("input", () => {
      this.#own = true;
      this.#price();
    });
    live.addEventListener("state", () => this.#name());
    this.#turn();
    this.#name();
    this.learn(lesson);
  }

  /** Whether the visitor wants to go on from the loaded model. */
  get chosen(): boolean {
    return this.#ways.some((radio) => radio.checked && radio.value === "tune");
  }

  /** Another text: the recipe follows, unless the visitor wrote it. */
  learn(lesson: Lesson): void {
    this.#lesson = lesson;
    if (this.#own) return;
    void lesson.text().then(
      (text) => {
        if (lesson === this.#lesson && !this.#own) this.#write(lesson, text);
      },
      () => undefined, // told when it is wanted
    );
  }

  /** The order to learn this text. */
  order(lesson: Lesson, text: string): Extract<TrainOrder, { kind: "tune" }> {
    const base = this.source(this.#live.model);
    if (!base) throw new Error("No model is loaded yet: wait for it, or choose one in Write.");
    if (this.#refused) throw new Error(this.#refused);
    const many = lesson.prompts.length > 1;
    const start = this.#live.draft().prompt.trim() || OPENING;
    const prompts = many ? lesson.prompts : [start];
    const title = `${this.title(base.name)}, fine-tuned on ${lesson.title.toLowerCase()}`;
    const about = { text: lesson.name, title, prompts, base: base.name };
    const sampling = JSON.stringify({ prompts, tokens: many ? lesson.tokens : SAMPLE });
    return { kind: "tune", base, recipe: this.#text.value, text, sampling, about };
  }

  /** Where the file of a model is, by the page's name of it; null where it is not here. */
  source(name: string): ModelSource | null {
    return sourceOf(this.#live, this.#build, name);
  }

  /** What a visitor calls a model. */
  title(name: string): string {
    return this.#build.model(name)?.title ?? name;
  }

  #turn(): void {
    const { chosen } = this;
    byId("tune", HTMLElement).hidden = !chosen;
    byId("train-dial", HTMLElement).hidden = chosen;
    byId("train-recipe", HTMLElement).hidden = chosen;
    this.dispatchEvent(new Event("change"));
    this.#price();
  }

  #name(): void {
    const { model } = this.#live;
    byId("tune-model", HTMLElement).textContent = model ? this.title(model) : "The current model";
    const open = this.#live.isOpen ? model : "";
    if (open === this.#open) return;
    this.#open = open;
    this.#price();
  }

  /** Tell what the recipe will take with the loaded model, or why it cannot be. */
  #price(): void {
    const asked = (this.#asked += 1);
    clearTimeout(this.#timer);
    this.#refused = "";
    if (this.chosen) this.#timer = window.setTimeout(() => void this.#tell(asked), QUIET_MS);
  }

  async #tell(asked: number): Promise<void> {
    const words = byId("tune-words", HTMLElement);
    if (!this.#live.isOpen) return;
    try {
      const recipe = this.#text.value;
      const cost = await this.#live.ask((engine, session) => engine.adapter.cost(session, recipe));
      if (asked !== this.#asked) return;
      this.#refused = cost.refused && sentence(cost.refused);
      const price = `About ${duration(cost.seconds)}, and up to ${megabytes(cost.bytes)} of memory.`;
      words.textContent = this.#refused || price;
    } catch (error) {
      if (asked === this.#asked) words.textContent = complaint(error);
    }
  }

  #write(lesson: Lesson, text: string): void {
    const low = this.#what.some((radio) => radio.checked && radio.value === "low");
    const [, context] = CONTEXTS.find(([characters]) => text.length < characters) ?? [];
    const { separator } = lesson.recipe;
    this.#text.value = JSON.stringify(
      { ...(low ? { lora_rank: RANK } : {}), separator, ...(context ? { context } : {}) },
      null, 1,
    );
    this.#price();
  }
}
