/**
 * The conversations that are kept on this machine, in IndexedDB: what the list needs, what was said,
 * and the words that a search looks through, each in a store of its own, so that the list never
 * reads what was said.
 *
 * Nothing that a tab has said is erased by another: to save is to unite with what stands there.
 */

import { deleteDB, openDB } from "idb";
import type { IDBPDatabase } from "idb";
import { headOf, readBody, readHead, wordsOf } from "../talk/record";
import type { Body, Head, ReadBody } from "../talk/record";
import { removePromptCache, removePromptCaches } from "./prompt-caches";
import { Tree } from "../talk/tree";

export const NAME = "thimble-talk";
const VERSION = 1;
const STORES = ["heads", "bodies", "words"] as const;
/** Conversations whose words are read at a time: a few megabytes, so that the page stays smooth. */
const AT_ONCE = 100;

/** A conversation that is there and cannot be read. */
export interface Unreadable {
  readonly id: string;
  readonly why: string;
}

export interface Listed {
  /** Pinned ones first, then the newest. */
  readonly heads: readonly Head[];
  readonly unreadable: readonly Unreadable[];
}

/** What other tabs are told: which conversation is another now; null for all. */
export type TalkNews = { readonly changed: string } | { readonly removed: string | null };

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(NAME) : null;

/** Hear what other tabs do. */
export function onTalkNews(hear: (news: TalkNews) => void): void {
  channel?.addEventListener("message", ({ data }: MessageEvent<TalkNews>) => hear(data));
}

let opened: Promise<IDBPDatabase> | null = null;

function database(): Promise<IDBPDatabase> {
  opened ??= openDB(NAME, VERSION, {
    upgrade(db) {
      for (const name of STORES) db.createObjectStore(name, { keyPath: "id" });
    },
    blocking: () => void close(),
    terminated: () => (opened = null),
  }).catch((error: unknown) => {
    opened = null;
    const isNewer = error instanceof DOMException && error.name === "VersionError";
    throw isNewer ? new Error("a newer version of this page keeps conversations here; this one cannot read them") : error;
  });
  return opened;
}

/** Another tab wants it removed, or made anew. */
async function close(): Promise<void> {
  const db = await opened?.catch(() => null);
  opened = null;
  db?.close();
}

/** Whether any were ever kept: looking must not make the place. */
async function isThere(): Promise<boolean> {
  if (!("indexedDB" in globalThis)) return false;
  if (!("databases" in indexedDB)) return true;
  return (await indexedDB.databases()).some(({ name }) => name === NAME);
}

const idOf = (value: unknown): string => String((value as { id?: unknown }).id);

/** All that are kept. Rejects, with the reason, where the browser or another version bars it. */
export async function listTalks(): Promise<Listed> {
  if (!(await isThere())) return { heads: [], unreadable: [] };
  const heads: Head[] = [];
  const unreadable: Unreadable[] = [];
  for (const value of (await (await database()).getAll("heads")) as unknown[]) {
    try {
      heads.push(readHead(value));
    } catch (error) {
      unreadable.push({ id: idOf(value), why: (error as Error).message });
    }
  }
  heads.sort((a, b) => Number(b.pinned) - Number(a.pinned) || b.changed - a.changed);
  return { heads, unreadable };
}

/** Every conversation's words, in lower case, as they come. */
export async function readWords(hear: (id: string, text: string) => void): Promise<void> {
  const db = await database();
  const keys = await db.getAllKeys("words");
  for (let at = 0; at < keys.length; at += AT_ONCE) {
    const range = IDBKeyRange.bound(keys[at], keys[Math.min(at + AT_ONCE, keys.length) - 1]);
    for (const value of (await db.getAll("words", range)) as { id: unknown; text: unknown }[]) {
      if (typeof value.id === "string" && typeof value.text === "string") hear(value.id, value.text);
    }
  }
}

/** What was said; null where it is not kept. Rejects with the reason where it cannot be read. */
export async function readTalk(id: string): Promise<(ReadBody & { readonly head: Head }) | null> {
  if (!(await isThere())) return null;
  const db = await database();
  const [head, body] = await Promise.all([db.get("heads", id), db.get("bodies", id)]) as [unknown, unknown];
  if (head === undefined) return null;
  if (body === undefined) throw new Error("its messages are gone");
  return { ...readBody(body), head: readHead(head) };
}

/**
 * Keep a conversation, united with what stands there of it; returns both together. `head` gives an
 * imported or restored one its title and dates. Rejects, with all as before, where there is no room
 * or another version wrote what is there.
 */
export async function saveTalk(body: Body, head: Head | null = null): Promise<Body> {
  const done = (await database()).transaction(STORES, "readwrite");
  const [heads, bodies, words] = STORES.map((name) => done.objectStore(name));
  try {
    const there = (await bodies?.get(body.id)) as unknown;
    const before = (await heads?.get(body.id)) as unknown;
    const tree = new Tree(body.turns, body.leaf);
    if (there !== undefined) tree.merge(readBody(there).body.turns);
    const united: Body = { ...body, turns: tree.all };
    const old = before === undefined ? head : readHead(before);
    const now = head && before === undefined ? head.changed : Date.now();
    await heads?.put(headOf(united, old, now));
    await bodies?.put(united);
    await words?.put({ id: body.id, text: wordsOf(united.turns) });
    await done.done;
    channel?.postMessage({ changed: body.id } satisfies TalkNews);
    return united;
  } catch (error) {
    done.done.catch(() => undefined);
    try {
      done.abort();
    } catch {
      // It has ended by itself.
    }
    const isFull = error instanceof DOMException && error.name === "QuotaExceededError";
    throw isFull ? new Error("there is no room left on this machine for the conversation") : error;
  }
}

/** Give a kept conversation another title, or pin it. */
export async function changeTalk(id: string, change: Partial<Pick<Head, "title" | "named" | "pinned">>): Promise<void> {
  const done = (await database()).transaction("heads", "readwrite");
  const before = (await done.store.get(id)) as unknown;
  if (before !== undefined) await done.store.put({ ...readHead(before), ...change });
  await done.done;
  channel?.postMessage({ changed: id } satisfies TalkNews);
}

/** Remove one, readable or not. */
export async function removeTalk(id: string): Promise<void> {
  const done = (await database()).transaction(STORES, "readwrite");
  await Promise.all(STORES.map((name) => done.objectStore(name).delete(id)));
  await done.done;
  await removePromptCache(id);
  channel?.postMessage({ removed: id } satisfies TalkNews);
}

/** Remove all of them, whatever version wrote them. */
export async function removeTalks(): Promise<void> {
  await close();
  await deleteDB(NAME);
  await removePromptCaches();
  channel?.postMessage({ removed: null } satisfies TalkNews);
}
