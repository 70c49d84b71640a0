/**
 * The text on the page, plain or as shaded tokens. While the model writes it only ever grows at its
 * end, a frame at a time.
 */

import type { Writing } from "../live/writing";
import type { TokenChunk } from "../thimble";
import { byId } from "./dom";
import type { Shading } from "./scale";
import { tokenOf } from "./token";
import type { TokenView, TokenViewOptions } from "./tokens";

export class Manuscript {
  readonly #text = byId("text", HTMLElement);
  readonly #empty = byId("empty", HTMLElement);
  readonly #story = byId("story", HTMLElement);
  readonly #given = byId("given", HTMLElement);
  readonly #written = byId("written", HTMLElement);
  readonly #caret = byId("caret", HTMLElement);
  readonly #host = byId("shaded", HTMLElement);
  #shown: Writing | null = null;
  #pending = "";
  #frame = 0;
  /** The token view, while the text is shown as one, and the tokens that are in it. */
  #view: TokenView | null = null;
  #tokens: TokenChunk[] = [];

  /** Show this text, and a caret where it grows. */
  show(writing: Writing | null, growing: boolean): void {
    this.#caret.hidden = !growing;
    this.#flush();
    // A text that is written anew keeps its room, so that the page does not fold up under the reader.
    this.#text.style.minHeight = growing ? `${this.#text.offsetHeight}px` : "";
    if (writing === this.#shown) return;
    const goesOn = writing !== null && writing.request === this.#shown?.request;
    this.#shown = writing;
    this.#arrange();
    if (!goesOn || writing.text !== this.#written.textContent) {
      this.#given.textContent = writing?.request.prompt ?? "";
      this.#written.textContent = writing?.text ?? "";
    }
    this.#follow();
  }

  /** Text to come at the next frame, however many tokens arrive until then. */
  add(text: string): void {
    this.#pending += text;
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  /** Show the text as tokens from now on, or plain with null. */
  async shade(
    shading: Shading | null,
    options: Pick<TokenViewOptions, "actions">,
    prepare: (view: TokenView) => void,
  ): Promise<void> {
    if (shading && !this.#view) {
      const { TokenView } = await import("./tokens");
      if (this.#view) return; // it was asked for twice
      const label = "The text as tokens";
      this.#view = new TokenView(this.#host, { label, shading, ...options });
      this.#tokens = [];
      prepare(this.#view);
    } else if (shading && this.#view) {
      this.#view.shading = shading;
    } else if (this.#view) {
      this.#view.destroy();
      this.#view = null;
    }
    this.#arrange();
    this.#follow();
  }

  /** Mark the token that every panel looks at. */
  mark(index: number | null): void {
    if (this.#view) this.#view.current = index;
  }

  #arrange(): void {
    const none = this.#shown === null;
    this.#empty.hidden = !none;
    this.#story.hidden = none || this.#view !== null;
    this.#host.hidden = none || this.#view === null;
  }

  /** Bring the token view to the writing's tokens: what both begin with stays. */
  #follow(): void {
    if (!this.#view) return;
    const tokens = this.#shown?.tokens ?? [];
    let same = 0;
    while (same < this.#tokens.length && this.#tokens[same] === tokens[same]) same += 1;
    this.#view.lead = this.#shown?.request.prompt ?? "";
    this.#view.truncate(same);
    this.#view.append(tokens.slice(same).map(tokenOf));
    this.#tokens = [...tokens];
  }

  #flush(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#pending) this.#written.append(this.#pending);
    this.#pending = "";
    if (!this.#view || !this.#shown) return;
    const fresh = this.#shown.tokens.slice(this.#tokens.length);
    this.#view.append(fresh.map(tokenOf));
    this.#tokens.push(...fresh);
  }
}
