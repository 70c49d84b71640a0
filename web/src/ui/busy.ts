/** The line that shows work which takes long and has no Stop of its own, with a way to end it. */

import type { LiveSession } from "../live";
import { byId } from "./dom";

export function offerStop(live: LiveSession): void {
  const bar = byId("busy", HTMLElement);
  const show = (): void => void (bar.hidden = !live.isBusy);
  for (const what of ["busy", "state"]) live.addEventListener(what, show);
  byId("busy-stop", HTMLButtonElement).addEventListener("click", () => void live.restart());
}
