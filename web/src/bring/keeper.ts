/**
 * Opens the one page that may reach other hosts (docs/offline.md), in a frame that nobody sees. It
 * does what it is asked through a port, and this page alone can hand it one.
 */

import { wrap } from "comlink";
import type { ModelKeeper } from "../save-model";
import { SITE } from "../offline/app";

export interface OpenKeeper {
  readonly keeper: ModelKeeper;
  /** Stop whatever it does; what has not come whole is not saved. */
  close(): void;
}

/** Rejects where the page did not come. */
export async function openKeeper(): Promise<OpenKeeper> {
  const frame = document.createElement("iframe");
  frame.src = new URL("save-model/", SITE).href;
  frame.title = "Fetches models";
  frame.hidden = true;
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  document.body.append(frame);
  await loaded;
  // A browser's own page for what did not come says nothing, and may not be looked at.
  if (frame.contentDocument?.documentElement.dataset["keeper"] !== "ready") {
    frame.remove();
    throw new Error("the part of this page that fetches models did not load");
  }
  const { port1, port2 } = new MessageChannel();
  frame.contentWindow?.postMessage("keep models", new URL(SITE).origin, [port2]);
  return {
    keeper: wrap<ModelKeeper>(port1) as unknown as ModelKeeper,
    close: () => {
      port1.close();
      frame.remove();
    },
  };
}
