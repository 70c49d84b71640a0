/** How much the browser lets this site save. */

/**
 * A browser may lack all of it, or parts, whatever TypeScript's library says; and a worker gives it
 * up before it runs a visitor's code (worker/renounce.ts), so nothing holds on to it here.
 */
const storage = (): Partial<StorageManager> | undefined => navigator.storage;

/** Bytes that the browser has left for this site; null where it does not say. */
export async function freeSpace(): Promise<number | null> {
  const estimate = await storage()?.estimate?.();
  return estimate?.quota === undefined ? null : estimate.quota - (estimate.usage ?? 0);
}

/** The origin's private file system, or null where the browser has none. */
export async function privateFolder(): Promise<FileSystemDirectoryHandle | null> {
  return (await storage()?.getDirectory?.()) ?? null;
}

/** What of synchronous access to a file is used here; TypeScript's DOM library does not have it. */
export interface Access {
  getSize(): number;
  read(into: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** A file that a worker may read and write synchronously, where the browser lets it. */
export interface FileHandle extends FileSystemFileHandle {
  createSyncAccessHandle?(options?: { mode: "read-only" | "readwrite" }): Promise<Access>;
}
