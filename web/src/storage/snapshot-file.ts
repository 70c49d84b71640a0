/**
 * One large file that outlives the visit, in the storage that a worker reads fastest: the origin's
 * private file system, and the Cache API where a browser has no such thing.
 */

import { privateFolder } from "./space";
import type { Access, FileHandle } from "./space";

const NAME = "thimble-snapshot";
/** A name in the cache; nothing is ever fetched from it. */
const CACHE_KEY = "https://thimble.invalid/snapshot";

function isMissing(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotFoundError";
}

/** Where pages are secure there are locks; elsewhere nothing can be saved anyway. */
const locks = (): LockManager | undefined => navigator.locks;

/**
 * The file's bytes, or null where there is none, or none that is whole, because somebody is writing
 * it just now; rejects where the browser forbids storage.
 */
export async function readFile(): Promise<Uint8Array | null> {
  const manager = locks();
  if (!manager) return read();
  return manager.request(NAME, { mode: "shared", ifAvailable: true }, (lock) => lock && read());
}

async function read(): Promise<Uint8Array | null> {
  const folder = await privateFolder();
  if (!folder) {
    const saved = await (await caches.open(NAME)).match(CACHE_KEY);
    return saved ? new Uint8Array(await saved.arrayBuffer()) : null;
  }
  try {
    return await readHandle((await folder.getFileHandle(NAME)) as FileHandle);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function readHandle(handle: FileHandle): Promise<Uint8Array> {
  let access: Access | undefined;
  try {
    access = await handle.createSyncAccessHandle?.({ mode: "read-only" });
  } catch {
    // Another tab has the file, and this browser lets only one: the slower way is open to all.
  }
  if (!access) return new Uint8Array(await (await handle.getFile()).arrayBuffer());
  try {
    const bytes = new Uint8Array(access.getSize());
    return bytes.subarray(0, access.read(bytes, { at: 0 }));
  } finally {
    access.close();
  }
}

/** How large the file is, or null where there is none; from the page too. */
export async function fileSize(): Promise<number | null> {
  const folder = await privateFolder();
  try {
    if (folder) return (await (await folder.getFileHandle(NAME)).getFile()).size;
    const saved = await (await caches.open(NAME)).match(CACHE_KEY);
    return saved ? (await saved.blob()).size : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Replace the file; what is half written is removed again. */
export async function writeFile(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const manager = locks();
  return manager ? manager.request(NAME, () => write(bytes)) : write(bytes);
}

async function write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const folder = await privateFolder();
  if (!folder) {
    await (await caches.open(NAME)).put(CACHE_KEY, new Response(bytes));
    return;
  }
  const handle = (await folder.getFileHandle(NAME, { create: true })) as FileHandle;
  const access = await handle.createSyncAccessHandle?.();
  if (!access) throw new Error("this browser has no synchronous access to files");
  let written = 0;
  try {
    access.truncate(0);
    written = access.write(bytes, { at: 0 });
    access.flush();
  } finally {
    access.close();
    if (written < bytes.length) await folder.removeEntry(NAME).catch(() => undefined);
  }
  if (written < bytes.length) throw new Error(`only ${written} of ${bytes.length} bytes fitted`);
}

/** Remove the file, if there is one. */
export async function removeFile(): Promise<void> {
  try {
    const folder = await privateFolder();
    if (folder) await folder.removeEntry(NAME);
    else await caches.delete(NAME);
  } catch {
    // Nothing there, or nothing allowed: either way nothing is left that we could remove.
  }
}
