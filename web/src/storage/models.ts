/**
 * The models that are saved on this machine: one store, the Cache API, for the site's own models and
 * for those that the visitor brings. An entry is there whole or not at all, and every load checks
 * its SHA-256 again. Page and workers use it alike.
 */

import { MODEL_CACHE } from "./names";
import { dropPieces, finishPartial, isPiece, streamPieces } from "./partial";
import type { Pieces } from "./partial";
import { freeSpace } from "./space";

/** Models that are no file of this site have an address by their digest; it is never fetched. */
const LOCAL = "https://thimble.invalid/model/";
const ABOUT = "x-thimble-model";

/** What is written down beside a model's bytes. */
export interface AboutModel {
  readonly name: string;
  readonly bytes: number;
  /** Null where nobody said it. */
  readonly sha256: string | null;
  /** Where it was fetched from, if a link named it; null for the site's models and for files. */
  readonly source: string | null;
  /** Where its bytes lie, if they came in pieces; else they are the entry itself. */
  readonly pieces?: Pieces;
}

export interface SavedModel extends AboutModel {
  /** Its key in the store: an address of this site, or a local one. */
  readonly from: string;
}

export function localAddress(sha256: string): string {
  return LOCAL + sha256;
}

export function isLocal(address: string): boolean {
  return address.startsWith(LOCAL);
}

function store(): Promise<Cache> {
  if (!("caches" in globalThis)) throw new Error("this page may not save anything here");
  return caches.open(MODEL_CACHE);
}

/** Header values are bytes; names may be anything. */
function headersOf(about: AboutModel): Record<string, string> {
  return { [ABOUT]: encodeURIComponent(JSON.stringify(about)) };
}

function aboutOf(saved: Response): AboutModel | null {
  const about = saved.headers.get(ABOUT);
  return about === null ? null : (JSON.parse(decodeURIComponent(about)) as AboutModel);
}

/** A model's bytes, or null; where nothing may be saved, nothing is. */
export async function findModel(address: string): Promise<ReadableStream<Uint8Array> | null> {
  try {
    const saved = await caches.match(address, { cacheName: MODEL_CACHE });
    const pieces = saved && aboutOf(saved)?.pieces;
    return pieces ? streamPieces(pieces) : (saved?.body ?? null);
  } catch {
    return null;
  }
}

/** The same as a file, which the browser need not hold in memory; or null. */
export async function savedFile(address: string): Promise<Blob | null> {
  const saved = await findModel(address);
  return saved && new Response(saved).blob();
}

/** The same, from this site where it is its. */
export async function modelFile(address: string): Promise<Blob> {
  const saved = await savedFile(address);
  if (saved) return saved;
  if (isLocal(address)) throw new Error("the model is not saved on this machine any more");
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`the server answered ${answer.status} for the model's file`);
  return answer.blob();
}

export async function isSaved(address: string): Promise<boolean> {
  return (await store()).match(address).then(Boolean);
}

/**
 * Keep a model; rejects, with nothing saved, where the bytes do not all come, are not `about.bytes`
 * many, or do not fit.
 */
export async function saveModel(
  address: string,
  body: ReadableStream<Uint8Array>,
  about: AboutModel,
): Promise<void> {
  let failure: unknown = null;
  try {
    await requireSpace(about);
    const counted = exactly(body, about, (error) => (failure = error));
    await (await store()).put(address, new Response(counted, { headers: headersOf(about) }));
  } catch (error) {
    body.cancel().catch(() => undefined);
    const isFull = error instanceof DOMException && error.name === "QuotaExceededError";
    throw isFull ? await outOfSpace(about) : (failure ?? error);
  }
}

/** Keep a model whose pieces are all here already, by the download of this key. */
export async function savePieces(address: string, about: AboutModel, key: string): Promise<void> {
  await dropModel(address); // its bytes may be here already, from elsewhere
  await (await store()).put(address, new Response(null, { headers: headersOf(about) }));
  await finishPartial(key);
}

export async function dropModel(address: string): Promise<void> {
  const cache = await store();
  const saved = await cache.match(address);
  const pieces = saved && aboutOf(saved)?.pieces;
  await cache.delete(address);
  if (pieces) await dropPieces(pieces.home);
}

/** All that are saved, by name. */
export async function listModels(): Promise<SavedModel[]> {
  const cache = await store();
  const found: SavedModel[] = [];
  for (const { url } of await cache.keys()) {
    const saved = isPiece(url) ? undefined : await cache.match(url);
    const about = saved && aboutOf(saved);
    if (about) found.push({ ...about, from: url });
  }
  return found.sort((a, b) => a.name.localeCompare(b.name));
}

/** What the visitor has brought, newest file of a name last. */
export async function listLocalModels(): Promise<SavedModel[]> {
  return (await listModels().catch(() => [])).filter(({ from }) => isLocal(from));
}

/** A name that no other model has: the engine and the list tell models apart by it. */
export function nameFor(model: SavedModel, taken: ReadonlySet<string>): string {
  if (!taken.has(model.name)) return model.name;
  return `${model.name} (${(model.sha256 ?? model.from).slice(0, 6)})`;
}

/** Put the models that were saved on earlier visits into the list. */
export function offerSaved(
  files: Map<string, Blob | SavedModel>,
  saved: readonly SavedModel[],
  site: readonly string[],
): void {
  const taken = new Set(site);
  for (const model of saved) {
    const name = nameFor(model, taken);
    taken.add(name);
    files.set(name, model);
  }
}

/**
 * The bytes as they come, ending with an error where they are more or fewer than was said. The
 * store tells of any error that it was one of the network: `failed` hears what it really was.
 */
function exactly(
  body: ReadableStream<Uint8Array>,
  { name, bytes }: AboutModel,
  failed: (error: unknown) => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let seen = 0;
  return new ReadableStream<Uint8Array>({
    async pull(to) {
      try {
        const { done, value } = await reader.read();
        seen += value?.length ?? 0;
        if (done ? seen !== bytes : seen > bytes) {
          throw new Error(`${name} has ${seen} bytes, not ${bytes}`);
        }
        if (done) to.close();
        else to.enqueue(value);
      } catch (error) {
        failed(error);
        to.error(error);
        reader.cancel(error).catch(() => undefined);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** Rejects, with the reason, where there is no space for a model. */
async function requireSpace(about: Pick<AboutModel, "name" | "bytes">): Promise<void> {
  const free = await freeSpace();
  if (free !== null && free < about.bytes) throw await outOfSpace(about);
}

/** The same whether it was known before or found out half-way. */
export async function outOfSpace({ name, bytes }: Pick<AboutModel, "name" | "bytes">): Promise<Error> {
  const free = await freeSpace();
  const megabytes = (value: number): string => `${(Math.max(value, 0) / 1e6).toFixed(1)} MB`;
  const there = free === null ? "" : `, and the browser has ${megabytes(free)} left for this site`;
  return new Error(
    `there is no space to save ${name}: it takes ${megabytes(bytes)}${there}; ` +
      "remove something else under “This machine”",
  );
}
