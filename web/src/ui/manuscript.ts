/** The text on the page. While the model writes it only ever grows at its end. */

import type { Writing } from "../live";
import { byId } from "./dom";

export class Manuscript {
  readonly #text = byId("text", HTMLElement);
  readonly #empty = byId("empty", HTMLElement);
  readonly #story = byId("story", HTMLElement);
  readonly #given = byId("given", HTMLElement);
  readonly #written = byId("written", HTMLElement);
  readonly #caret = byId("caret", HTMLElement);
  #shown: Writing | null = null;
  #pending = "";
  #frame = 0;

  /** Show this text, and a caret where it grows. */
  show(writing: Writing | null, growing: boolean): void {
    this.#caret.hidden = !growing;
    this.#flush();
    // A text that is written anew keeps its room, so that the page does not fold up under the reader.
    this.#text.style.minHeight = growing ? `${this.#text.offsetHeight}px` : "";
    if (writing === this.#shown) return;
    const goesOn = writing !== null && writing.recipe === this.#shown?.recipe;
    this.#shown = writing;
    this.#empty.hidden = writing !== null;
    this.#story.hidden = writing === null;
    if (goesOn && writing.text === this.#written.textContent) return;
    this.#given.textContent = writing?.recipe.prompt ?? "";
    this.#written.textContent = writing?.text ?? "";
  }

  /** Text to come at the next frame, however many pieces arrive until then. */
  add(text: string): void {
    this.#pending += text;
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  #flush(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#pending) this.#written.append(this.#pending);
    this.#pending = "";
  }
}
