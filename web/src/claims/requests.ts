/** Requests as the browser itself records them, in the page or in its worker. */

import type { SeenRequest } from "../protocol/claims";

/** An observer hears of requests even when the browser's own list of them is full. */
export class RequestWatch {
  readonly #seen: SeenRequest[] = [];
  readonly #observer = new PerformanceObserver((list) => this.#take(list.getEntries()));

  constructor() {
    this.#observer.observe({ type: "resource" });
  }

  seen(): SeenRequest[] {
    this.#take(this.#observer.takeRecords());
    return [...this.#seen];
  }

  close(): void {
    this.#observer.disconnect();
  }

  #take(entries: readonly PerformanceEntry[]): void {
    this.#seen.push(...entries.map(seenOf));
  }
}

/** Everything since this context began. */
export function fetchedSoFar(): SeenRequest[] {
  return performance.getEntriesByType("resource").map(seenOf);
}

function seenOf(entry: PerformanceEntry): SeenRequest {
  const { name, transferSize, duration, startTime } = entry as PerformanceResourceTiming;
  const began = performance.timeOrigin + startTime;
  return { url: name, bytes: transferSize, milliseconds: duration, began };
}
