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

let gone = false;

/** Whether this worker may save nothing any more. */
export function hasRenounced(): boolean {
  return gone;
}

/** Give it all up, once, and tell the page. */
export function renounceStorage(): void {
  if (gone) return;
  for (const name of GLOBALS) remove(globalThis, name);
  for (const name of OF_NAVIGATOR) remove(navigator, name);
  gone = true;
  postMessage({ thimble: "no storage" } satisfies NoStorage);
}
