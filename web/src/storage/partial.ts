/**
 * The part of a model that has come so far, in pieces: what a broken download goes on from, in the
 * same visit or in another one. When all of it is here the pieces stay where they are, and the
 * model's entry in the store names them (models.ts), so nothing is ever copied.
 */

import { MODEL_CACHE } from "./names";

/** Addresses of pieces; they are never fetched. */
const PIECES = "https://thimble.invalid/piece/";
/** Bytes of a piece: what a tab that is closed loses at most. */
export const PIECE = 8 * 2 ** 20;

/** What is written down of a model that has not come whole. */
export interface PartialRecord {
  /** Where it comes from; several addresses for a file in several parts. */
  readonly urls: readonly string[];
  readonly sizes: readonly number[];
  /** What tells versions of each part apart, as its host said it; null where we may not see that. */
  readonly validators: readonly (string | null)[];
  /** What its pieces are called: of no other download, of this file neither. */
  readonly home: string;
  /** Pieces that are here, and their bytes. */
  readonly count: number;
  readonly bytes: number;
  /** The SHA-256 of each. */
  readonly digests: readonly string[];
}

/** Where a model's pieces lie. */
export interface Pieces {
  readonly home: string;
  readonly count: number;
}

const record = (key: string): string => `${PIECES}${key}`;
const piece = (home: string, at: number): string => `${PIECES}${home}/${at}`;

export function isPiece(address: string): boolean {
  return address.startsWith(PIECES);
}

export async function readPartial(key: string): Promise<PartialRecord | null> {
  const saved = await (await caches.open(MODEL_CACHE)).match(record(key));
  return saved ? ((await saved.json()) as PartialRecord) : null;
}

/** Put another piece behind those that are there; the record follows it, so that both are right. */
export async function addPiece(
  key: string, before: PartialRecord, bytes: Uint8Array<ArrayBuffer>,
): Promise<PartialRecord> {
  const cache = await caches.open(MODEL_CACHE);
  const after = {
    ...before,
    count: before.count + 1,
    bytes: before.bytes + bytes.length,
    digests: [...before.digests, await digestOf(bytes)],
  };
  await cache.put(piece(before.home, before.count), new Response(bytes));
  await cache.put(record(key), new Response(JSON.stringify(after)));
  return after;
}

/** All pieces are here: they are a model's from now on, and no partial download. */
export async function finishPartial(key: string): Promise<void> {
  await (await caches.open(MODEL_CACHE)).delete(record(key));
}

export async function dropPieces(home: string): Promise<void> {
  const cache = await caches.open(MODEL_CACHE);
  for (let at = 0; await cache.delete(piece(home, at)); at += 1);
}

/** Forget a download that has not come whole. */
export async function dropPartial(key: string): Promise<void> {
  const partial = await readPartial(key);
  await finishPartial(key);
  if (partial) await dropPieces(partial.home);
}

/** Every download that has not come whole. */
export async function listPartials(): Promise<{ key: string; partial: PartialRecord }[]> {
  const cache = await caches.open(MODEL_CACHE);
  const keys = (await cache.keys()).map(({ url }) => url).filter(isPiece);
  const records = keys.map((url) => url.slice(PIECES.length)).filter((key) => !key.includes("/"));
  const found = records.map(async (key) => ({ key, partial: await readPartial(key) }));
  return (await Promise.all(found)).flatMap(({ key, partial }) => (partial ? [{ key, partial }] : []));
}

async function digestOf(bytes: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The pieces of an unfinished download one after the other; rejects at one that is not as it came. */
export async function* checkedPieces(
  { home, count, bytes, digests }: PartialRecord,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  let seen = 0;
  for (let at = 0; at < count; at += 1) {
    const saved = await caches.match(piece(home, at), { cacheName: MODEL_CACHE });
    const part = new Uint8Array((await saved?.arrayBuffer()) ?? new ArrayBuffer(0));
    if ((await digestOf(part)) !== digests[at]) throw new Error("a part of the download is damaged");
    seen += part.length;
    yield part;
  }
  if (seen !== bytes) throw new Error("a part of the download is missing");
}

/** The pieces of a whole model one after the other, each read when the one before it has been. */
export function streamPieces({ home, count }: Pieces): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  let reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | null = null;
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(to) {
      for (;;) {
        if (!reader) {
          if (at === count) return to.close();
          const saved = await caches.match(piece(home, at), { cacheName: MODEL_CACHE });
          if (!saved?.body) throw new Error("a part of the model is not saved on this machine any more");
          reader = saved.body.getReader();
          at += 1;
        }
        const { done, value } = await reader.read();
        if (!done) return to.enqueue(value);
        reader = null;
      }
    },
    cancel: (reason) => reader?.cancel(reason),
  });
}
