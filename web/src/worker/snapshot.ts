/**
 * The interpreter with the engine imported, as bytes: how they are saved between two visits.
 *
 * One file: a head of fixed length, a description in JSON, then the memory and the files that the
 * engine was installed as, which are outside that memory. It knows nothing of Python.
 */

import { freeSpace } from "../storage/space";
import { readFile, removeFile, writeFile } from "../storage/snapshot-file";

/** Raised when the file's layout or what must be in the memory changes. */
export const FORMAT = 1;

const MAGIC = 0x504e5354; // "TSNP"
const HEAD = 16;
/** The memory is read as 32-bit numbers, so it begins at a multiple of this. */
const ALIGNMENT = 16;
/** Bytes that must be free, the memory included, before one is made. */
const SPACE = 96 * 2 ** 20;

/** What a start from a snapshot needs. */
export interface Snapshot {
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly files: readonly (readonly [path: string, bytes: Uint8Array<ArrayBuffer>])[];
  /** Pyodide's lock file. */
  readonly lock: string;
}

/** A saved snapshot whose memory is still being checked while other things go on. */
export interface SavedSnapshot extends Omit<Snapshot, "memory"> {
  readonly memory: Promise<Uint8Array<ArrayBuffer>>;
}

interface Description {
  readonly format: number;
  readonly build: string;
  readonly memory: number;
  readonly files: readonly (readonly [path: string, length: number])[];
  readonly lock: string;
  /** SHA-256 over everything after the description. */
  readonly digest: string;
}

async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function padded(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

/** The snapshot saved for this build; null where none was ever saved, an error where it is no good. */
export async function readSnapshot(build: string): Promise<SavedSnapshot | null> {
  const bytes = await readFile();
  return bytes && unpack(bytes as Uint8Array<ArrayBuffer>, build);
}

function unpack(bytes: Uint8Array<ArrayBuffer>, build: string): SavedSnapshot {
  const whole = bytes.length >= HEAD ? new Uint32Array(bytes.buffer, bytes.byteOffset, 2) : [];
  const [magic, length] = whole;
  if (magic !== MAGIC || length === undefined || HEAD + length > bytes.length) {
    throw new Error("the file is not a snapshot");
  }
  const words = new TextDecoder().decode(bytes.subarray(HEAD, HEAD + length).slice());
  const description = JSON.parse(words) as Description;
  if (description.format !== FORMAT || description.build !== build) {
    throw new Error("the snapshot is from another build");
  }
  const content = bytes.subarray(padded(HEAD + length));
  let at = description.memory;
  const memory = content.subarray(0, at);
  const files = description.files.map(([path, size]) => {
    at += size;
    return [path, content.subarray(at - size, at)] as const;
  });
  if (content.length !== at) {
    throw new Error(`the snapshot has ${content.length} bytes, not ${at}`);
  }
  const checked = digestOf(content).then((digest) => {
    if (digest !== description.digest) throw new Error("the snapshot is damaged");
    return memory;
  });
  checked.catch(() => undefined); // whoever restores it hears of it
  return { memory: checked, files, lock: description.lock };
}

/** Keep a snapshot for this build in place of any other. */
export async function writeSnapshot(build: string, snapshot: Snapshot): Promise<void> {
  const { memory, files, lock } = snapshot;
  const parts = [memory, ...files.map(([, bytes]) => bytes)];
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  // The digest has a fixed length, so the description's is known before it is.
  const describe = (digest: string): Uint8Array => {
    const listed = files.map(([path, bytes]) => [path, bytes.length] as const);
    const words: Description = { format: FORMAT, build, memory: memory.length, files: listed, lock, digest };
    return new TextEncoder().encode(JSON.stringify(words));
  };
  const { length } = describe("0".repeat(64));
  const start = padded(HEAD + length);
  const bytes = new Uint8Array(start + size);
  let at = start;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes.set(describe(await digestOf(bytes.subarray(start))), HEAD);
  new Uint32Array(bytes.buffer, 0, 2).set([MAGIC, length]);
  await writeFile(bytes);
}

export { removeFile as removeSnapshot };

/** Why no snapshot can be saved here, or null where one can, before anyone takes the trouble. */
export async function whyNot(): Promise<string | null> {
  if (!globalThis.crypto?.subtle) return "the page's connection is not secure";
  if (((await freeSpace()) ?? Infinity) <= SPACE) return "storage is full";
  return null;
}
