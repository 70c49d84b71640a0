/**
 * The first text writes itself, so that who comes for the first time sees what this is.
 *
 * Only where the visitor has begun with nothing yet: not from a link, not after a key or a click, not
 * in a tab that is hidden, and not where less motion is wanted.
 */

import type { LiveSession } from "../live";

/** Few enough that what stands below the text stays where it is. */
export const GREETING_TOKENS = 80;

const BEGINNINGS = ["keydown", "pointerdown", "input", "hashchange"];

/** Call `begin` once the model is ready, unless the visitor is first. */
export function greet(live: LiveSession, begin: () => void): void {
  if (location.hash || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const over = new AbortController();
  const { signal } = over;
  for (const event of BEGINNINGS) {
    addEventListener(event, () => over.abort(), { signal, capture: true });
  }
  live.addEventListener(
    "state",
    () => {
      if (live.state === "loading") return;
      over.abort();
      if (live.state === "ready" && !live.writing && !document.hidden) begin();
    },
    { signal },
  );
}
