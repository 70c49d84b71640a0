/**
 * What this worker gives up, for good, before it runs the first line of a visitor's code: everything
 * that outlives the visit, and everything by which code could get it back.
 *
 * Code in the console reaches each object of this worker, through Pyodide's `js`, and could change
 * any prototype, so that even a storage that only our own modules hold would be handed to it. So
 * nobody here holds one afterwards: models then come from the page, as files, and nothing is saved.
 * Another worker, which code could start from one of our own scripts, runs code only after the same.
 */

import type { NoStorage } from "../protocol";

/** Of the worker's global object. */
const GLOBALS = [
  "caches", "indexedDB", "cookieStore", "crossOriginStorage",
  "CacheStorage", "Cache", "IDBFactory", "IDBDatabase", "StorageManager", "StorageBucket", "StorageBucketManager",
  "FileSystemHandle", "FileSystemFileHandle", "FileSystemDirectoryHandle", "FileSystemSyncAccessHandle",
  "webkitIndexedDB", "webkitRequestFileSystem", "webkitRequestFileSystemSync",
  "webkitResolveLocalFileSystemURL", "webkitResolveLocalFileSystemSyncURL",
  "BroadcastChannel", "LockManager", "SharedWorker", "ServiceWorkerContainer", "ServiceWorkerRegistration",
  "importScripts",
] as const;

/** Of its `navigator`. */
const OF_NAVIGATOR = [
  "storage", "storageBuckets", "locks", "serviceWorker", "webkitPersistentStorage", "webkitTemporaryStorage",
] as const;

/** Take a property away from an object and from whatever it inherits from. */
function remove(from: object, name: string): void {
  for (let place: object | null = from; place; place = Object.getPrototypeOf(place) as object | null) {
    Reflect.deleteProperty(place, name);
  }
  if (name in from) throw new Error(`${name} cannot be taken away here, so code of yours is not run`);
}

/** Work with storage that is under way. */
const working = new Set<Promise<unknown>>();
/** The end of it, once code of the visitor's waits. */
let going: Promise<void> | null = null;

/** Whether this worker may save nothing any more. */
export function hasRenounced(): boolean {
  return going !== null;
}

/** Do something with this worker's storage: code of the visitor's waits for its end. */
export async function withStorage<Value>(work: () => Promise<Value>): Promise<Value> {
  if (going) throw new Error("code of yours has run in this engine, which has no storage from then on");
  const doing = work();
  working.add(doing);
  try {
    return await doing;
  } finally {
    working.delete(doing);
  }
}

/** Give it all up, once nobody works with it any more, and tell the page. */
export function renounceStorage(): Promise<void> {
  return (going ??= Promise.allSettled(working).then(giveUp));
}

function giveUp(): void {
  for (const name of GLOBALS) remove(globalThis, name);
  for (const name of OF_NAVIGATOR) remove(navigator, name);
  postMessage({ thimble: "no storage" } satisfies NoStorage);
}
