/** That a function of the visitor's own chooses the tokens: said wherever that matters. */

import type { LiveSession } from "../live";

/** Fill every `data-sampler` place below `root`; its button lets Thimble's own sampler choose again. */
export function tellSampler(root: HTMLElement, live: LiveSession): void {
  for (const place of root.querySelectorAll<HTMLElement>("[data-sampler]")) {
    const name = place.querySelector("code");
    const show = (): void => {
      place.hidden = live.sampler === null;
      if (name) name.textContent = live.sampler;
    };
    place.querySelector("button")?.addEventListener("click", () => void live.resetSampler());
    live.addEventListener("state", show);
    show();
  }
}
