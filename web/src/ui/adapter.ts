/**
 * That an adapter is on the model: said in every panel whose text it changes. "adapter", an
 * `AdapterEvent`, is dispatched on the live session by whoever puts one on, turns it or takes it off.
 */

import type { LiveSession } from "../live";
import { AdapterEvent } from "../live/events";
import type { AdapterInfo } from "../protocol/adapter";

/** Fill every `data-adapter` place of the page; its button takes the adapter off. */
export function tellAdapter(live: LiveSession): void {
  const places = document.querySelectorAll<HTMLElement>("[data-adapter]");
  /** The model that was last looked at; null while there never was an adapter, and nobody need ask. */
  let known: string | null = null;

  const show = (info: AdapterInfo | null): void => {
    live.adapter = info;
    for (const place of places) {
      place.hidden = info === null;
      const words = place.querySelector<HTMLElement>("[data-adapter-words]");
      if (words) words.textContent = info ? adapterWords(info) : "";
    }
  };
  const off = async (): Promise<void> => {
    await live.ask((engine, session) => engine.adapter.remove(session));
    live.dispatchEvent(new AdapterEvent(null));
  };
  for (const place of places) place.querySelector("button")?.addEventListener("click", () => void off());
  live.addEventListener("adapter", (event) => {
    known = live.model;
    show((event as AdapterEvent).info);
  });
  live.addEventListener("state", () => {
    if (known === null || !live.isOpen || live.model === known) return;
    known = live.model;
    // Another model has none, or another; a worker that was started anew has none on any.
    live.ask((engine, session) => engine.adapter.describe(session)).then(show, () => show(null));
  });
  live.addEventListener("restart", () => {
    if (known !== null) live.dispatchEvent(new AdapterEvent(null));
  });
}

function adapterWords({ name, strength }: AdapterInfo): string {
  const turned = strength === 1 ? "" : ` at strength ${strength.toFixed(2)}`;
  return `The adapter “${name}” is on the model${turned}.`;
}

/** What a copied link does not carry, for those who send it. */
export function lacksAdapter({ adapter }: LiveSession): string {
  return adapter ? `The link does not hold the adapter “${adapter.name}”: without its file the text is another one.` : "";
}
