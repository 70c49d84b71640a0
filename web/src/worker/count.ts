/** Counting Pyodide's bytes on their way in, although Pyodide fetches them itself. */

export interface Counter {
  /** Unpacked bytes so far. */
  bytes(): number;
  /** No more is to come. */
  close(): void;
}

/** Whether the file at this address is one of those that are counted. */
export type Counts = (url: string) => boolean;

/**
 * Count by the browser's own records: a file counts when it is complete. Files that are in the
 * browser's cache come all at once anyway, and their responses stay untouched, so that the browser
 * can use the machine code that it saved for them.
 */
export function countFiles(counts: Counts): Counter {
  let bytes = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as PerformanceResourceTiming[]) {
      if (counts(entry.name)) bytes += entry.decodedBodySize;
    }
  });
  observer.observe({ type: "resource", buffered: true });
  return { bytes: () => bytes, close: () => observer.disconnect() };
}

/** Count byte by byte, by looking into every response: for the first visit, which is the long one. */
export function countStreams(counts: Counts): Counter {
  let bytes = 0;
  const original = self.fetch;
  const counting = (): TransformStream<Uint8Array, Uint8Array> =>
    new TransformStream({
      transform(chunk, to) {
        bytes += chunk.length;
        to.enqueue(chunk);
      },
    });
  self.fetch = async (input, init) => {
    const response = await original(input, init);
    if (!response.ok || !response.body || !counts(response.url)) return response;
    const { status, statusText, headers } = response;
    const body = response.body.pipeThrough(counting());
    return new Response(body, { status, statusText, headers });
  };
  return {
    bytes: () => bytes,
    close: () => {
      self.fetch = original;
    },
  };
}
