/** The box that tells of a model on its way in: words, facts, progress, and two answers. */

import { byId } from "../ui/dom";
import { megabytes, sentence } from "../ui/format";
import { kindOf, memoryOf, speedOf } from "./estimate";
import type { ResourceEstimate } from "./estimate";

export interface Answer {
  readonly label: string;
  run(): void;
}

/** What is known of a model; what is not has no line. */
export interface Facts {
  readonly host?: string;
  readonly size?: string;
  readonly digest?: string | null;
  readonly estimate?: ResourceEstimate;
}

const part = (id: string): HTMLElement => byId(`incoming-${id}`, HTMLElement);

export class IncomingBox {
  readonly #box = byId("incoming", HTMLElement);
  readonly #form = byId("incoming-form", HTMLFormElement);
  readonly #bar = byId("incoming-progress", HTMLProgressElement);
  readonly #go = byId("incoming-go", HTMLButtonElement);
  readonly #close = byId("incoming-close", HTMLButtonElement);
  #answers: { go: Answer | null; close: Answer } = { go: null, close: this.closing("Close") };
  #submit: () => void = () => undefined;

  constructor() {
    this.#go.addEventListener("click", () => this.#answers.go?.run());
    this.#close.addEventListener("click", () => this.#answers.close.run());
    this.#box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target instanceof HTMLInputElement) this.#submit();
      else if (event.key === "Escape") this.#answers.close.run();
    });
    this.#form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** An answer that only puts the box away. */
  closing(label: string): Answer {
    return { label, run: () => this.hide() };
  }

  show(title: string, words: string, answers: { go?: Answer; close?: Answer } = {}): void {
    part("title").textContent = title;
    this.say(words);
    for (const one of [part("facts"), this.#bar, this.#form]) one.hidden = true;
    this.#box.hidden = false;
    this.#box.classList.remove("failed");
    this.#answers = { go: answers.go ?? null, close: answers.close ?? this.closing("Close") };
    this.#go.hidden = !answers.go;
    this.#go.textContent = answers.go?.label ?? "";
    this.#close.textContent = this.#answers.close.label;
  }

  fail(what: string, why: string, go?: Answer): void {
    this.show(`${what} was not saved`, sentence(why), go ? { go } : {});
    this.#box.classList.add("failed");
  }

  say(words: string): void {
    part("words").textContent = words;
  }

  facts({ host, size, digest, estimate }: Facts): void {
    const lines = {
      host, size, digest: digest ?? undefined,
      kind: estimate && kindOf(estimate),
      memory: estimate && memoryOf(estimate),
      speed: estimate && speedOf(estimate),
    };
    for (const [name, words] of Object.entries(lines)) {
      const line = part(name).closest("div");
      if (line) line.hidden = words === undefined;
      part(name).textContent = words ?? "";
    }
    part("facts").hidden = false;
  }

  /** Let the visitor write an address; Enter is the first answer. */
  form(submit: () => void): void {
    this.#submit = submit;
    this.#form.hidden = false;
    this.#box.scrollIntoView({ block: "nearest" });
    byId("incoming-url", HTMLInputElement).focus();
  }

  get written(): { address: string; digest: string } {
    const value = (id: string): string => byId(id, HTMLInputElement).value.trim();
    return { address: value("incoming-url"), digest: value("incoming-sha") };
  }

  /** One line and one bar for both: what has come, and what of it is in the engine's memory. */
  progress(bytes: number, total: number | null, loaded: number): void {
    this.#bar.hidden = false;
    this.#bar.value = total ? bytes / total : 0;
    const inMemory = loaded ? `, ${megabytes(loaded)} MB of it loaded` : "";
    this.say(`${megabytes(bytes)} ${total ? `of ${megabytes(total)} ` : ""}MB${inMemory}`);
  }

  focus(): void {
    this.#box.focus();
  }

  hide(): void {
    this.#box.hidden = true;
  }
}
