/**
 * Answers that are what a version's list says: the bytes by their digest, the headers by the list.
 *
 * What lies in the Cache API can be written by any script of the origin, and disks lose bits. So
 * nothing of it is believed: bytes are compared with the digest that came with the service worker's
 * own file, and fetched anew where they differ; types and policies are never taken from the cache.
 */

import type { AnswerKind, Precache, PrecacheEntry } from "../storage/names";

function kindOf(url: string): AnswerKind {
  if (!url.endsWith("/")) return "file";
  if (url === "save-model/") return "fetching";
  return url.startsWith("embed/") ? "frame" : "page";
}

/** Whether bytes have a digest, as Subresource Integrity writes it. */
async function isGenuine(bytes: ArrayBuffer, integrity: string): Promise<boolean> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return integrity === `sha256-${btoa(String.fromCharCode(...digest))}`;
}

/** A version's files, as they lie in a cache and at the site's address. */
export class Verified {
  constructor(
    readonly site: string,
    readonly list: Pick<Precache, "headers" | "types">,
  ) {}

  /**
   * A file from the cache, or where it is not there as it should be from the server, and into the
   * cache again. Rejects where neither has it.
   */
  async answer(entry: Omit<PrecacheEntry, "revision">, cacheName: string, key: string): Promise<Response> {
    const cache = await caches.open(cacheName);
    const saved = await cache.match(key, { ignoreVary: true });
    const bytes = await saved?.arrayBuffer();
    if (bytes && (await isGenuine(bytes, entry.integrity))) return this.#response(entry.url, bytes);
    const fresh = await this.#fetch(entry);
    await cache.put(key, this.#response(entry.url, fresh)).catch(() => undefined); // no space, say
    return this.#response(entry.url, fresh);
  }

  /** Past the browser's own cache only if need be: a damaged file lies there for as long as it may. */
  async #fetch({ url, integrity }: Omit<PrecacheEntry, "revision">): Promise<ArrayBuffer> {
    const address = new URL(url, this.site);
    const anew = (): Promise<Response> => fetch(address, { cache: "reload", integrity });
    const response = await fetch(address, { integrity }).catch(anew);
    if (!response.ok) throw new Error(`the server answers ${response.status} for ${url}`);
    return response.arrayBuffer();
  }

  #response(url: string, bytes: ArrayBuffer): Response {
    const name = url.endsWith("/") ? "index.html" : url;
    const headers = {
      ...this.list.headers[kindOf(url)],
      "Content-Type": this.list.types[name.slice(name.lastIndexOf("."))] ?? "application/octet-stream",
      "Content-Length": String(bytes.byteLength),
    };
    return new Response(bytes, { headers });
  }
}
