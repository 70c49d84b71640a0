/** How large files of the site are on their way, asked of the server that hands them out. */

import type { Bench } from "./bench";

/** Questions at a time. */
const AT_ONCE = 6;

export interface FileSize {
  readonly url: string;
  readonly bytes: number;
}

/** Bytes of each file as it is sent to this browser, packed where the server packs it. */
export async function sizesOf(bench: Bench, urls: readonly string[], words: string): Promise<FileSize[]> {
  const waiting = [...urls];
  const found: FileSize[] = [];
  const work = async (): Promise<void> => {
    for (let url = waiting.shift(); url !== undefined; url = waiting.shift()) {
      bench.signal.throwIfAborted();
      found.push({ url, bytes: await sizeOf(url, bench.signal) });
      bench.hear(found.length / urls.length, `${words}, ${found.length} of ${urls.length}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return found.toSorted((a, b) => b.bytes - a.bytes);
}

async function sizeOf(url: string, signal: AbortSignal): Promise<number> {
  // A question for the head alone is none that the service worker answers: it goes to the server.
  const head = await fetch(url, { method: "HEAD", cache: "no-store", signal }).catch((error: unknown) => {
    if (signal.aborted) throw error;
    return null;
  });
  if (!head) throw new Error("the server does not answer: is the network off?");
  if (!head.ok) throw new Error(`the server answered ${head.status} for ${new URL(url).pathname}`);
  const length = head.headers.get("Content-Length");
  if (length !== null) return Number(length);
  const whole = await fetch(url, { cache: "no-store", signal });
  return (await whole.arrayBuffer()).byteLength;
}
