/** The text on the page. It only ever grows at its end while the model writes. */

import { byId } from "./dom";

export class Manuscript {
  readonly #empty = byId("empty", HTMLElement);
  readonly #story = byId("story", HTMLElement);
  readonly #given = byId("given", HTMLElement);
  readonly #written = byId("written", HTMLElement);
  readonly #caret = byId("caret", HTMLElement);
  #pending = "";
  #frame = 0;

  begin(prompt: string): void {
    this.#flush();
    this.#given.textContent = prompt;
    this.#written.replaceChildren();
    this.#empty.hidden = true;
    this.#story.hidden = false;
  }

  /** Text to come at the next frame, however many pieces arrive until then. */
  add(text: string): void {
    this.#pending += text;
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  writing(writing: boolean): void {
    this.#caret.hidden = !writing;
    if (!writing) this.#flush();
  }

  #flush(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#pending) this.#written.append(this.#pending);
    this.#pending = "";
  }
}
