/**
 * A model by its address: its first bytes, and all of them, taken up again where a connection broke.
 * It runs in the page that may reach other hosts (save-model.ts). Requests are plain ones with a
 * Range at most: anything more, If-Range too, would make the browser ask the host for leave first,
 * which many hosts of models refuse. That the file is still the same is seen by size and by ETag or
 * date; a download that neither they nor a digest identify begins anew where it broke.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { localAddress, outOfSpace, savePieces } from "../storage/models";
import type { AboutModel, SavedModel } from "../storage/models";
import type { Joined } from "../protocol/bring";
import { PIECE, addPiece, checkedPieces, dropPartial, readPartial } from "../storage/partial";
import type { PartialRecord, Pieces } from "../storage/partial";
import { freeSpace } from "../storage/space";
import { fileOf, nameOf } from "./address";
import { keyOf } from "./download-key";
import { together } from "./feed";
import type { Chunks, Feed } from "./feed";

/** What is known of a file before it is fetched. */
export interface Look {
  /** Null where its host does not say. */
  readonly size: number | null;
  /** What tells its versions apart; null where the host does not let us see that. */
  readonly validator: string | null;
  /** Its first bytes. */
  readonly head: ArrayBuffer;
}

/** What is known of a model before it is fetched: of its file, or of all its parts. */
export interface Seen {
  readonly looks: readonly Look[];
  /** How several parts become one. */
  readonly joined: Joined | null;
}

/** Of a model on its way in. */
export interface Arrival {
  readonly bytes: number;
  /** Null while nobody knows. */
  readonly total: number | null;
  /** Bytes that are in the engine's memory already. */
  readonly loaded: number;
}

/** A model that has come whole. */
export interface Brought {
  readonly model: SavedModel;
  /** Why it is not saved: then only the engine has it. */
  readonly notSaved: string | null;
}

type Report = (arrival: Arrival) => void;

/** Times that a broken connection is taken up again in a row without a byte in between. */
const TRIES = 4;
const FIRST_WAIT_MS = 500;
const REPORT_MS = 100;
const MAGIC = [0x47, 0x47, 0x55, 0x46]; // "GGUF"

export function refuseOther(name: string, start: Uint8Array): void {
  if (MAGIC.every((byte, at) => start[at] === byte)) return;
  throw new Error(`${name} is not a GGUF file: it does not begin with “GGUF”`);
}

/** Calls back as bytes pass, but not for every chunk, and whenever the engine has taken some. */
export function reporter(total: number, feed: Feed, report: Report): (bytes: number) => void {
  let last = 0;
  let came = 0;
  const tell = (): void => report({ bytes: came, total, loaded: feed.loaded });
  feed.heard = tell;
  return (bytes) => {
    came = bytes;
    const now = performance.now();
    if (now - last < REPORT_MS && bytes !== total) return;
    last = now;
    tell();
  };
}

/** What the host itself said: no use in asking it again. */
class Refused extends Error {
  constructor(message: string, readonly status: number | null = null) {
    super(message);
  }
}

async function ask(url: string, init: RequestInit): Promise<Response> {
  const { host } = new URL(url);
  const response = await fetch(url, {
    ...init, credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store",
  }).catch(() => {
    throw new Error(
      `${host} did not give the file to this page: it is unreachable, or it does not allow ` +
        "other sites to read it (Access-Control-Allow-Origin)",
    );
  });
  if (response.ok) return response;
  const words = `${host} answered ${response.status} ${response.statusText}`.trim();
  throw new Refused(words, response.status);
}

function lengthOf(response: Response): number | null {
  // The length of packed bytes says nothing of the file's.
  if (response.headers.has("content-encoding")) return null;
  const length = Number(response.headers.get("content-length"));
  return length > 0 ? length : null;
}

/** Size, what tells versions apart, and the first bytes, at least `wanted` where there are so many. */
export async function look(url: string, wanted: number): Promise<Look> {
  const answer = await ask(url, { method: "HEAD" }).catch(() => null);
  const response = await ask(url, { headers: { Range: `bytes=0-${wanted - 1}` } });
  const said = response.status === 200 ? lengthOf(response) : totalOf(response);
  const head = await upTo(response, wanted);
  refuseOther(fileOf(url), new Uint8Array(head));
  return { size: (answer && lengthOf(answer)) ?? said, validator: answer && validatorOf(answer), head };
}

/** Every page may see when a file was changed; its ETag only where the host says so. */
function validatorOf({ headers }: Response): string | null {
  const tag = headers.get("etag");
  return tag === null ? headers.get("last-modified") : `ETag ${tag}`;
}

/** Of the whole file, where the host lets us see which range it gave. */
function totalOf(response: Response): number | null {
  const total = Number(/\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]);
  return total > 0 ? total : null;
}

/** The first bytes of an answer; a host that knows no ranges would go on and on. */
async function upTo(response: Response, wanted: number): Promise<ArrayBuffer> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body?.getReader();
  let bytes = 0;
  while (reader && bytes < wanted) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    bytes += value.length;
  }
  reader?.cancel().catch(() => undefined);
  return (await new Blob(chunks).arrayBuffer()).slice(0, wanted);
}

/** A download: what is here, and what is held until it makes a piece. */
class Taking {
  readonly key: string;
  readonly hash = sha256.create();
  readonly total: number;
  #record: PartialRecord;
  readonly #feed: Feed;
  /** Bytes of pieces that are done with. */
  #passed: number;
  readonly #held: Chunks = [];
  #heldBytes = 0;
  /** Why nothing is saved any more; null while it is. */
  notSaved: Error | null = null;

  constructor(key: string, record: PartialRecord, feed: Feed) {
    this.key = key;
    this.#record = record;
    this.#feed = feed;
    this.#passed = record.bytes;
    this.total = record.sizes.reduce((sum, size) => sum + size, 0);
  }

  get bytes(): number {
    return this.#passed + this.#heldBytes;
  }

  get pieces(): Pieces {
    const { home, count } = this.#record;
    return { home, count };
  }

  /** The part that the next byte is in, and its place there. */
  next(): { part: number; at: number } {
    let at = this.bytes;
    const { sizes } = this.#record;
    let part = 0;
    while (part < sizes.length - 1 && at >= (sizes[part] ?? 0)) at -= sizes[part++] ?? 0;
    return { part, at };
  }

  async take(chunk: Uint8Array<ArrayBuffer>): Promise<void> {
    this.hash.update(chunk);
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes >= PIECE) await this.keep();
  }

  /** Put what is held with the pieces, and hand it to the engine. */
  async keep(): Promise<void> {
    if (this.#heldBytes === 0) return;
    const bytes = await together(this.#held);
    if (!this.notSaved) {
      try {
        this.#record = await addPiece(this.key, this.#record, bytes);
      } catch (error) {
        if (!isFull(error)) throw error;
        await dropPartial(this.key);
        this.goOnWithout(await outOfSpace({ name: nameOf(fileOf(this.#record.urls[0] ?? "")), bytes: this.total }));
      }
    }
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.#passed += bytes.length;
    await this.#feed.give(bytes);
    if (this.notSaved && !this.#feed.isOn) throw new Refused(this.notSaved.message);
  }

  /** Keep nothing from now on: the engine takes it, or else it is of no use. */
  goOnWithout(reason: Error): void {
    if (!this.#feed.isOn) throw new Refused(reason.message);
    this.notSaved = reason;
  }
}

/** What the bytes that are saved are made of: some of a file at an address, or some that are here. */
interface Source {
  readonly url: string;
  readonly validator: string | null;
  /** Where in the file they begin, and how many they are. */
  readonly start: number;
  readonly size: number;
}

function sourcesOf(urls: readonly string[], { looks, joined }: Seen): Source[] {
  const sources = urls.map((url, at): Source => {
    const { size = null, validator = null } = looks[at] ?? {};
    if (size === null) throw new Error(`${new URL(url).host} does not say how large the file is`);
    const start = joined?.starts[at] ?? 0;
    return { url, validator, start, size: size - start };
  });
  if (!joined) return sources;
  return [{ url: "", validator: null, start: 0, size: joined.header.byteLength }, ...sources];
}

/** Whether nothing could tell that the bytes to come belong to those that are here. */
function isUnsure(sources: readonly Source[], digest: string | null): boolean {
  return digest === null && sources.some(({ url, validator }) => url !== "" && validator === null);
}

/** Take what is here of a download into another one of the same file; false where it is damaged. */
async function takeUp(before: PartialRecord, taking: Taking, feed: Feed): Promise<boolean> {
  try {
    // Looked at first: what the engine has taken cannot be taken back.
    for await (const part of checkedPieces(before)) taking.hash.update(part);
  } catch {
    return false;
  }
  for await (const part of checkedPieces(before)) await feed.take(part);
  await feed.flush();
  return true;
}

/** Go on with what is here of just this model, or begin. */
async function begin(
  urls: readonly string[],
  sources: readonly Source[],
  { joined, digest }: { joined: Joined | null; digest: string | null },
  feed: Feed,
  tell: (bytes: number) => void,
): Promise<Taking> {
  const key = keyOf(urls);
  const sizes = sources.map(({ size }) => size);
  const validators = sources.map(({ validator }) => validator);
  const before = await readPartial(key).catch(() => null);
  const same = JSON.stringify([before?.sizes, before?.validators]) === JSON.stringify([sizes, validators]);
  if (before && same && !isUnsure(sources, digest)) {
    const taking = new Taking(key, before, feed);
    tell(before.bytes);
    if (await takeUp(before, taking, feed)) return taking;
  }
  await dropPartial(key);
  const fresh = { urls, sizes, validators, home: crypto.randomUUID(), count: 0, bytes: 0, digests: [] };
  const taking = new Taking(key, fresh, feed);
  if (joined) {
    await taking.take(new Uint8Array(joined.header));
    await taking.keep();
  }
  return taking;
}

/** Fetch from where `taking` is to the end of a part; rejects where the connection breaks. */
async function fetchPart(source: Source, taking: Taking, came: () => void): Promise<void> {
  const { url, validator } = source;
  const at = source.start + taking.next().at;
  const size = source.start + source.size;
  const response = await ask(url, at > 0 ? { headers: { Range: `bytes=${at}-` } } : {}).catch(
    async (error: unknown) => {
      // The file is shorter now, or its host gives no ranges: either way the rest never comes.
      if (error instanceof Refused && error.status === 416) await dropPartial(taking.key);
      throw error;
    },
  );
  const now = validatorOf(response);
  const ranged = response.status === 206;
  const length = lengthOf(response);
  if ((validator && now && validator !== now) || (length !== null && length !== (ranged ? size - at : size))) {
    await dropPartial(taking.key);
    throw new Refused(`the file at ${new URL(url).host} has changed: start again`);
  }
  // A host that knows no ranges begins anew; what has come is read past.
  let skip = ranged ? 0 : at;
  let left = size - at;
  const reader = response.body?.getReader();
  while (reader && left > 0) {
    const { done, value } = await reader.read();
    if (done) break;
    const fresh = value.subarray(Math.min(skip, value.length), skip + left);
    skip -= Math.min(skip, value.length);
    left -= fresh.length;
    if (fresh.length) await taking.take(fresh);
    came();
  }
  if (left > 0) throw new Error("the response ended before the file did");
}

/** Fetch what is missing; a break that lasts keeps what has come, and says so. */
async function fetchAll(
  sources: readonly Source[], taking: Taking, unsure: boolean, tell: (bytes: number) => void,
): Promise<void> {
  let tries = 0;
  while (taking.bytes < taking.total) {
    const source = sources[taking.next().part];
    if (!source) throw new Error("there is no such part");
    const before = taking.bytes;
    try {
      await fetchPart(source, taking, () => tell(taking.bytes));
    } catch (error) {
      if (error instanceof Refused) throw error;
      if (unsure && taking.bytes > 0) {
        await dropPartial(taking.key);
        throw unverifiable(source, taking, error);
      }
      if (taking.bytes > before) tries = 0;
      if (tries >= TRIES) {
        await taking.keep();
        throw brokenOff(source, taking, error);
      }
      await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS * 2 ** tries));
      tries += 1;
    }
  }
  await taking.keep();
}

function unverifiable({ url }: Source, { bytes, total }: Taking, cause: unknown): Error {
  const { host } = new URL(url);
  return new Error(
    `the connection to ${host} broke off after ${bytes} of ${total} bytes, and ${host} does not say ` +
      "whether the file stays the same (ETag, Last-Modified), so it has to come anew",
    { cause },
  );
}

function brokenOff({ url }: Source, { bytes, total, notSaved }: Taking, cause: unknown): Error {
  const what = `the connection to ${new URL(url).host} broke off after ${bytes} of ${total} bytes; `;
  const then = notSaved
    ? `what arrived is lost, since ${notSaved.message}`
    : "what arrived is saved, and trying again resumes from there";
  return new Error(what + then, { cause });
}

function isFull(error: unknown): boolean {
  return error instanceof DOMException && error.name === "QuotaExceededError";
}

/**
 * Fetch and keep a model, and hand it to the engine as it comes; where there is no room to keep it,
 * the engine alone has it. Another digest than the one that was said is refused, and not saved.
 */
export async function saveAddress(
  urls: readonly string[], digest: string | null, seen: Seen, report: Report, feed: Feed,
): Promise<Brought> {
  const [first = ""] = urls;
  const name = nameOf(fileOf(first));
  const sources = sourcesOf(urls, seen);
  const total = sources.reduce((sum, { size }) => sum + size, 0);
  const tell = reporter(total, feed, report);
  const taking = await begin(urls, sources, { joined: seen.joined, digest }, feed, tell);
  const free = await freeSpace();
  if (free !== null && free < total - taking.bytes) {
    taking.goOnWithout(await outOfSpace({ name, bytes: total - taking.bytes }));
  }
  await fetchAll(sources, taking, isUnsure(sources, digest), tell);
  const found = bytesToHex(taking.hash.digest());
  if (digest !== null && found !== digest) {
    await dropPartial(taking.key);
    throw new Error(
      `${fileOf(first)} is not the expected model: its SHA-256 is ${found}, not ${digest}`,
    );
  }
  const about: AboutModel = {
    name, bytes: taking.total, sha256: found,
    source: urls.length === 1 ? first : null,
  };
  const from = localAddress(found);
  const { notSaved, pieces } = taking;
  if (!notSaved) await savePieces(from, { ...about, pieces }, taking.key);
  await feed.end();
  return { model: { ...about, ...(notSaved ? {} : { pieces }), from }, notSaved: notSaved?.message ?? null };
}
