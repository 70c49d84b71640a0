/** The switch that shows the text's probabilities, and what the shading tells. */

import type { LiveSession } from "../live";
import { byId } from "./dom";
import type { Manuscript } from "./manuscript";
import { legend } from "./scale";
import type { Shading } from "./scale";
import type { TokenAction, TokenEvent, TokenView } from "./tokens";

export class ShadeControls {
  readonly #live: LiveSession;
  readonly #manuscript: Manuscript;
  readonly #switch = byId("shade", HTMLInputElement);
  readonly #by = byId("shade-by", HTMLSelectElement);

  constructor(live: LiveSession, manuscript: Manuscript) {
    this.#live = live;
    this.#manuscript = manuscript;
    this.#switch.addEventListener("change", () => void this.#apply());
    this.#by.addEventListener("change", () => void this.#apply());
    live.addEventListener("select", () => this.#manuscript.mark(live.selected));
  }

  async #apply(): Promise<void> {
    const on = this.#switch.checked;
    const shading = this.#by.value as Shading;
    byId("shading", HTMLElement).hidden = !on;
    byId("shade-legend", HTMLElement).replaceChildren(legend(shading));
    const actions = (index: number): TokenAction[] => [
      { label: "Open in Step", run: () => this.#openInStep(index) },
    ];
    await this.#manuscript.shade(on ? shading : null, { actions }, (view) => this.#prepare(view));
  }

  /** Step looks at the same token, and can go back to it, branch there, and change its draw. */
  #openInStep(index: number): void {
    this.#live.select(index);
    location.hash = "#panel=step";
  }

  /** Choosing a token here is looking at it in every panel. */
  #prepare(view: TokenView): void {
    view.addEventListener("token", (event) => this.#live.select((event as TokenEvent).index));
    view.current = this.#live.selected;
  }
}
