/**
 * What a model has read of each kept conversation: tokens, keys and values, a file for each in the
 * origin's private file system, so that nothing is read twice. Only the worker writes and reads them;
 * it gives that up, with all storage, before it runs a visitor's code (worker/renounce.ts).
 *
 * A file ends with the SHA-256 of all before, so one that was torn or changed is of no use and harms
 * nobody: the text is read again. Those that were written longest ago make room for new ones.
 */

import { privateFolder } from "./space";
import type { Access, FileHandle } from "./space";

const FOLDER = "thimble-prompt-caches";
/** Bytes that all of them may take, and which part of what the browser offers. */
const MOST_BYTES = 1e9;
const MOST_SHARE = 0.1;
const DIGEST = 32;

export interface PromptCache {
  readonly id: string;
  readonly bytes: number;
  /** When it was written, in milliseconds since 1970. */
  readonly at: number;
}

/** Whoever writes one, and whoever removes any, is alone with them. */
function alone<Value>(work: () => Promise<Value>): Promise<Value> {
  return navigator.locks.request(FOLDER, work) as Promise<Value>;
}

async function folder(create: boolean): Promise<FileSystemDirectoryHandle | null> {
  const place = await privateFolder();
  if (create) return (await place?.getDirectoryHandle(FOLDER, { create })) ?? null;
  return (await place?.getDirectoryHandle(FOLDER).catch(() => null)) ?? null;
}

/** Bytes that all of them together may take here. */
export async function promptCacheQuota(): Promise<number> {
  const quota = (await navigator.storage.estimate().catch(() => null))?.quota;
  return Math.floor(Math.min(MOST_BYTES, quota === undefined ? MOST_BYTES : quota * MOST_SHARE));
}

/** All that there are, the oldest first. */
export async function listPromptCaches(): Promise<PromptCache[]> {
  return listed(await folder(false));
}

async function listed(place: FileSystemDirectoryHandle | null): Promise<PromptCache[]> {
  const found: PromptCache[] = [];
  for await (const [id, handle] of place?.entries() ?? []) {
    if (handle.kind !== "file") continue;
    const file = await (handle as FileSystemFileHandle).getFile();
    found.push({ id, bytes: file.size, at: file.lastModified });
  }
  return found.sort((a, b) => a.at - b.at);
}

/** Remove a conversation's, if it has one. */
export async function removePromptCache(id: string): Promise<void> {
  const place = await folder(false);
  if (place) await alone(() => place.removeEntry(id).catch(() => undefined));
}

export async function removePromptCaches(): Promise<void> {
  const place = (await folder(false)) && (await privateFolder());
  if (place) await alone(() => place.removeEntry(FOLDER, { recursive: true }).catch(() => undefined));
}

/**
 * Write one of `bytes` bytes, which `fill` puts a few at a time, in the place of the conversation's
 * last one. Rejects, with the reason, where it finds no room.
 */
export function writePromptCache(id: string, bytes: number, fill: (put: (part: Uint8Array) => void) => void): Promise<void> {
  return alone(async () => {
    const place = await folder(true);
    if (!place) throw new Error("this browser has no private file system");
    await makeRoom(place, id, bytes);
    // A new file has a new date in every browser; one that is written over need not.
    await place.removeEntry(id).catch(() => undefined);
    const handle = (await place.getFileHandle(id, { create: true })) as FileHandle;
    let isWhole = false;
    try {
      const access = await handle.createSyncAccessHandle?.();
      if (!access) throw new Error("this browser has no synchronous access to files");
      try {
        let at = 0;
        fill((part) => (at += written(access, part, at)));
        access.flush();
        isWhole = at === bytes;
      } finally {
        access.close();
      }
      if (!isWhole) throw new Error("the session changed while it was written");
    } catch (error) {
      await place.removeEntry(id).catch(() => undefined);
      throw error;
    }
  });
}

function written(access: Access, part: Uint8Array, at: number): number {
  if (access.write(part, { at }) < part.length) throw new Error("the disk, or what this site may use of it, is full");
  return part.length;
}

/** Let the oldest go until so many bytes fit. */
async function makeRoom(place: FileSystemDirectoryHandle, id: string, bytes: number): Promise<void> {
  const quota = await promptCacheQuota();
  if (bytes > quota) throw new Error(`what the model has read takes ${bytes} bytes, and ${quota} may be kept here`);
  const others = (await listed(place)).filter((one) => one.id !== id);
  let sum = others.reduce((all, one) => all + one.bytes, bytes);
  for (const one of others) {
    if (sum <= quota) return;
    await place.removeEntry(one.id);
    sum -= one.bytes;
  }
}

/** One's bytes; null where there is none. Rejects where it is damaged. */
export async function readPromptCache(id: string): Promise<Uint8Array | null> {
  const handle = (await (await folder(false))?.getFileHandle(id).catch(() => null)) ?? null;
  if (!handle) return null;
  const file = new Uint8Array(await (await handle.getFile()).arrayBuffer());
  const end = file.length - DIGEST;
  const digest = end < 0 ? null : new Uint8Array(await crypto.subtle.digest("SHA-256", file.subarray(0, end)));
  if (!digest?.every((byte, at) => byte === file[end + at])) throw new Error("it is damaged");
  return file;
}
