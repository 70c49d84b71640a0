/** The making of a task that was not finished: kept on this machine, one at a time, until it is. */

import type { TaskOrder } from "../protocol/tasks";

export const TASK_CACHE = "thimble-task";
/** Names in the cache; nothing is ever fetched from them. */
const ORDER = "https://thimble.invalid/task/order";
const STATE = "https://thimble.invalid/task/state";

/** What a run goes on from. */
export interface SavedTask {
  readonly order: TaskOrder;
  /** The page's name of the model. */
  readonly base: string;
  readonly step: number;
  readonly steps: number;
  /** When that was, as Date.now() has it. */
  readonly at: number;
}

export async function saveTask(saved: SavedTask, state: ArrayBuffer): Promise<void> {
  const cache = await caches.open(TASK_CACHE);
  await cache.put(STATE, new Response(state));
  await cache.put(ORDER, new Response(JSON.stringify(saved)));
}

/** The run that an earlier visit left; null for none, or where nothing may be saved. */
export async function savedTask(): Promise<SavedTask | null> {
  try {
    const found = await caches.match(ORDER, { cacheName: TASK_CACHE });
    return found ? ((await found.json()) as SavedTask) : null;
  } catch {
    return null;
  }
}

export async function savedTaskState(): Promise<Uint8Array<ArrayBuffer> | null> {
  const found = await caches.match(STATE, { cacheName: TASK_CACHE });
  return found ? new Uint8Array(await found.arrayBuffer()) : null;
}

export async function forgetTask(): Promise<void> {
  if ("caches" in globalThis) await caches.delete(TASK_CACHE);
}
