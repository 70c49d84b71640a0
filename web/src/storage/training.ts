/**
 * The one training that outlives a tab: its text, and two copies of its state that take turns, so
 * that a tab that closes while one is written leaves the other.
 *
 * It lies in the origin's private file system. A browser without one keeps nothing, and is told.
 */

import { privateFolder } from "./space";
import type { Access, FileHandle } from "./space";

const FOLDER = "thimble-training";
const TEXT = "text";
const SLOTS = ["state-0", "state-1"] as const;

const MAGIC = 0x50454b54; // "TKEP"
/** Magic, a number that rises, length of the words, length of the bytes. */
const HEAD = 16;

/** What is known of a saved training without starting anything. */
export interface SavedTraining {
  readonly title: string;
  readonly step: number;
  readonly steps: number;
  readonly parameters: number;
  /** When it was saved, in milliseconds since 1970. */
  readonly at: number;
  /** The page's name of the model that it began from, if it began from one. */
  readonly base?: string | undefined;
}

/** What stands before the bytes. */
interface Said extends SavedTraining {
  /** SHA-256 of the bytes; trainings that version 0.1 has saved have none. */
  readonly sha256?: string;
}

interface Slot {
  readonly turn: number;
  readonly words: Said;
  readonly file: File;
  /** Where the bytes begin. */
  readonly start: number;
}

/** The states that are as long as they say, the newest first; none where nothing may be read. */
async function slotsHere(): Promise<Slot[]> {
  try {
    const folder = await (await privateFolder())?.getDirectoryHandle(FOLDER);
    if (!folder) return [];
    const slots = await Promise.all(SLOTS.map((name) => readSlot(folder, name)));
    return slots.filter((slot) => slot !== null).sort((a, b) => b.turn - a.turn);
  } catch {
    return [];
  }
}

async function newest(): Promise<Slot | null> {
  return (await slotsHere())[0] ?? null;
}

async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function readSlot(folder: FileSystemDirectoryHandle, name: string): Promise<Slot | null> {
  try {
    const file = await (await folder.getFileHandle(name)).getFile();
    if (file.size < HEAD) return null;
    const head = new DataView(await file.slice(0, HEAD).arrayBuffer());
    const [words, bytes] = [head.getUint32(8, true), head.getUint32(12, true)];
    if (head.getUint32(0, true) !== MAGIC || file.size !== HEAD + words + bytes) return null;
    const said = JSON.parse(await file.slice(HEAD, HEAD + words).text()) as Said;
    return { turn: head.getUint32(4, true), words: said, file, start: HEAD + words };
  } catch {
    return null;
  }
}

/** What is saved, if anything is. */
export async function savedTraining(): Promise<SavedTraining | null> {
  return (await newest())?.words ?? null;
}

/** Its size in bytes. */
export async function savedTrainingBytes(): Promise<number> {
  const slot = await newest();
  return slot?.file.size ?? 0;
}

/** The newest state that is as it was saved, and the text that it was trained on; null for none. */
export async function readTraining(): Promise<{ state: Uint8Array; text: string } | null> {
  const folder = await (await privateFolder())?.getDirectoryHandle(FOLDER).catch(() => null);
  if (!folder) return null;
  for (const { file, start, words } of await slotsHere()) {
    const state = new Uint8Array(await file.slice(start).arrayBuffer());
    if (words.sha256 !== undefined && words.sha256 !== (await digestOf(state))) continue;
    const text = await (await (await folder.getFileHandle(TEXT)).getFile()).text();
    return { state, text };
  }
  return null;
}

/** Forget it. */
export async function forgetTraining(): Promise<void> {
  try {
    await (await privateFolder())?.removeEntry(FOLDER, { recursive: true });
  } catch {
    // Nothing there, or nothing allowed: either way nothing is left that we could remove.
  }
}

/** Writes the training of this worker; only a worker may write synchronously. */
export class TrainingStore {
  readonly #folder: FileSystemDirectoryHandle;
  readonly #release: () => void;
  #turn: number;

  private constructor(folder: FileSystemDirectoryHandle, turn: number, release: () => void) {
    this.#folder = folder;
    this.#turn = turn;
    this.#release = release;
  }

  /** Take the store; throws where nothing can be saved, or another tab trains. */
  static async take(): Promise<TrainingStore> {
    const place = await privateFolder();
    if (!place) throw new Error("this browser has no private file system");
    const release = await lock();
    try {
      const folder = await place.getDirectoryHandle(FOLDER, { create: true });
      return new TrainingStore(folder, ((await newest())?.turn ?? 0) + 1, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** A new training takes the old one's place. */
  async begin(text: string): Promise<void> {
    for (const name of SLOTS) await this.#folder.removeEntry(name).catch(() => undefined);
    await this.#write(TEXT, [new TextEncoder().encode(text)]);
  }

  /** Keep the training as it stands. */
  async keep(words: SavedTraining, state: Uint8Array<ArrayBuffer>): Promise<void> {
    const said = new TextEncoder().encode(JSON.stringify({ ...words, sha256: await digestOf(state) } satisfies Said));
    const head = new DataView(new ArrayBuffer(HEAD));
    head.setUint32(0, MAGIC, true);
    head.setUint32(4, this.#turn, true);
    head.setUint32(8, said.length, true);
    head.setUint32(12, state.length, true);
    const name = SLOTS[this.#turn % SLOTS.length] as string;
    await this.#write(name, [new Uint8Array(head.buffer), said, state]);
    this.#turn += 1;
  }

  /** Let another tab have it. */
  release(): void {
    this.#release();
  }

  /** Write the parts, the first one last: until it stands there, the file is not whole. */
  async #write(name: string, parts: readonly Uint8Array[]): Promise<void> {
    const handle = (await this.#folder.getFileHandle(name, { create: true })) as FileHandle;
    const access = await handle.createSyncAccessHandle?.();
    if (!access) throw new Error("this browser has no synchronous access to files");
    try {
      access.truncate(0);
      const [first, ...rest] = parts as [Uint8Array, ...Uint8Array[]];
      let at = first.length;
      for (const part of rest) at += write(access, part, at);
      if (rest.length) access.flush();
      write(access, first, 0);
      access.flush();
    } finally {
      access.close();
    }
  }
}

function write(access: Access, part: Uint8Array, at: number): number {
  const written = access.write(part, { at });
  if (written < part.length) throw new Error("the disk, or what this site may use of it, is full");
  return written;
}

/** One tab keeps its training; resolves to what gives the place free again. */
function lock(): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const held = (granted: Lock | null): Promise<void> | void => {
      if (!granted) return reject(new Error("another tab is already saving a training"));
      return new Promise((release) => resolve(release));
    };
    navigator.locks.request(FOLDER, { ifAvailable: true }, held).catch(reject);
  });
}
