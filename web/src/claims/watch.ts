/** How many requests this page and its worker make while something happens. */

import type { SeenRequest } from "../protocol/claims";
import type { Bench } from "./bench";
import { RequestWatch } from "./requests";

/** A request is recorded when it has ended: those that were begun last get this long. */
const REST_MS = 250;

export interface Requests<Value> {
  readonly value: Value;
  readonly requests: readonly SeenRequest[];
}

/** Do something; the requests that were made meanwhile. */
export async function whileWatching<Value>(
  bench: Bench, work: () => Promise<Value>,
): Promise<Requests<Value>> {
  const session = await bench.session();
  const watch = new RequestWatch();
  try {
    await session.ask((engine) => engine.claims.watch());
    const value = await work();
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
    const theirs = await session.ask((engine) => engine.claims.seen());
    return { value, requests: [...watch.seen(), ...theirs] };
  } finally {
    watch.close();
  }
}

/**
 * Make one request in the page and one in its worker, and look whether they are seen: a counter that
 * always says none is worth nothing.
 */
export async function checkCounter(bench: Bench): Promise<number> {
  const session = await bench.session();
  const url = new URL("../build.json", import.meta.url).href;
  const { requests } = await whileWatching(bench, async () => {
    await fetch(url, { cache: "no-store" }).catch(() => undefined);
    await session.ask((engine) => engine.claims.askFor(url));
  });
  const seen = requests.filter((request) => request.url === url).length;
  if (seen < 2) {
    throw new Error(
      `the browser reported ${seen} of 2 deliberate requests: nothing can be counted here`,
    );
  }
  return seen;
}
